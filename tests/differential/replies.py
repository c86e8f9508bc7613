"""Worlds and cases of the proxy's own answers in other forms, and of redirects that are followed."""

from harness.config import assignment, bootstrap, cluster, direct, endpoint, hcm, listener, route, routes, virtual_host

from differential.case import Case, both, plan
from differential.routing import header

PREDICATE = "envoy.internal_redirect_predicates."
TYPE = "type.googleapis.com/envoy.extensions.internal_redirect."


def status(op, code):
    return {"status_code_filter": {"comparison": {"op": op, "value": {"default_value": code, "runtime_key": "none"}}}}


def flags(*names):
    return {"response_flag_filter": {"flags": list(names)}}


def said(name, text):
    return {"header_filter": {"header": {"name": name, "string_match": {"exact": text}}}}


TEXT = {"text_format_source": {"inline_string": "%RESPONSE_CODE% %REQ(x-in)% <%LOCAL_REPLY_BODY%> %RESPONSE_FLAGS% %ROUTE_NAME%"}}
JSON = {
    "json_format": {
        "status": "%RESPONSE_CODE%",
        "text": "code %RESPONSE_CODE% of %REQ(:method)% %REQ(:path)%",
        "body": "%LOCAL_REPLY_BODY%",
        "missing": "%REQ(x-none)%",
        "within": "a%REQ(x-none)%b",
        "nested": {"z": "%PROTOCOL%", "a": {"in": "%REQ(x-in)%"}},
        "list": ["%RESPONSE_FLAGS%", "%REQ(x-none)%", "fixed"],
        "number": 7,
        "half": 0.5,
        "yes": True,
        "nothing": None,
        "details": "%RESPONSE_CODE_DETAILS%",
        "type": "%RESP(content-type)%",
    }
}
MAPPERS = [
    {"filter": said("x-in", "status"), "status_code": 418},
    {"filter": said("x-in", "body"), "body": {"inline_string": "another body"}},
    {
        "filter": said("x-in", "headers"),
        "headers_to_add": [
            header("x-added", "%RESPONSE_CODE%/%REQ(x-in)%"),
            header("content-type", "text/own", "OVERWRITE_IF_EXISTS_OR_ADD"),
            header("x-level", "reply"),
        ],
    },
    {"filter": said("x-in", "format"), "status_code": 599, "body_format_override": {**TEXT, "content_type": "text/html; charset=UTF-8"}},
    {"filter": {"and_filter": {"filters": [status("GE", 500), flags("UH", "UF")]}}, "body": {"inline_string": "nobody"}},
    {"filter": {"or_filter": {"filters": [status("EQ", 403), status("LE", 201)]}}, "body": {"inline_string": "or"}, "status_code": 202},
    {"filter": flags(), "headers_to_add": [header("x-flagged", "%RESPONSE_FLAGS%")]},
]
REPLIES = {
    "reply-plain": {"mappers": MAPPERS},
    "reply-text": {"mappers": MAPPERS, "body_format": TEXT},
    "reply-json": {"mappers": MAPPERS, "body_format": JSON},
    "reply-brief": {"body_format": {**JSON, "omit_empty_values": True, "content_type": "application/problem+json"}},
    "reply-omit": {"body_format": {"text_format": "[%REQ(x-none)%]%LOCAL_REPLY_BODY%", "omit_empty_values": True}},
}


def replies(ports, config):
    """What the proxy answers by itself, in another form."""
    host = virtual_host(
        "main",
        ["*"],
        route("/refused", "refused", name="refused"),
        route("/empty", "empty", response_headers_to_add=[header("x-level", "route")]),
        route("/missing", "missing"),
        route("/up", "up"),
        route("/slow", {"cluster": "up", "timeout": "0.2s"}),
        *(direct(f"/direct-{code}", code, f"body of {code}", name=f"direct-{code}") for code in (200, 403, 500)),
        direct("/bodiless", 200),
        direct("/typed", 200, "{}", response_headers_to_add=[header("content-type", "application/json")]),
        route("/redirect", redirect={"path_redirect": "/n"}),
    )
    made = [cluster("up", ports["up"]), cluster("empty"), cluster("refused", ports["refused"])]
    table = routes("main", host, validate_clusters=False)
    return bootstrap([listener("main", hcm(table, local_reply_config=config))], made)


def reply_cases():
    grpc = (("content-type", "application/grpc"), ("te", "trailers"))
    paths = "/refused /empty /missing /nowhere /up /direct-200 /direct-403 /direct-500 /bodiless /typed /redirect".split()
    for world in REPLIES:
        # What the details of a connect failure say of the system's error is Envoy's own.
        shown = [path for path in paths if not (path == "/refused" and world in ("reply-json", "reply-brief"))]
        for path in shown:
            yield from both(world, f"plain {path}", target=path)
            yield from both(world, f"gRPC {path}", target=path, method="POST", body="\0\0\0\0\0", headers=grpc)
            for what in ("status", "body", "headers", "format"):
                yield Case(world, f"{what} {path}", target=path, headers=(("x-in", what),))
        yield from both(world, "HEAD", target="/direct-500", method="HEAD")
        yield from both(world, "timeout", target="/slow", headers=plan(gate="never"))
        yield from both(world, "broken head", target="/up", method="POST", body="", headers=plan(hangup="before"))
        yield Case(world, "quotes", target="/direct-500", headers=(("x-in", 'a "quoted" \\ value'),))
        yield Case(world, "no HTTP", raw=b"nonsense\r\n\r\n")


