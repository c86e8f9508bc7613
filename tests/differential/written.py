"""Worlds and cases of what a request is compared with, and of what formats make of it."""

from differential.case import Case, both, plan
from differential.routing import header
from harness.config import bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host

REPLY = {"text_format_source": {"inline_string": "<%LOCAL_REPLY_BODY%> %REQ(x-in)% %RESPONSE_CODE% %ROUTE_NAME% %PROTOCOL%"}}
JSON = {"json_format": {"body": "%LOCAL_REPLY_BODY%", "code": "%RESPONSE_CODE%", "in": "%REQ(x-in)%"}}
TYPED = {**REPLY, "content_type": "text/markdown"}


def _answer(path, status=200, body=None, body_format=None, **more):
    answer = {"status": status, **({"body": {"inline_string": body}} if body else {})}
    return route(path, direct_response={**answer, **({"body_format": body_format} if body_format else {})}, **more)


def formats(ports):
    """Paths, hosts, redirects and answers that formats say."""
    to = {"cluster": "up"}
    typed = header("content-type", "application/x-own", "OVERWRITE_IF_EXISTS_OR_ADD")
    host = virtual_host(
        "main",
        ["*"],
        route("/path/", {**to, "path_rewrite": "/new%REQ(x-in)%"}),
        route("/path-whole/", {**to, "path_rewrite": "%REQ(x-in)%"}),
        route("/path-query/", {**to, "path_rewrite": "/new?own=%REQ(x-in)%"}),
        route("/path-fixed/", {**to, "path_rewrite": "/fixed"}),
        route("/path-added/", {**to, "path_rewrite": "/a/%REQ(x-added)%"}, request_headers_to_add=[header("x-added", "%REQ(x-in)%!")]),
        route("/path-cluster/", {**to, "path_rewrite": "/%UPSTREAM_CLUSTER%/%ROUTE_NAME%"}, name="named"),
        route("/path-missing/", {**to, "path_rewrite": "/%REQ(x-none)%/%RESPONSE_FLAGS%/x"}),
        route("/host/", {**to, "host_rewrite": "%REQ(x-in)%.test"}),
        route("/host-whole/", {**to, "host_rewrite": "%REQ(x-in)%"}),
        route("/host-fixed/", {**to, "host_rewrite": "fixed.test", "append_x_forwarded_host": True}),
        route("/both/", {**to, "host_rewrite": "h%REQ(:path)%", "path_rewrite": "/p/%REQ(:authority)%"}),
        route("/r-path/", redirect={"path_rewrite": "/to/%REQ(x-in)%"}),
        route("/r-whole/", redirect={"path_rewrite": "%REQ(x-in)%"}),
        route("/r-query/", redirect={"path_rewrite": "/to?own=%REQ(x-in)%"}),
        route("/r-strip/", redirect={"path_rewrite": "/to/%REQ(x-in)%", "strip_query": True, "host_redirect": "other.test"}),
        _answer("/d-text", body="body", body_format=REPLY, name="named"),
        _answer("/d-empty", body_format=REPLY),
        _answer("/d-typed", body="body", body_format=TYPED),
        _answer("/d-json", 403, body="body", body_format=JSON),
        _answer("/d-own-type", body="body", body_format=TYPED, response_headers_to_add=[typed]),
        _answer("/d-none"),
        _answer("/d-nothing", body_format={"text_format_source": {"inline_string": "%REQ(x-in)%"}, "omit_empty_values": True}),
        route("/", "up"),
    )
    return bootstrap([listener("main", hcm(routes("main", host)))], [cluster("up", ports["up"])])


def cookies(ports):
    """Routes by cookies."""
    matcher = lambda name, invert=False, **string: {"name": name, "string_match": string, **({"invert_match": True} if invert else {})}
    by = lambda path, *matchers: direct({"prefix": path, "cookies": list(matchers)}, 200, path)
    host = virtual_host(
        "main",
        ["*"],
        by("/exact", matcher("who", exact="ann")),
        by("/prefix", matcher("who", prefix="an", ignore_case=True)),
        by("/regex", matcher("who", safe_regex={"regex": "a.*"})),
        by("/inverted", matcher("who", True, exact="ann")),
        by("/two", matcher("who", exact="ann"), matcher("what", contains="x")),
        by("/empty", matcher("who", exact="")),
    )
    return bootstrap([listener("main", hcm(routes("main", host)))], [])


