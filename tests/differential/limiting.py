"""Worlds and cases of requests that are delayed, failed or refused before they go anywhere."""

from differential.case import both
from differential.filtering import put, said, setting, typed, world
from differential.routing import header
from harness.config import cluster, direct, route, virtual_host

FAULT = "fault.v3.HTTPFault"
RATE = "local_ratelimit.v3.LocalRateLimit"
GRPC = (("content-type", "application/grpc"), ("te", "trailers"))


def share(numerator, denominator="HUNDRED"):
    return {"percentage": {"numerator": numerator, "denominator": denominator}}


def faults(ports):
    own = lambda **config: said((FAULT, typed(FAULT, **config)))
    always = share(100)
    exact = {"name": "x-fault", "string_match": {"exact": "yes"}}
    host = virtual_host(
        "main",
        ["*"],
        route("/abort", "up", **own(abort={"http_status": 418, **always}), response_headers_to_add=[header("x-route", "said")]),
        route("/grpc", "up", **own(abort={"grpc_status": 5, **always})),
        route("/never", "up", **own(abort={"http_status": 418, **share(0)})),
        route("/unset", "up", **own(abort={"http_status": 418})),
        route("/million", "up", **own(abort={"http_status": 418, **share(1_000_000, "MILLION")})),
        route("/late", "up", **own(delay={"fixed_delay": "0.1s", **always})),
        route("/late-abort", "up", **own(delay={"fixed_delay": "0.1s", **always}, abort={"http_status": 503, **always})),
        route("/matched", "up", **own(abort={"http_status": 418, **always}, headers=[exact])),
        route("/to-up", "up", **own(abort={"http_status": 418, **always}, upstream_cluster="up")),
        route("/to-other", "up", **own(abort={"http_status": 418, **always}, upstream_cluster="other")),
        route("/by-header", "up", **own(abort={"header_abort": {}, **always}, delay={"header_delay": {}, **always})),
        route("/by-header-seldom", "up", **own(abort={"header_abort": {}, **share(0)})),
        route("/slow", "up", **own(response_rate_limit={"fixed_limit": {"limit_kbps": 1}, **always})),
        route("/slow-by-header", "up", **own(response_rate_limit={"header_limit": {}, **always})),
        route("/slow-abort", "up", **own(response_rate_limit={"fixed_limit": {"limit_kbps": 1}, **always}, abort={"http_status": 503, **always})),
        route("/off", "up", **said((FAULT, setting(disabled=True)))),
        route("/missing", "empty", **own(abort={"http_status": 418, **always})),
        direct("/direct", 200, "direct", **own(abort={"http_status": 418, **always})),
        route("/", "up"),
    )
    filters = [put(FAULT, abort={"http_status": 404, **always}, headers=[exact], max_active_faults=100)]
    return world(filters, [host], [cluster("up", ports["up"]), cluster("empty")])


def fault_cases():
    paths = "/abort /grpc /never /unset /million /late /late-abort /slow /slow-by-header /slow-abort /to-up /to-other /off /missing /direct /plain".split()
    for path in paths:
        yield from both("faults", path, target=path)
        yield from both("faults", f"{path} of gRPC", target=path, method="POST", body="", headers=GRPC)
    for path in ("/matched", "/plain"):
        for value in ("yes", "no"):
            yield from both("faults", f"{path} {value}", target=path, headers=(("x-fault", value),))
    asked = {
        "status": (("x-envoy-fault-abort-request", "418"),),
        "no status": (("x-envoy-fault-abort-request", "199"),),
        "no number": (("x-envoy-fault-abort-request", "x"),),
        "grpc": (("x-envoy-fault-abort-grpc-request", "5"),),
        "both": (("x-envoy-fault-abort-request", "418"), ("x-envoy-fault-abort-grpc-request", "5")),
        "never": (("x-envoy-fault-abort-request", "418"), ("x-envoy-fault-abort-request-percentage", "0")),
        "more": (("x-envoy-fault-abort-request", "418"), ("x-envoy-fault-abort-request-percentage", "200")),
        "delay": (("x-envoy-fault-delay-request", "50"),),
        "delay and status": (("x-envoy-fault-delay-request", "50"), ("x-envoy-fault-abort-request", "418")),
    }
    for name, sent in asked.items():
        yield from both("faults", f"asked for {name}", target="/by-header", headers=sent)
        yield from both("faults", f"{name} of gRPC", target="/by-header", method="POST", body="", headers=GRPC + sent)
    yield from both("faults", "asked too much", target="/by-header-seldom", headers=asked["more"])


