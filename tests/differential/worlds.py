"""The configurations that both proxies are given: each a listener `main` and what stands behind it."""

import copy

from differential import behind, filtering, limiting, replies, routing, sayings, scoped, services, settings, spelled, written
from harness.config import bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host


def exactly(text, **more):
    return {"string_match": {"exact": text, **more}}


def string(kind, text, **more):
    return {"string_match": {kind: text, **more}}


def regex(text):
    return {"string_match": {"safe_regex": {"regex": text}}}


def one_host(*entries, **more):
    return [virtual_host("main", ["*"], *entries, **more)]


def _by_header(name, matcher, path=None):
    return direct({"prefix": path or f"/h-{name}", "headers": [{"name": "x-h", **matcher}]}, 200, name)


def _by_query(name, matcher):
    return direct({"prefix": f"/q-{name}", "query_parameters": [{"name": "k", **matcher}]}, 200, name)


def matching():
    """Every kind of route match, each with an answer of its own."""
    return one_host(
        direct({"path": "/exact"}, 200, "exact"),
        direct({"path": "/NoCase", "case_sensitive": False}, 200, "exact-any-case"),
        direct({"prefix": "/ICase", "case_sensitive": False}, 200, "prefix-any-case"),
        direct({"path_separated_prefix": "/sep"}, 200, "separated"),
        direct({"safe_regex": {"regex": "/re/[0-9]+(/x)?"}}, 200, "expression"),
        _by_header("exact", exactly("one")),
        _by_header("nocase", exactly("one", ignore_case=True)),
        _by_header("prefix", string("prefix", "one")),
        _by_header("suffix", string("suffix", "one")),
        _by_header("contains", string("contains", "one")),
        _by_header("regex", regex("on[ef]")),
        _by_header("present", {"present_match": True}),
        _by_header("absent", {"present_match": False}),
        _by_header("range", {"range_match": {"start": 10, "end": 20}}),
        _by_header("inverted", {**exactly("one"), "invert_match": True}),
        _by_header("missing-empty", {**exactly(""), "treat_missing_header_as_empty": True}),
        _by_query("exact", exactly("one")),
        _by_query("present", {"present_match": True}),
        _by_query("absent", {"present_match": False}),
        _by_query("regex", regex("on[ef]")),
        direct({"prefix": "/m", "headers": [{"name": ":method", **exactly("PUT")}]}, 200, "method"),
        direct({"prefix": "/a", "headers": [{"name": ":authority", **string("prefix", "weft")}]}, 200, "authority"),
        direct(
            {
                "prefix": "/both",
                "headers": [{"name": "x-h", **exactly("one")}, {"name": "x-i", **exactly("two")}],
                "query_parameters": [{"name": "k", **exactly("three")}],
            },
            200,
            "both",
        ),
        direct("/p", 200, "prefix"),
    ), []


def domains(**more):
    """Virtual hosts by every form of domain."""
    names = [
        ["exact.test"],
        ["exact.test:81"],
        ["*.suffix.test"],
        ["*.long.suffix.test"],
        ["prefix.*"],
        ["prefix.long.*"],
        ["a.test", "b.test"],
        ["Upper.Test"],
        ["127.0.0.1"],
        ["[::1]"],
        ["*-dash.test"],
    ]
    hosts = [virtual_host(n[0], n, direct("/", 200, n[0])) for n in names]
    return hosts, [], more


def any_domain():
    """A host for everyone beside an exact one."""
    exact = virtual_host("exact", ["exact.test"], direct("/", 200, "exact"))
    return [exact, virtual_host("any", ["*"], direct("/", 200, "any"))], []


def forward(ports, http2=False, **more):
    """Everything to one upstream."""
    return one_host(route("/", "up")), [cluster("up", ports["up"], http2=http2, **more)]