HOSTS = [virtual_host(name, [name], direct("/", 200, name)) for name in ("a.test", "*.b.test", "c.test:81")]


def by_header(*more, **config):
    """Virtual hosts by a header."""
    return lambda ports: bootstrap([listener("main", hcm(routes("main", *HOSTS, *more, vhost_header="x-host", **config)))], [])


def parameters(ports):
    """Paths whose parameters are not looked at."""
    to = {"cluster": "up"}
    host = virtual_host(
        "main",
        ["*"],
        direct({"path": "/exact"}, 200, "exact"),
        direct({"path_separated_prefix": "/sep"}, 200, "separated"),
        direct({"safe_regex": {"regex": "/re/[0-9]+"}}, 200, "expression"),
        direct({"prefix": "/q", "query_parameters": [{"name": "k", "string_match": {"exact": "a;b"}}]}, 200, "query"),
        direct({"prefix": "/h", "headers": [{"name": ":path", "string_match": {"suffix": ";x"}}]}, 200, "whole path"),
        route({"path": "/rewritten"}, {**to, "prefix_rewrite": "/new"}),
        route("/up", {**to, "prefix_rewrite": "/new"}),
        route({"safe_regex": {"regex": "/whole/.*"}}, {**to, "prefix_rewrite": "/new"}),
        route("/", "up"),
    )
    table = routes("main", host, ignore_path_parameters_in_path_matching=True)
    return bootstrap([listener("main", hcm(table))], [cluster("up", ports["up"])])


def inside(**manager):
    """Headers that only callers inside may say."""

    def world(ports):
        table = routes("main", virtual_host("main", ["*"], route("/", "up")), internal_only_headers=["x-inside", "X-Only"])
        return bootstrap([listener("main", hcm(table, **manager))], [cluster("up", ports["up"])])

    return world


LOOPBACK = {"internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}}
INSIDE = {"use_remote_address": True, **LOOPBACK}
RESPECTING = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "respect_expected_rq_timeout": True},
}


def deadlines(**manager):
    """Time limits by gRPC clients and by proxies before this one."""

    def world(ports):
        to = {"cluster": "up"}
        tries = {"retry_on": "5xx", "per_try_timeout": "0.2s", "num_retries": 0}
        host = virtual_host(
            "main",
            ["*"],
            route("/capped", {**to, "max_grpc_timeout": "0.5s", "grpc_timeout_offset": "0.1s"}),
            route("/open", {**to, "max_grpc_timeout": "0s", "timeout": "0.3s"}),
            route("/offset", {**to, "grpc_timeout_offset": "0.1s", "timeout": "0.3s"}),
            route("/tries", {**to, "max_grpc_timeout": "0.5s", "retry_policy": tries}),
            route("/per-try", {**to, "timeout": "0.5s", "retry_policy": tries}),
            route("/long-try", {**to, "timeout": "0.1s", "retry_policy": tries}),
            route("/no-limit", {**to, "timeout": "0s", "retry_policy": tries}),
            route("/new", {**to, "max_grpc_timeout": "0.5s", "max_stream_duration": {"max_stream_duration": "0.4s"}}),
            route("/", {**to, "timeout": "0.3s"}),
        )
        return bootstrap([listener("main", hcm(routes("main", host), **manager))], [cluster("up", ports["up"])])

    return world


def old_redirects(ports):
    """Redirects that are followed, said in the old way."""
    to = {"cluster": "up", "internal_redirect_action": "HANDLE_INTERNAL_REDIRECT"}
    last = {"request_headers_to_remove": ["x-respond"]}
    host = virtual_host(
        "main",
        ["*"],
        route("/once", to),
        route("/none", {**to, "max_internal_redirects": 0}),
        route("/passed", {**to, "internal_redirect_action": "PASS_THROUGH_INTERNAL_REDIRECT", "max_internal_redirects": 3}),
        route("/new-form", {**to, "max_internal_redirects": 0, "internal_redirect_policy": {"max_internal_redirects": 1}}),
        route("/final", "up", **last),
    )
    return bootstrap([listener("main", hcm(routes("main", host)))], [cluster("up", ports["up"])])