def bucket(tokens):
    """That fills up in a day."""
    return {"token_bucket": {"max_tokens": tokens, "tokens_per_fill": 1, "fill_interval": "86400s"}}


def of_all(part=100):
    return {"runtime_key": "none", "default_value": {"numerator": part}}


ON = {"stat_prefix": "rate", "filter_enabled": of_all(), "filter_enforced": of_all()}
LEFT = {"enable_x_ratelimit_headers": "DRAFT_VERSION_03"}


def rates(ports):
    own = lambda **config: said((RATE, typed(RATE, **{**ON, **config})))
    noted = {"request_headers_to_add_when_not_enforced": [header("x-noted", "too many"), header("x-noted", "%PROTOCOL%")]}
    refused = {"response_headers_to_add": [header("x-refused", "yes"), header("x-from", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")]}
    host = virtual_host(
        "main",
        ["*"],
        route("/none", "up", **own(**bucket(0), **refused), response_headers_to_add=[header("x-route", "said")]),
        route("/one", "up", **own(**bucket(1))),
        route("/three", "up", **own(**bucket(3), **LEFT)),
        route("/none-left", "up", **own(**bucket(0), **LEFT)),
        route("/status", "up", **own(**bucket(0), status={"code": "ServiceUnavailable"})),
        route("/no-error", "up", **own(**bucket(0), status={"code": "Accepted"})),
        route("/exhausted", "up", **own(**bucket(0), rate_limited_as_resource_exhausted=True)),
        route("/noted", "up", **own(**bucket(0), filter_enforced=of_all(0), **noted, **LEFT)),
        route("/not-enabled", "up", **own(**bucket(0), filter_enabled=of_all(0), **LEFT)),
        route("/unset", "up", **said((RATE, typed(RATE, stat_prefix="rate", **bucket(0))))),
        route("/off", "up", **said((RATE, setting(disabled=True)))),
        direct("/direct", 200, "direct", **own(**bucket(1), **LEFT)),
        route("/", "up"),
    )
    return world([put(RATE, **ON, **bucket(4))], [host], [cluster("up", ports["up"])])


def rate_cases():
    paths = "/none /one /three /none-left /status /no-error /exhausted /noted /not-enabled /unset /off /direct /plain".split()
    for path in paths:
        for turn in ("first", "second", "third"):
            yield from both("rates", f"{turn} {path}", target=path)
        yield from both("rates", f"{path} of gRPC", target=path, method="POST", body="", headers=GRPC)


def entries(**pairs):
    """What a limit by description is for."""
    return {"entries": [{"key": key, "value": value} for key, value in pairs.items()]}


def each(*actions, **more):
    """`rate_limits` of a route or of its host: one description of these parts."""
    return {"rate_limits": [{"actions": list(actions), **more}]}


GENERIC = {"generic_key": {"descriptor_value": "a"}}
OF_USER = {"request_headers": {"header_name": "x-user", "descriptor_key": "user"}}
OF_MATCH = [{"name": "x-user", "string_match": {"exact": "ann"}}]


def described(ports):
    """Limits by what requests are: for each kind of part a route, and a bucket with one token or with none."""
    to = lambda **more: {"cluster": "up", **more}
    own = lambda **config: said((RATE, typed(RATE, **{**ON, **LEFT, **bucket(1000), **config})))
    host = virtual_host(
        "main",
        ["*"],
        route("/generic", to(**each(GENERIC))),
        route("/named", to(**each({"generic_key": {"descriptor_key": "named", "descriptor_value": "b"}}))),
        route("/user", to(**each(OF_USER))),
        route("/path", to(**each({"request_headers": {"header_name": ":path", "descriptor_key": "path"}}))),
        route("/skip", to(**each({"request_headers": {**OF_USER["request_headers"], "skip_if_absent": True}}, GENERIC))),
        route("/query", to(**each({"query_parameters": {"query_parameter_name": "u", "descriptor_key": "query"}}))),
        route("/query-skip", to(**each({"query_parameters": {"query_parameter_name": "u", "descriptor_key": "query", "skip_if_absent": True}}))),
        route("/remote", to(**each({"remote_address": {}}))),
        route("/masked", to(**each({"masked_remote_address": {"v4_prefix_mask_len": 8, "v6_prefix_mask_len": 64}}))),
        route("/match", to(**each({"header_value_match": {"descriptor_value": "c", "headers": OF_MATCH}}))),
        route("/unlike", to(**each({"header_value_match": {"descriptor_key": "unlike", "descriptor_value": "d", "expect_match": False, "headers": OF_MATCH}}))),
        route("/destination", to(**each({"destination_cluster": {}}))),
        route("/later", to(**each(GENERIC, stage=1))),
        route("/two-parts", to(**each(GENERIC, OF_USER))),
        route("/two", to(rate_limits=[{"actions": [OF_USER]}, {"actions": [{"generic_key": {"descriptor_value": "often"}}]}])),
        route("/own", "up", **own(rate_limits=[{"actions": [OF_USER]}], descriptors=[{**entries(user="bob"), **bucket(1)}])),
        route("/own-stage", to(**each(OF_USER, stage=2)), **own(stage=2, descriptors=[{**entries(user="bob"), **bucket(0)}])),
        route("/own-only", to(**each(OF_USER)), **own(**{**bucket(0), "always_consume_default_token_bucket": False}, descriptors=[{**entries(user="bob"), **bucket(1)}])),
        route("/none", "up"),
    )
    by_host = lambda name, **config: virtual_host(
        name,
        [f"{name}.test"],
        route("/own", to(**each(OF_USER)), **own(**config)),
        route("/included", to(include_vh_rate_limits=True, **each(OF_USER)), **own(**config)),
        route("/", "up", **own(**config)),
        **each(GENERIC),
    )
    none_left = {"descriptors": [{**entries(generic_key="a"), **bucket(0)}]}
    hosts = [by_host("override", **none_left), by_host("include", vh_rate_limits="INCLUDE", **none_left), by_host("ignore", vh_rate_limits="IGNORE", **none_left)]
    limits = [
        {**entries(generic_key="a"), **bucket(3)},
        {**entries(named="b"), **bucket(0)},
        {**entries(user="ann"), **bucket(2)},
        {**entries(path="/path/x?y"), **bucket(0)},
        {**entries(user="ann", generic_key="a"), **bucket(0)},
        {**entries(generic_key="a", user="ann"), **bucket(1)},
        {**entries(query="a b"), **bucket(0)},
        {**entries(remote_address="127.0.0.1"), **bucket(1)},
        {**entries(masked_remote_address="127.0.0.0/8"), **bucket(0)},
        {**entries(header_match="c"), **bucket(0)},
        {**entries(unlike="d"), **bucket(0)},
        {**entries(destination_cluster="up"), **bucket(0)},
        {**entries(generic_key="often"), "token_bucket": {"max_tokens": 9, "tokens_per_fill": 9, "fill_interval": "86400s"}},
    ]
    filters = [put(RATE, **ON, **LEFT, **bucket(1000), descriptors=limits)]
    return world(filters, [host, *hosts], [cluster("up", ports["up"])])


def described_cases():
    paths = "/generic /named /user /skip /remote /masked /match /unlike /destination /later /two-parts /two /own /own-stage /own-only /none".split()
    for path in paths:
        for user in ("ann", "bob", None):
            sent = (("x-user", user),) if user else ()
            for turn in ("first", "second"):
                yield from both("described", f"{turn} {path} of {user}", target=path, headers=sent)
    for target in ("/path/x?y", "/path/x", "/query?u=a%20b", "/query?u=a&u=a%20b", "/query", "/query-skip", "/query-skip?u=a%20b"):
        yield from both("described", target, target=target)
    for host in ("override", "include", "ignore"):
        for path in ("/own", "/included", "/none"):
            for user in ("ann", None):
                sent = (("x-user", user),) if user else ()
                yield from both("described", f"{path} at {host} of {user}", target=path, headers=sent, host=f"{host}.test")


ANN = {"name": "u", "string_match": {"exact": "ann"}}
HOME = {"ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}


def valued(ports):
    """Limits with values for all, limits that are only noted, and requests that count more than once."""
    own = lambda *actions, **more: said((RATE, typed(RATE, **{**ON, **LEFT, **bucket(1000), "rate_limits": [{"actions": list(actions)}], **more})))
    to = lambda action, **config: (route(f"/{action}", "up", **config))
    user = {**entries(user=""), **bucket(2)}
    ann = {**entries(user="ann"), **bucket(1)}
    both_parts = {**entries(user="", generic_key="a"), **bucket(1)}
    noted = {**entries(user="ann"), **bucket(1), "shadow_mode": True}
    counts = lambda hits, **more: {"rate_limits": [{"actions": [OF_USER], "hits_addend": hits, **more}], "descriptors": [{**entries(user="ann"), **bucket(5)}]}
    query = lambda **more: {"query_parameter_value_match": {"descriptor_value": "q", "query_parameters": [ANN], **more}}
    remote = lambda matcher, **more: {"remote_address_match": {"descriptor_value": "home", "address_matcher": matcher, **more}}
    none = lambda **what: {"descriptors": [{**entries(**what), **bucket(0)}]}
    told = lambda option: {"rate_limits": [{"actions": [OF_USER], "x_ratelimit_option": option}], "descriptors": [ann]}
    host = virtual_host(
        "main",
        ["*"],
        to("any", **own(OF_USER, descriptors=[user], max_dynamic_descriptors=5)),
        to("own", **own(OF_USER, **{**bucket(1), "local_rate_limit_per_downstream_connection": True})),
        to("any-but-ann", **own(OF_USER, descriptors=[user, ann])),
        to("parts", **own(OF_USER, GENERIC, descriptors=[both_parts])),
        to("noted", **own(OF_USER, descriptors=[noted])),
        to("hits", **own(**counts({"number": 3}))),
        to("said-hits", **own(**counts({"format": "%REQ(x-hits)%"}))),
        to("query", **own(query(), **none(query_match="q"))),
        to("no-query", **own(query(expect_match=False, descriptor_key="k"), **none(k="q"))),
        to("home", **own(remote(HOME), **none(remote_address_match="home"))),
        to("away", **own(remote({**HOME, "invert_match": True}, descriptor_key="k"), **none(k="home"))),
        to("told-not", **own(**told("OFF"))),
        to("told", **own(**{**told("DRAFT_VERSION_03"), "enable_x_ratelimit_headers": "OFF"})),
    )
    return world([put(RATE, **ON, **bucket(1000))], [host], [cluster("up", ports["up"])])


def valued_cases():
    for path in "any own any-but-ann parts noted hits told told-not".split():
        for turn in ("first", "second", "third"):
            for user in ("ann", "bob"):
                yield from both("valued", f"{turn} {path} of {user}", target=f"/{path}", headers=(("x-user", user),))
    for hits in ("2", "3", "-1", "x", "1000000001", None):
        more = (("x-hits", hits),) if hits else ()
        yield from both("valued", f"{hits} hits", target="/said-hits", headers=(("x-user", "ann"), *more))
    for target in ("/query?u=ann", "/query?u=bob", "/query", "/no-query?u=ann", "/no-query", "/home", "/away"):
        yield from both("valued", target, target=target)


WORLDS = {"faults": faults, "rates": rates, "described": described, "valued": valued}


def cases():
    yield from fault_cases()
    yield from rate_cases()
    yield from described_cases()
    yield from valued_cases()