def following(ports):
    """Redirects of the upstream that are followed, under policies of every kind."""
    named = lambda name, **config: {"name": PREDICATE + name, "typed_config": {"@type": f"{TYPE}{name}.v3.{TYPES[name]}", **config}}
    to = lambda **policy: {"cluster": "up", "internal_redirect_policy": policy}
    cross = {"allow_cross_scheme_redirect": True}
    # What tells the upstream to redirect goes with each request.
    last = {"request_headers_to_remove": ["x-respond"]}
    every = {"redirect_response_codes": [301, 302, 303, 307, 308]}
    hosts = [
        virtual_host(
            "main",
            ["*"],
            route("/once", to()),
            route("/every", to(**every)),
            route("/three", to(max_internal_redirects=3)),
            route("/copied", to(response_headers_to_copy=["x-copied", "x-none"])),
            route("/crossing", to(**cross)),
            route("/safe", to(predicates=[named("safe_cross_scheme")], **cross)),
            route("/listed", to(predicates=[named("allow_listed_routes", allowed_route_names=["good"])])),
            route("/previous", to(max_internal_redirects=5, predicates=[named("previous_routes")]), name="previous"),
            route("/rewritten", {**to(), "prefix_rewrite": "/was", "host_rewrite_literal": "inner.test"}),
            route("/added", to(), request_headers_to_add=[header("x-added", "%REQ(:path)%")]),
            route("/good", "up", name="good", **last),
            direct("/answer", 200, "an answer"),
            route("/elsewhere", redirect={"path_redirect": "/n"}),
            route("/final", "up", response_headers_to_add=[header("x-final", "%REQ(x-envoy-original-url)%")], **last),
            route("/h2", "up-h2", **last),
        ),
    ]
    return hosts, [cluster("up", ports["up"]), cluster("up-h2", ports["up"], http2=True)]


TYPES = {
    "safe_cross_scheme": "SafeCrossSchemeConfig",
    "allow_listed_routes": "AllowListedRoutesConfig",
    "previous_routes": "PreviousRoutesConfig",
}


def to(location, code=302, **more):
    """Tells the upstream to answer the first request with a redirect."""
    return plan(status=code, headers=[["location", location], *more.pop("headers", [])], **more)


def following_cases():
    final = "http://weft.test/final"
    for path in ("/once", "/every", "/three", "/crossing", "/safe", "/rewritten?q=1", "/added", "/final", "/listed", "/previous"):
        for code in (301, 302, 303, 307, 308):
            yield from both("following", f"{path} {code}", target=path, headers=to(final, code))
        for method in ("HEAD", "POST", "DELETE"):
            yield Case("following", f"{path} {method} 302", method=method, target=path, headers=to(final))
            yield Case("following", f"{path} {method} 303", method=method, target=path, headers=to(final, 303))
    for where in (
        "/relative",
        "",
        "not a url",
        "ftp://weft.test/final",
        "http://weft.test",
        "http://weft.test/final?q=1#f",
        "http://other.test:99/final",
        "https://weft.test/final",
        "http://weft.test/nowhere",
        "http://weft.test/answer",
        "http://weft.test/elsewhere",
        "http://weft.test/h2",
        "http://weft.test/good",
        "http://weft.test/previous",
        "http://weft.test/once",
    ):
        for path in ("/once", "/three", "/crossing", "/safe", "/listed", "/previous", "/copied"):
            yield Case("following", f"{path} to {where or 'nothing'}", target=path, headers=to(where))
    yield Case("following", "no location", target="/once", headers=plan(status=302))
    yield Case("following", "with a body", target="/once", headers=to(final, body="moved"))
    copied = to(final, headers=[["x-copied", "1"], ["x-copied", "2"], ["x-other", "3"]])
    yield from both("following", "copied", target="/copied", headers=(("x-none", "client"), ("x-copied", "client"), *copied))
    yield from both("following", "see other after a body", target="/every", method="POST", body="some body", headers=to(final, 303))
    chunks = {"body": "some body", "chunked": True}
    for code in (301, 302, 303, 307, 308):
        yield from both("following", f"{code} after a body", target="/every", method="POST", body="some body", headers=to(final, code))
        yield Case("following", f"{code} after chunks", target="/every", method="PUT", headers=to(final, code), **chunks)
        yield Case("following", f"{code} after a body of GET", target="/every", body="some body", headers=to(final, code))
        yield from both("following", f"{code} to h2 after a body", target="/every", method="POST", body="b" * 9000, headers=to("http://weft.test/h2", code))
    yield Case("following", "two after a body", target="/three", method="POST", body="some body", headers=to("http://weft.test/three", 307))
    yield Case("following", "not asked for", target="/good", headers=to(final))