def kept(ports):
    """Bodies that are kept for another try, as far as is said."""
    # Without a timeout, of which each try is told what is left.
    again = {"cluster": "up", "timeout": "0s", "retry_policy": {"retry_on": "5xx", "retry_back_off": {"base_interval": "0.001s"}}}
    slow = {**again, "retry_policy": {**again["retry_policy"], "per_try_timeout": "0.2s"}}
    body = {"request_body_buffer_limit": 50}
    hosts = [
        virtual_host("newer", ["newer.test"], route("/more", again, request_body_buffer_limit=500), route("/", again), **body),
        virtual_host("older", ["older.test"], route("/more", again, per_request_buffer_limit_bytes=500), route("/", again), per_request_buffer_limit_bytes=50),
        virtual_host("both", ["both.test"], route("/", again), per_request_buffer_limit_bytes=500, **body),
        virtual_host("told", ["told.test"], route("/slow", slow), route("/", again), include_is_timeout_retry_header=True),
    ]
    return bootstrap([listener("main", hcm(routes("main", *hosts)))], [cluster("up", ports["up"])])


WORLDS = {
    "kept-bodies": kept,
    "written": formats,
    "cookies": cookies,
    "vhost-header": by_header(),
    "vhost-header-any": by_header(virtual_host("any", ["*"], direct("/", 200, "any"))),
    "vhost-header-port": by_header(ignore_port_in_host_matching=True),
    "vhost-header-only-any": lambda ports: bootstrap(
        [listener("main", hcm(routes("main", virtual_host("any", ["*"], direct("/", 200, "any")), vhost_header="x-host")))], []
    ),
    "parameters": parameters,
    "inside-only": inside(),
    "inside-only-edge": inside(use_remote_address=True),
    "inside-only-inside": inside(**INSIDE),
    "deadlines": deadlines(),
    "deadlines-inside": deadlines(**INSIDE),
    "deadlines-respected": deadlines(**INSIDE, http_filters=[RESPECTING]),
    "deadlines-outside": deadlines(http_filters=[RESPECTING]),
    "deadlines-suppressed": deadlines(
        **INSIDE, http_filters=[{**RESPECTING, "typed_config": {**RESPECTING["typed_config"], "suppress_envoy_headers": True}}]
    ),
    "old-redirects": old_redirects,
}

COOKIES = {
    "none": (),
    "ann": ("who=ann",),
    "among": ("a=b; who=ann; c=d",),
    "quoted": ('who="ann"',),
    "half quoted": ('who="ann',),
    "quoted nothing": ('who=""',),
    "one quote": ('who="',),
    "other": ("who=bob",),
    "any case": ("who=ANNA",),
    "name of any case": ("Who=ann",),
    "empty": ("who=",),
    "no sign": ("who",),
    "no sign before": ("who; who=ann",),
    "twice": ("who=ann; who=bob",),
    "twice, other first": ("who=bob; who=ann",),
    "two lines": ("who=ann", "who=bob"),
    "two lines, other first": ("who=bob", "who=ann"),
    "spaces": ("a=b;   who = ann ",),
    "space after": ("who=ann ; a=b",),
    "tab": ("a=b;\twho=ann",),
    "more signs": ("who=ann=x",),
    "with another": ("who=ann; what=axe",),
    "no space": ("what=axe;who=ann",),
    "only signs": (";;who=ann;",),
}


def cases():
    """Requests for both."""
    yield from _written()
    yield from _kept()
    for path in ("/exact", "/prefix", "/regex", "/inverted", "/two", "/empty"):
        for name, lines in COOKIES.items():
            yield Case("cookies", f"{path} {name}", target=path, headers=tuple(("cookie", line) for line in lines))
        for name in ("among", "two lines", "two lines, other first", "no sign before"):
            yield Case("cookies", f"{path} {name}", "h2", target=path, headers=tuple(("cookie", line) for line in COOKIES[name]))
    for world in (name for name in WORLDS if name.startswith("vhost-header")):
        for values in ((), ("a.test",), ("A.test",), ("x.b.test",), ("",), ("c.test:81",), ("a.test:81",), ("unknown",), ("a.test", "x.b.test"), ("\xff",)):
            yield from both(world, f"{'+'.join(values) or 'none'}{len(values)}", host="a.test", headers=tuple(("x-host", value) for value in values))
    for path in (
        "/exact;a /exact;a?b /exact;a/b /exact/;a /exact%3Ba /sep;x /sep/y;x /sep;x/y /re/7;x /re/7;x/y /re/;7 /q?k=a;b /q;x?k=a;b /q?k=a"
        " /h;x /h /rewritten;x?y /up;x/y /up/y;x /whole/a;b?c / /; /a;1/exact /sep;1;2/x //exact;x /exact;/"
    ).split():
        yield from both("parameters", f"path {path}", target=path)
    for world in ("inside-only", "inside-only-edge", "inside-only-inside"):
        said = (("x-inside", "1"), ("x-inside", "2"), ("x-only", "3"), ("x-other", "4"))
        for name, more in {"alone": (), "inner": (("x-forwarded-for", "10.1.2.3"),), "outer": (("x-forwarded-for", "1.2.3.4"),)}.items():
            yield from both(world, name, headers=said + more)
    yield from _deadlines()
    for path in ("/once", "/none", "/passed", "/new-form"):
        redirected = plan(status=302, headers=[["location", "http://weft.test/final"]])
        yield from both("old-redirects", path, target=path, headers=redirected)