def rewriting(ports):
    """Prefixes and hosts rewritten, and redirects of every form."""
    to = {"cluster": "up"}
    return one_host(
        route("/short/", {**to, "prefix_rewrite": "/"}),
        route("/long", {**to, "prefix_rewrite": "/much/longer"}),
        route({"path": "/exact"}, {**to, "prefix_rewrite": "/other"}),
        route("/host", {**to, "host_rewrite_literal": "rewritten.test"}),
        route("/r-default", redirect={}),
        route("/r-host", redirect={"host_redirect": "other.test"}),
        route("/r-port", redirect={"port_redirect": 8443}),
        route("/r-default-port", redirect={"port_redirect": 80}),
        route("/r-https", redirect={"https_redirect": True}),
        route("/r-https-port", redirect={"https_redirect": True, "port_redirect": 443}),
        route("/r-scheme", redirect={"scheme_redirect": "https"}),
        route("/r-path", redirect={"path_redirect": "/new"}),
        route("/r-query", redirect={"path_redirect": "/new?own=1"}),
        route("/r-strip", redirect={"path_redirect": "/new", "strip_query": True}),
        route("/r-prefix", redirect={"prefix_rewrite": "/prefixed"}),
        route("/r-302", redirect={"path_redirect": "/n", "response_code": "FOUND"}),
        route("/r-303", redirect={"path_redirect": "/n", "response_code": "SEE_OTHER"}),
        route("/r-307", redirect={"path_redirect": "/n", "response_code": "TEMPORARY_REDIRECT"}),
        route("/r-308", redirect={"path_redirect": "/n", "response_code": "PERMANENT_REDIRECT"}),
        route("/", "up"),
    ), [cluster("up", ports["up"])]


def option(name, value, action=None, **more):
    return {"header": {"key": name, "value": value}, **({"append_action": action} if action else {}), **more}


LEVELS = {
    "config": {
        "request_headers_to_add": [
            option("x-level", "config"),
            option("x-over", "config", "OVERWRITE_IF_EXISTS_OR_ADD"),
            option("x-absent", "config", "ADD_IF_ABSENT"),
        ],
        "request_headers_to_remove": ["x-gone-config"],
        "response_headers_to_add": [option("x-level", "config"), option("x-over", "config", "OVERWRITE_IF_EXISTS_OR_ADD")],
        "response_headers_to_remove": ["x-gone-config"],
    },
    "host": {
        "request_headers_to_add": [
            option("x-level", "host"),
            option("x-over", "host", "OVERWRITE_IF_EXISTS_OR_ADD"),
            option("x-if", "host", "OVERWRITE_IF_EXISTS"),
        ],
        "request_headers_to_remove": ["x-gone-host"],
        "response_headers_to_add": [option("x-level", "host"), option("x-over", "host", "OVERWRITE_IF_EXISTS_OR_ADD")],
        "response_headers_to_remove": ["x-gone-host", "server"],
    },
    "route": {
        "request_headers_to_add": [
            option("x-level", "route"),
            option("x-over", "route", "OVERWRITE_IF_EXISTS_OR_ADD"),
            option("x-percent", "100%%"),
            option("x-kept-empty", "", keep_empty_value=True),
            option("x-not-kept", ""),
            option("user-agent", "weft-tests", "ADD_IF_ABSENT"),
        ],
        "request_headers_to_remove": ["x-gone-route", "x-level-in"],
        "response_headers_to_add": [
            option("x-level", "route"),
            option("x-over", "route", "OVERWRITE_IF_EXISTS_OR_ADD"),
            option("set-cookie", "a=b"),
        ],
        "response_headers_to_remove": ["x-gone-route", "x-upstream"],
    },
}


def mutations(ports, most_specific=False):
    """Header changes at all three levels."""
    levels = copy.deepcopy(LEVELS)
    entries = [
        route("/up", "up", **levels["route"]),
        direct("/direct", 200, "direct", response_headers_to_add=levels["route"]["response_headers_to_add"]),
        route("/redirect", redirect={"path_redirect": "/n"}, response_headers_to_add=[option("x-r", "1")]),
        route("/plain", "up"),
    ]
    config = {**levels["config"], "most_specific_header_mutations_wins": most_specific}
    return one_host(*entries, **levels["host"]), [cluster("up", ports["up"])], config