def named_hosts(ports):
    """The host becomes the name of the endpoint."""
    named = lambda name: assignment("up", {"endpoint": {**endpoint(ports["up"])["endpoint"], **({"hostname": name} if name else {})}})
    auto = lambda name, **more: route(f"/{name}", {"cluster": name, "auto_host_rewrite": True, **more})
    hosts = [
        virtual_host(
            "main",
            ["*"],
            auto("named"),
            auto("nameless"),
            auto("strict"),
            auto("logical"),
            auto("strict-named"),
            route("/kept", {"cluster": "named", "auto_host_rewrite": True, "append_x_forwarded_host": True}),
            route("/off", {"cluster": "named", "auto_host_rewrite": False}),
            include_attempt_count_in_response=True,
        )
    ]
    dns = lambda name, kind, **more: {
        **cluster(name),
        "type": kind,
        "load_assignment": assignment(name, {"endpoint": {"address": {"socket_address": {"address": "localhost", "port_value": ports["up"]}}, **more}}),
        "dns_lookup_family": "V4_ONLY",
    }
    return hosts, [
        {**cluster("named"), "load_assignment": {**named("endpoint.test"), "cluster_name": "named"}},
        {**cluster("nameless"), "load_assignment": {**named(None), "cluster_name": "nameless"}},
        dns("strict", "STRICT_DNS"),
        dns("logical", "LOGICAL_DNS"),
        dns("strict-named", "STRICT_DNS", hostname="given.test"),
    ]


def named_cases():
    for path in ("/named", "/nameless", "/strict", "/logical", "/strict-named", "/kept", "/off"):
        yield from both("named-hosts", f"path {path}", target=path)
    forwarded = (("x-forwarded-host", "before.test"),)
    yield from both("named-hosts", "forwarded host", target="/kept", headers=forwarded)


def attempts(ports):
    """The client is told how many attempts there were."""
    host = virtual_host("main", ["*"], route("/empty", "empty"), route("/refused", "refused"), route("/missing", "missing"), direct("/direct", 200), route("/", "up"), include_attempt_count_in_response=True)
    made = [cluster("up", ports["up"]), cluster("empty"), cluster("refused", ports["refused"])]
    return [host], made, {"validate_clusters": False}


def attempt_cases():
    for path in ("/", "/empty", "/refused", "/missing", "/direct"):
        yield from both("attempts", f"path {path}", target=path)
    yield from both("attempts", "told by the upstream", headers=plan(headers=[["x-envoy-attempt-count", "9"]]))


MANAGERS = {
    "underscores-reject": {"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}},
    "underscores-drop": {"common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"}},
    "whole-in-time": {"request_timeout": "0.3s"},
    "scheme-https": {"scheme_header_transformation": {"scheme_to_overwrite": "https"}},
    "scheme-upstream": {"scheme_header_transformation": {"match_upstream": True}},
}


def managed(ports, config):
    """Requests, redirects and answers under a setting of the connection manager."""
    host = virtual_host(
        "main",
        ["*"],
        route("/h2", "up-h2"),
        route("/redirect", redirect={"path_redirect": "/n"}),
        direct({"prefix": "/scheme", "headers": [{"name": ":scheme", "string_match": {"exact": "https"}}]}, 200, "https"),
        route("/", "up", request_headers_to_add=[header("x-scheme", "%REQ(:scheme)%")]),
    )
    made = [cluster("up", ports["up"]), cluster("up-h2", ports["up"], http2=True)]
    return bootstrap([listener("main", hcm(routes("main", host), **config))], made)


def managed_cases():
    sent = {
        "plain": (),
        "underscore": (("x_under_score", "1"), ("x-dash", "2")),
        "two": (("x_a", "1"), ("x_a", "2"), ("_", "3")),
        "http": (("x-forwarded-proto", "http"),),
        "https": (("x-forwarded-proto", "https"),),
    }
    for world in MANAGERS:
        for path in ("/", "/h2", "/redirect", "/scheme"):
            for name, headers in sent.items():
                # Which scheme a proxy in front says is compared elsewhere.
                if name != "https" or world == "scheme-https":
                    yield from both(world, f"{name} {path}", target=path, headers=headers)
    head = b"POST / HTTP/1.1\r\nhost: weft.test\r\ncontent-length: 10\r\n\r\n"
    yield Case("whole-in-time", "half of a body", method="POST", raw=head + b"half")
    yield Case("whole-in-time", "none of a body", method="POST", raw=head)
    yield from both("whole-in-time", "all of a body", method="POST", body="some body")


def worlds(made):
    """By name; `made` turns hosts and clusters into a bootstrap."""
    built = {name: lambda ports, config=config: replies(ports, config) for name, config in REPLIES.items()}
    built |= {name: lambda ports, config=config: managed(ports, config) for name, config in MANAGERS.items()}
    for name, world in (("following", following), ("named-hosts", named_hosts), ("attempts", attempts)):
        built[name] = lambda ports, world=world: made(*world(ports))
    return built


def cases():
    return [*reply_cases(), *following_cases(), *named_cases(), *attempt_cases(), *managed_cases()]