def _kept():
    failing = plan(status=503)
    for host in ("newer.test", "older.test", "both.test"):
        for path in ("/", "/more"):
            for size in (20, 200, 2000):
                yield from both("kept-bodies", f"{host} {path} {size}", host=host, method="POST", body="b" * size, target=path, headers=failing)
    yield from both("kept-bodies", "told", host="told.test", headers=failing)
    yield Case("kept-bodies", "told of slowness", host="told.test", target="/slow", headers=plan(gate="never"))


def _written():
    paths = "path path-whole path-query path-fixed path-added path-missing path-cluster host host-whole host-fixed both r-path r-whole r-query r-strip"
    for name in paths.split():
        for value in (None, "/one", "two", "", "a b", "100%", "q?x=1", "#f", "é"):
            if name in ("path-whole", "r-whole", "both", "host-whole") and value in ("two", "a b", "q?x=1", "#f", "é"):
                continue
            sent = (("x-in", value.encode().decode("latin-1")),) if value is not None else ()
            yield Case("written", f"{name} {value}", target=f"/{name}/x?q=1", headers=sent)
            if value in (None, "/one"):
                yield Case("written", f"{name} {value}", "h2", target=f"/{name}/x?q=1", headers=sent)
    for name in "d-text d-empty d-typed d-json d-own-type d-nothing d-none".split():
        for sent in ((), (("x-in", "value"),)):
            yield from both("written", f"{name} {len(sent)}", target=f"/{name}", headers=sent)
        yield from both("written", f"HEAD {name}", method="HEAD", target=f"/{name}")
        grpc = (("content-type", "application/grpc"), ("te", "trailers"))
        yield from both("written", f"{name} for gRPC", method="POST", body="", target=f"/{name}", headers=grpc)


def _deadlines():
    grpc = (("content-type", "application/grpc"), ("te", "trailers"))
    said = {
        "nothing": (),
        "grpc 10S": (("grpc-timeout", "10S"),),
        "grpc 300m": (("grpc-timeout", "300m"),),
        "grpc 50m": (("grpc-timeout", "50m"),),
        "grpc 0m": (("grpc-timeout", "0m"),),
        "grpc bad": (("grpc-timeout", "1x"),),
        "expected 700": (("x-envoy-expected-rq-timeout-ms", "700"),),
        "expected 0": (("x-envoy-expected-rq-timeout-ms", "0"),),
        "expected bad": (("x-envoy-expected-rq-timeout-ms", "7s"),),
        "asked 600": (("x-envoy-upstream-rq-timeout-ms", "600"),),
        "asked 600 expected 700": (("x-envoy-upstream-rq-timeout-ms", "600"), ("x-envoy-expected-rq-timeout-ms", "700")),
        "asked 600 try 90": (("x-envoy-upstream-rq-timeout-ms", "600"), ("x-envoy-upstream-rq-per-try-timeout-ms", "90")),
    }
    for world in (name for name in WORLDS if name.startswith("deadlines")):
        for path in ("/capped", "/open", "/offset", "/tries", "/per-try", "/long-try", "/no-limit", "/new", "/"):
            for name, headers in said.items():
                if world == "deadlines" or name.startswith(("nothing", "expected", "asked")):
                    yield Case(world, f"{path} {name} gRPC", "h2", method="POST", body="", target=path, headers=grpc + headers)
                    yield Case(world, f"{path} {name}", target=path, headers=headers)
    held = plan(gate="never")
    for path in ("/capped", "/tries", "/per-try", "/long-try", "/"):
        yield from both("deadlines", f"passes {path}", method="POST", body="", target=path, headers=grpc + held)