def local_replies(ports):
    """What the proxy answers by itself."""
    to_missing = {"cluster": "missing"}
    return one_host(
        route("/empty", "empty"),
        route("/refused", "refused"),
        route("/h2-refused", "h2-refused"),
        route("/missing-404", {**to_missing, "cluster_not_found_response_code": "NOT_FOUND"}),
        route("/missing-500", {**to_missing, "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR"}),
        route("/missing", to_missing),
        route("/slow", {"cluster": "up", "timeout": "0.2s"}),
        route("/up", "up"),
        *(direct(f"/direct-{status}", status, f"{status}") for status in (200, 201, 400, 403, 429, 500, 599)),
        direct("/bodiless-200", 200),
        direct("/bodiless-204", 204),
        direct("/bodiless-304", 304),
        direct("/typed", 200, "{}", response_headers_to_add=[option("content-type", "application/json", "OVERWRITE_IF_EXISTS_OR_ADD")]),
    ), [
        cluster("up", ports["up"]),
        cluster("empty"),
        cluster("refused", ports["refused"]),
        cluster("h2-refused", ports["refused"], http2=True),
    ], {"validate_clusters": False}


MANAGERS = {
    "server-name": {"server_name": "storefront"},
    "remote-address": {"use_remote_address": True},
    "no-request-id": {"generate_request_id": False},
    "trusted-hops": {"use_remote_address": True, "xff_num_trusted_hops": 1},
    "trusted-inside": {"xff_num_trusted_hops": 1},
    "skip-append": {"use_remote_address": True, "skip_xff_append": True},
    "internal": {"internal_address_config": {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}},
    "internal-edge": {
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]},
    },
    "server-absent": {"server_header_transformation": "APPEND_IF_ABSENT", "server_name": "named"},
    "server-through": {"server_header_transformation": "PASS_THROUGH"},
    "via": {"via": "named", "always_set_request_id_in_response": True},
    "normal": {"normalize_path": True},
    "merged": {"merge_slashes": True},
    "both-normal": {"normalize_path": True, "merge_slashes": True, "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD"},
    "escaped-reject": {"path_with_escaped_slashes_action": "REJECT_REQUEST"},
    "escaped-redirect": {
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "normalize_path": True,
        "always_set_request_id_in_response": True,
    },
    "strip-any": {"strip_any_host_port": True, "strip_trailing_host_dot": True},
    "strip-matching": {"strip_matching_host_port": True},
    "preserve-request-id": {"preserve_external_request_id": True, "use_remote_address": True},
}


def worlds():
    """Every world by name: a function from ports to a bootstrap."""
    made = {
        "matching": lambda ports: _bootstrap(*matching()),
        "domains": lambda ports: _bootstrap(*domains()),
        "domains-without-port": lambda ports: _bootstrap(*domains(ignore_port_in_host_matching=True)),
        "any-domain": lambda ports: _bootstrap(*any_domain()),
        "forward": lambda ports: _bootstrap(*forward(ports)),
        "forward-h2": lambda ports: _bootstrap(*forward(ports, http2=True)),
        "rewriting": lambda ports: _bootstrap(*rewriting(ports)),
        "mutations": lambda ports: _bootstrap(*mutations(ports)),
        "mutations-specific": lambda ports: _bootstrap(*mutations(ports, most_specific=True)),
        "local": lambda ports: _bootstrap(*local_replies(ports)),
        "actions": lambda ports: _bootstrap(*routing.actions(ports)),
        "counted": lambda ports: _bootstrap(*routing.counted(ports)),
        "formats": lambda ports: _bootstrap(*routing.formats(ports)),
        "https-only": lambda ports: _bootstrap(*routing.https_only(ports)),
    }
    for name, manager in MANAGERS.items():
        made[name] = lambda ports, manager=manager: _to_one(ports, manager)
    more = behind.WORLDS | filtering.WORLDS | limiting.WORLDS | sayings.WORLDS
    more |= services.WORLDS | written.WORLDS | spelled.WORLDS | scoped.WORLDS
    return made | settings.worlds(_to_one) | replies.worlds(_bootstrap) | more


def _to_one(ports, manager):
    return _bootstrap(*forward(ports), manager=manager)


def _bootstrap(hosts, clusters, config=None, manager=None):
    table = routes("main", *hosts, **(config or {}))
    return bootstrap([listener("main", hcm(table, **(manager or {})))], clusters)
