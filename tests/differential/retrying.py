"""Requests that are sent once more, or given up: policies, and what becomes of each try."""

from dataclasses import dataclass, field

from harness.config import address, bootstrap, cluster, endpoint, hcm, listener, route, routes, virtual_host

TEN = {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
INSIDE = (("x-forwarded-for", "10.0.0.1"),)
GRPC = (("content-type", "application/grpc"), ("te", "trailers"))
FAST = {"base_interval": "0.001s", "max_interval": "0.002s"}
# Long enough for what is to come before it, on a machine with much else to do.
SHORT, LONG = "0.25s", "9s"


def policy(on, **more):
    return {"retry_policy": {"retry_on": on, "num_retries": 2, "retry_back_off": FAST, **more}}


HEADER = {"name": "x-again", "string_match": {"prefix": "y"}}
GETS = {"name": ":method", "string_match": {"exact": "GET"}}
TOLD = {"reset_headers": [{"name": "retry-after"}, {"name": "x-reset", "format": "UNIX_TIMESTAMP"}], "max_interval": "1.5s"}

# Conditions, each alone and some together; every one meets every behaviour.
CONDITIONS = {
    "none": {},
    "5xx": policy("5xx"),
    "gateway-error": policy("gateway-error"),
    "reset": policy("reset"),
    "reset-before-request": policy("reset-before-request"),
    "connect-failure": policy("connect-failure"),
    "refused-stream": policy("refused-stream"),
    "retriable-4xx": policy("retriable-4xx"),
    "ratelimited": policy("envoy-ratelimited"),
    "status-codes": policy("retriable-status-codes", retriable_status_codes=[418, 503]),
    "headers": policy("retriable-headers", retriable_headers=[HEADER]),
    "grpc": policy("cancelled,deadline-exceeded,resource-exhausted,internal,unavailable"),
    "grpc-unavailable": policy("unavailable"),
    "several": policy("5xx,retriable-4xx,reset,cancelled", num_retries=1),
}
# What else a route says; each meets the cases that are about it.
PREDICATES = "envoy.extensions.retry.host"
PREVIOUS = {"name": "previous", "typed_config": {"@type": f"type.googleapis.com/{PREDICATES}.previous_hosts.v3.PreviousHostsPredicate"}}
CANARIES = {"name": "canaries", "typed_config": {"@type": f"type.googleapis.com/{PREDICATES}.omit_canary_hosts.v3.OmitCanaryHostsPredicate"}}


def labelled(**labels):
    return {"filter_metadata": {"envoy.lb": labels}}


def without(**labels):
    config = {"@type": f"type.googleapis.com/{PREDICATES}.omit_host_metadata.v3.OmitHostMetadataConfig", "metadata_match": labelled(**labels)}
    return {"name": "labels", "typed_config": config}


def leaving_out(*predicates):
    return policy("5xx", num_retries=1, retry_host_predicate=list(predicates), host_selection_retry_max_attempts=200)


# Which endpoints another try goes to. Without a predicate ours avoid those that were tried, as they do with one.
CHOICES = {
    "previous": leaving_out(PREVIOUS),
    "canaries": leaving_out(CANARIES),
    "canaries-and-previous": leaving_out(CANARIES, PREVIOUS),
    "v1": leaving_out(without(version="v1")),
    "v1-and-v2": leaving_out(without(version="v1"), without(version="v2")),
    "v1-of-prod": leaving_out(without(version="v1", stage="prod")),
    "v1-of-dev": leaving_out(without(version="v1", stage="dev"), PREVIOUS),
    "an-item": leaving_out(without(shape="flat")),
    "no-label": leaving_out(without(), PREVIOUS),
}
# Of these, each endpoint is left out for one reason or another after the first try.
ALL_LEFT_OUT = {"canaries-and-previous"}
POLICIES = {
    "never": policy("5xx", num_retries=0),
    "once": policy("5xx", num_retries=1),
    "many": policy("5xx", num_retries=5),
    "gets": policy("5xx", retriable_request_headers=[GETS]),
    "told": policy("5xx", rate_limited_retry_back_off=TOLD),
    "per-try": policy("5xx", per_try_timeout=SHORT),
    "per-try-reset": policy("reset", per_try_timeout=SHORT),
    "per-try-other": policy("connect-failure", per_try_timeout=SHORT),
    "per-try-idle": policy("5xx", per_try_idle_timeout=SHORT),
    "whole": policy("5xx", per_try_timeout=LONG) | {"timeout": SHORT},
    "whole-first": policy("5xx") | {"timeout": SHORT},
    "rests": policy("5xx", retry_back_off={"base_interval": "60s"}) | {"timeout": SHORT},
    "no-timeout": policy("5xx") | {"timeout": "0s"},
    "grpc-timeout": policy("unavailable") | {"max_stream_duration": {"grpc_timeout_header_max": LONG}},
    "stream": policy("5xx") | {"max_stream_duration": {"max_stream_duration": SHORT}},
}


@dataclass
class Try:
    """One request: what the upstream does with the tries of it, and to whom it goes."""

    name: str
    target: str
    script: tuple
    method: str = "GET"
    headers: tuple = ()
    body: str | None = None
    host: str = "weft.test"
    # Counters of the cluster that are compared as well.
    counts: bool = True


def answers(status, *headers, **more):
    return {"status": status, "headers": [list(pair) for pair in headers], "body": f"said {status}", **more}


def grpc(status):
    """A call that ends with its head."""
    return {"headers": [["content-type", "application/grpc"], ["grpc-status", str(status)]], "body": ""}


FINE = answers(200)
BEHAVIOURS = {
    "fine": (FINE,),
    "500": (answers(500), FINE),
    "503": (answers(503), FINE),
    "503 twice": (answers(503), answers(503), FINE),
    "503 always": (answers(503),) * 6,
    "502 then 404": (answers(502), answers(404)),
    "504": (answers(504), FINE),
    "501": (answers(501), FINE),
    "404": (answers(404), FINE),
    "409": (answers(409), FINE),
    "418": (answers(418), FINE),
    "429": (answers(429), FINE),
    "asked by header": (answers(200, ("x-again", "yes")), FINE),
    "not asked by header": (answers(503, ("x-again", "no")), FINE),
    "rate-limited": (answers(429, ("x-envoy-ratelimited", "true")), FINE),
    "rate-limited 503": (answers(503, ("x-envoy-ratelimited", "true")), FINE),
    "hangs up": ({"hangup": "before"}, FINE),
    "hangs up always": ({"hangup": "before"},) * 6,
    "503 then hangs up": (answers(503), {"hangup": "before"}, FINE),
    "hangs up within": ({**answers(200, framing="chunked"), "hangup": "middle"}, FINE),
}
STATUSES = {1: "cancelled", 2: "unknown", 4: "deadline", 5: "not found", 8: "exhausted", 13: "internal", 14: "unavailable", 0: "ok"}


def conditions():
    """Every condition meets every behaviour, over HTTP/1.1 and h2."""
    for name in CONDITIONS:
        for said, script in BEHAVIOURS.items():
            for kind in ("h1", "h2"):
                yield Try(f"{name}/{kind} {said}", f"/{kind}/{name}/", script)
        yield Try(f"{name}/h2 refused stream", f"/h2/{name}/", ({"hangup": "before", "code": 7}, FINE), counts=False)
        yield Try(f"{name}/h2 cancelled stream", f"/h2/{name}/", ({"hangup": "before", "code": 8}, FINE))
        for status, word in STATUSES.items():
            yield Try(f"{name}/h2 grpc {word}", f"/h2/{name}/", (grpc(status), grpc(0)), "POST", GRPC, "")
        yield Try(f"{name}/refused", f"/refused/{name}/", ())
        yield Try(f"{name}/nobody", f"/nobody/{name}/", ())


def bodies():
    """What is sent again with a body, and what is not."""
    busy = (answers(503), answers(503), FINE)
    for size in (0, 1, 1_000, 65_536):
        yield Try(f"body/{size}", "/h1/5xx/", busy, "POST", (), "b" * size)
        yield Try(f"body/h2 {size}", "/h2/5xx/", busy, "POST", (), "b" * size)
    for method in ("PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
        yield Try(f"body/{method}", "/h1/5xx/", busy, method)
        yield Try(f"body/{method} of gets", "/h1/gets/", busy, method)
    yield Try("body/GET of gets", "/h1/gets/", busy)
    yield Try("body/hangs up after it", "/h1/reset/", ({"hangup": "before"}, FINE), "POST", (), "body")


def numbers():
    """How often."""
    for name in ("never", "once", "many"):
        for failures in range(1, 7):
            yield Try(f"number/{name} {failures}", f"/h1/{name}/", (*(answers(503),) * failures, FINE))


def wishes():
    """What callers ask for in headers, inside the mesh and outside."""
    busy, refuses, asks = (answers(503), answers(503), FINE), (answers(418), FINE), (answers(200, ("x-else", "1")), FINE)
    said = {
        "retry-on": (("x-envoy-retry-on", "5xx"),),
        "retry-on two": (("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "2")),
        "retry-on and many": (("x-envoy-retry-on", "gateway-error,reset"), ("x-envoy-max-retries", "9")),
        "retries alone": (("x-envoy-max-retries", "2"),),
        "no retries": (("x-envoy-max-retries", "0"),),
        "nonsense": (("x-envoy-retry-on", "whatever"), ("x-envoy-max-retries", "some")),
        "status codes": (("x-envoy-retry-on", "retriable-status-codes"), ("x-envoy-retriable-status-codes", "418, 503")),
        "status codes unasked": (("x-envoy-retriable-status-codes", "418,503"),),
        "header names": (("x-envoy-retry-on", "retriable-headers"), ("x-envoy-retriable-header-names", "x-else,x-more")),
        "header names unasked": (("x-envoy-retriable-header-names", "x-else"),),
        "grpc": (("x-envoy-retry-grpc-on", "unavailable"),),
        "both": (("x-envoy-retry-on", "reset"), ("x-envoy-retry-grpc-on", "internal,cancelled")),
    }
    for word, headers in said.items():
        for place, more in (("inside", INSIDE), ("outside", (("x-forwarded-for", "9.9.9.9"),))):
            for name in ("none", "once"):
                yield Try(f"asked/{word} {place} {name} busy", f"/h1/{name}/", busy, headers=more + headers)
            yield Try(f"asked/{word} {place} 418", "/h1/none/", refuses, headers=more + headers)
            yield Try(f"asked/{word} {place} header", "/h1/none/", asks, headers=more + headers)
            yield Try(f"asked/{word} {place} call", "/h2/none/", (grpc(14), grpc(0)), "POST", more + headers + GRPC, "")


def times():
    """What is given up, and what is tried again after that."""
    held = {"gate": "never"}
    slow, dead = (held, FINE), (held,) * 4
    for name in ("per-try", "per-try-reset", "per-try-other", "per-try-idle", "whole", "whole-first"):
        for said, script in {"held once": slow, "held always": dead, "503 then held": (answers(503), held, FINE), "fine": (FINE,)}.items():
            yield Try(f"time/{name} {said}", f"/h1/{name}/", script)
    yield Try("time/per-try over h2", "/h2/per-try/", slow)
    yield Try("time/per-try with a body", "/h1/per-try/", slow, "POST", (), "body")
    yield Try("time/rests too long", "/h1/rests/", tuple([answers(503)] * 3), counts=False)
    yield Try("time/none", "/h1/no-timeout/", (answers(503), FINE))
    yield Try("time/of a stream", "/h1/stream/", (held,))
    # A call without any time left (0m) may or may not be sent on by Envoy, as its timer happens to ring.
    for limit in ("250m", "9S", "soon"):
        yield Try(f"time/grpc-timeout {limit}", "/h2/grpc-timeout/", (grpc(14), grpc(0)), "POST", (*GRPC, ("grpc-timeout", limit)), "")
    yield Try("time/grpc-timeout is over", "/h2/grpc-timeout/", (held,), "POST", (*GRPC, ("grpc-timeout", "250m")), "")
    asked = {
        "timeout": (("x-envoy-upstream-rq-timeout-ms", "250"),),
        "per try": (("x-envoy-upstream-rq-per-try-timeout-ms", "250"), ("x-envoy-retry-on", "5xx")),
        "per try alone": (("x-envoy-upstream-rq-per-try-timeout-ms", "250"),),
        "both": (("x-envoy-upstream-rq-per-try-timeout-ms", "9000"), ("x-envoy-upstream-rq-timeout-ms", "250"), ("x-envoy-retry-on", "5xx")),
        "longer per try": (("x-envoy-upstream-rq-per-try-timeout-ms", "9000"), ("x-envoy-upstream-rq-timeout-ms", "250")),
    }
    for word, headers in asked.items():
        yield Try(f"time/asked {word} held", "/h1/none/", slow, headers=INSIDE + headers)
        yield Try(f"time/asked {word} 503", "/h1/none/", (answers(503), FINE), headers=INSIDE + headers)
    for word, value in {"one second": "1", "too long": "60", "zero": "0", "nonsense": "soon"}.items():
        yield Try(f"told/{word}", "/h1/told/", (answers(503, ("retry-after", value)), FINE))
    yield Try("told/long past", "/h1/told/", (answers(503, ("x-reset", "1000")), FINE))


def levels():
    """Policies of a virtual host, and limits of clusters on what is tried again."""
    for said in ("503", "503 twice", "404", "hangs up"):
        yield Try(f"level/host {said}", "/plain/", BEHAVIOURS[said], host="host.test")
        yield Try(f"level/route {said}", "/of-route/", BEHAVIOURS[said], host="host.test")
    for name in ("none", "retriable-4xx", "never", "many", "per-try"):
        for said in ("500", "503", "503 twice", "409"):
            yield Try(f"level/cluster over {name} {said}", f"/own/{name}/", BEHAVIOURS[said])
    for name in LIMITED:
        for said in ("503", "503 twice", "fine"):
            yield Try(f"level/{name} {said}", f"/{name}/many/", BEHAVIOURS[said])


def cases():
    """All of them."""
    for make in (conditions, bodies, numbers, wishes, times, levels):
        yield from make()


# How much a cluster lets be tried again.
BUDGET = {"budget_percent": {"value": 0}, "min_retry_concurrency": 1}
LIMITED = {"no-retries": {"max_retries": 0}, "one-retry": {"max_retries": 1}, "budget": {"max_retries": 0, "retry_budget": BUDGET}}


def clusters(ports):
    """Each request finds a connection of its own, so none was old."""
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    h2 = {"@type": f"type.googleapis.com/{options}", "explicit_http_config": {"http2_protocol_options": {}}, "common_http_protocol_options": {"max_requests_per_connection": 1}}
    return [
        cluster("h1", ports["up"], common_http_protocol_options={"max_requests_per_connection": 1}),
        cluster("h2", ports["up"], typed_extension_protocol_options={options: h2}),
        cluster("own", ports["up"], typed_extension_protocol_options={options: {**h2, **policy("gateway-error", num_retries=1)}}),
        cluster("refused", endpoint(ports["refused"])),
        cluster("nobody"),
        cluster("several", *endpoints(ports), lb_policy="RANDOM"),
        *(cluster(name, ports["up"], circuit_breakers={"thresholds": [limit]}) for name, limit in LIMITED.items()),
    ]


def endpoints(ports):
    """Two that differ by their address, and by what they say of themselves."""
    first = endpoint(ports["up"], metadata=labelled(canary=True, version="v1", stage="prod"))
    other = {"endpoint": {"address": address(ports["six"], "::1")}, "metadata": labelled(canary="true", version="v2", shape=["flat", "round"])}
    return first, other


def world(ports):
    """`/cluster/policy/` reaches that cluster by that policy."""
    entries = [route(f"/{name}/{word}/", {"cluster": name, **said}) for name in ("h1", "h2", "refused", "nobody", "own", *LIMITED) for word, said in (CONDITIONS | POLICIES).items()]
    entries += [route(f"/{word}/", {"cluster": "several", **said}) for word, said in CHOICES.items()]
    host = virtual_host("all", ["*"], *entries, include_request_attempt_count=True, include_attempt_count_in_response=True, include_is_timeout_retry_header=True)
    plain = [route("/plain/", "h1"), route("/of-route/", {"cluster": "h1", **policy("retriable-4xx,reset", num_retries=1)})]
    other = virtual_host("host", ["host.test"], *plain, **policy("5xx", num_retries=1))
    return bootstrap([listener("main", hcm(routes("r", host, other), internal_address_config=TEN))], clusters(ports))


# What a proxy counts of tries.
COUNTERS = ("upstream_rq_retry", "upstream_rq_retry_success", "upstream_rq_retry_limit_exceeded", "upstream_rq_retry_overflow", "upstream_rq_per_try_timeout", "upstream_rq_retry_backoff_ratelimited", "upstream_rq_retry_backoff_exponential")


@dataclass(frozen=True)
class Difference:
    """One that is on purpose."""

    cases: str
    paths: str
    why: str = field(repr=False)


DIFFERENT = [
    Difference(
        r".*/h2 refused stream",
        ".*",
        "What was provably not processed goes to an endpoint again without a policy that asks for it; Envoy passes the refusal on.",
    ),
    Difference(
        r".*/refused",
        r"counter\..*|header\.x-envoy-attempt-count",
        "A request that found no connection is tried again under any policy or none; Envoy wants the condition to be named.",
    ),
    Difference(
        r".*/(refused|h[12] hangs up always|h[12] 503 then hangs up)|asked/.* call",
        r"body|header\.content-length",
        "Envoy's text says that it had retried; ours is the same for every try, and x-envoy-attempt-count says how many there were.",
    ),
    Difference(
        r".*/h[12] 503 then hangs up",
        r"counter\.upstream_rq_retry_success",
        "Envoy counts a retry as a success that was broken off, because nothing asks for one more; only an answer counts here.",
    ),
    Difference(
        r"level/cluster over per-try .*",
        r"try\.[0-9]\.x-envoy-expected-rq-timeout-ms",
        "A cluster's retry policy holds as a whole; Envoy goes on taking the time of one try from the policy of the route.",
    ),
    Difference(
        r"time/(of a stream|grpc-timeout is over)",
        r"header\.x-envoy-attempt-count",
        "The limit of a stream is told before Envoy's router has a say, which would write how many tries there were.",
    ),
]
