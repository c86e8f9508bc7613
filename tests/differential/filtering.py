"""Worlds and cases of the filters before the router, and of what routes say to them."""

import base64

from differential.case import Case, both, plan
from differential.routing import header
from harness.config import ROUTER, bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host

TYPE = "type.googleapis.com/"
HTTP = TYPE + "envoy.extensions.filters.http."
NOBODY = {"@type": TYPE + "google.protobuf.StringValue", "value": "settings of a filter that nobody has"}


def typed(kind, **config):
    return {"@type": HTTP + kind, **config}


def put(kind, name=None, disabled=False, **config):
    """A filter in its place."""
    return {"name": name or kind, "typed_config": typed(kind, **config), **({"disabled": True} if disabled else {})}


def said(*told):
    """What a level says to filters."""
    return {"typed_per_filter_config": dict(told)}


def setting(config=None, **more):
    """By the message that says more than settings."""
    return {"@type": TYPE + "envoy.config.route.v3.FilterConfig", **({"config": config} if config is not None else {}), **more}


def world(filters, hosts, clusters, **table):
    manager = {"http_filters": [*filters, ROUTER]}
    return bootstrap([listener("main", hcm(routes("main", *hosts, **table), **manager))], clusters)


def append(name, value, action=None, **more):
    return {"append": header(name, value, action, **more)}


def query(key, value, action=None):
    record = {"record": {"key": key, "value": value}}
    return {"append": {**record, **({"action": action} if action else {})}}


def mutating(level, **more):
    """Changes that show which level made them, and in which order."""
    changes = [
        append("x-level", level),
        append("x-over", level, "OVERWRITE_IF_EXISTS_OR_ADD"),
        append("x-absent", level, "ADD_IF_ABSENT"),
        append("x-if", level, "OVERWRITE_IF_EXISTS"),
        {"remove": f"x-gone-{level}"},
    ]
    return {"mutations": {"request_mutations": changes, "response_mutations": changes, **more}}


MUTATION = "header_mutation.v3.HeaderMutation"
PER_ROUTE = "header_mutation.v3.HeaderMutationPerRoute"


def mutations(ports, most_specific=False):
    own = lambda level, **more: ("changes", typed(PER_ROUTE, **mutating(level, **more)))
    formats = [
        append("x-said", "%REQ(x-in)% of %REQ(:path)% to %REQ(:authority)% by %PROTOCOL% %ROUTE_NAME%"),
        append("x-again", "<%REQ(x-said)%>"),
        append("x-empty", "%REQ(x-none)%"),
        append("x-kept-empty", "%REQ(x-none)%", keep_empty_value=True),
        {"remove_on_match": {"key_matcher": {"prefix": "x-tmp-", "ignore_case": True}}},
    ]
    answered = [
        append("x-said", "%REQ(x-in)% %RESPONSE_CODE% %RESP(x-upstream-says)% %UPSTREAM_CLUSTER% %RESPONSE_CODE_DETAILS%"),
        {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": "x-tmp-.*"}}}},
    ]
    trailers = [append("x-trailer", "added"), {"remove": "x-gone"}, append("x-over", "new", "OVERWRITE_IF_EXISTS")]
    formatted = {"request_mutations": formats, "response_mutations": answered}
    trailing = {"response_trailers_mutations": trailers, "request_trailers_mutations": trailers}
    weighted = {"weighted_clusters": {"clusters": [{"name": "up", "weight": 1, **said(own("weight"))}]}}
    parameters = lambda *changes: said(("changes", typed(PER_ROUTE, mutations={"query_parameter_mutations": list(changes)})))
    host = virtual_host(
        "main",
        ["*"],
        route("/weighted", weighted, **said(own("route"))),
        route("/levels", "up", **said(own("route"))),
        route("/formats", "up", name="named", **said(("changes", typed(PER_ROUTE, mutations=formatted)))),
        route("/missing", {"cluster": "empty"}, **said(("changes", typed(PER_ROUTE, mutations=formatted)))),
        direct("/direct", 200, "direct", **said(own("route"))),
        route("/redirect", redirect={"path_redirect": "/new"}, **said(own("route"))),
        route("/trailers", "h2", **said(("changes", typed(PER_ROUTE, mutations=trailing)))),
        route("/add", "up", **parameters(query("k", "%REQ(x-in)% &"))),
        route("/absent", "up", **parameters(query("k", "v", "ADD_IF_ABSENT"))),
        route("/over", "up", **parameters(query("k", "v", "OVERWRITE_IF_EXISTS_OR_ADD"))),
        route("/only-over", "up", **parameters(query("k", "v", "OVERWRITE_IF_EXISTS"))),
        route("/drop", "up", **parameters({"remove": "k"})),
        route("/rewritten", {"cluster": "up", "prefix_rewrite": "/new"}, **parameters(query("k", "v"))),
        route("/off", "up", **said(("changes", setting(disabled=True)))),
        route("/other", "up", **said(("nobody", setting(NOBODY, is_optional=True)))),
        route("/wrapped", "up", **said(("changes", setting(own("wrapped")[1])))),
        route("/", "up"),
        **said(own("host")),
    )
    clusters = [cluster("up", ports["up"]), cluster("empty"), cluster("h2", ports["up"], http2=True)]
    filters = [put(MUTATION, "changes", **mutating("filter"), most_specific_header_mutations_wins=most_specific)]
    return world(filters, [host], clusters, **said(own("config")))


def mutation_cases():
    sent = tuple((f"x-gone-{level}", "1") for level in ("filter", "config", "host", "route", "weight"))
    sent += (("x-over", "client"), ("x-absent", "client"), ("x-if", "client"), ("x-level", "client"), ("x-in", "in"))
    back = [[f"x-gone-{level}", "1"] for level in ("filter", "config", "host", "route")] + [["x-over", "up"], ["x-if", "up"]]
    back += [["x-upstream-says", "hello"], ["x-tmp-1", "gone"], ["x-tmpfile", "stays"]]
    paths = "/levels /weighted /direct /redirect /nothing /off /other /wrapped /formats /missing".split()
    for name in ("filter-mutations", "filter-mutations-specific"):
        for path in paths:
            yield from both(name, f"bare {path}", target=path)
            yield from both(name, f"full {path}", target=path, headers=sent + plan(headers=back))
    own = "filter-mutations"
    yield from both(own, "matching names", target="/formats", headers=(("x-tmp-1", "1"), ("x-tmp", "2"), ("X-TMP-Two", "3")))
    for path in ("/add", "/absent", "/over", "/only-over", "/drop", "/rewritten"):
        for asked in ("", "?", "?k=1", "?%6B=1", "?j=1", "?k", "?k=1&k=2"):
            yield from both(own, f"query {path}{asked}", target=path + asked, headers=(("x-in", "in"),))
    ends = dict(trailers=[["x-over", "old"], ["x-gone", "1"], ["x-stays", "1"]])
    yield Case(own, "trailers", "h2", target="/trailers", method="POST", body="b", trailers=(("x-over", "1"), ("x-gone", "1")), headers=plan(**ends))
    yield Case(own, "no trailers", "h2", target="/trailers", method="POST", body="b")


CORS = "cors.v3.Cors"
POLICY = "cors.v3.CorsPolicy"


def cors(ports):
    exactly = lambda *origins: {"allow_origin_string_match": [{"exact": origin} for origin in origins]}
    told = lambda **policy: said((CORS, typed(POLICY, **policy)))
    never = {"default_value": {"numerator": 0}, "runtime_key": "none"}
    whole = {
        **exactly("http://page.test"),
        "allow_methods": "GET,POST",
        "allow_headers": "x-a,x-b",
        "expose_headers": "x-shown",
        "max_age": "600",
        "allow_credentials": True,
    }
    host = virtual_host(
        "main",
        ["*"],
        route("/whole", "up", **told(**whole)),
        route("/own-origins", "up", **told(**exactly("http://other.test"))),
        route("/everything", "up", **told(allow_origin_string_match=[{"prefix": "*"}], allow_methods="*", allow_headers="*")),
        route("/pattern", "up", **told(allow_origin_string_match=[{"safe_regex": {"regex": r"https?://.*\.test"}}, {"suffix": ":81"}])),
        route("/nobody", "up", **told(allow_credentials=False)),
        route("/kept-here", "up", **told(forward_not_matching_preflights=False, **exactly("http://x.test"))),
        route("/private", "up", **told(allow_private_network_access=True, **exactly("http://page.test"))),
        route("/never", "up", **told(filter_enabled=never, **whole)),
        route("/shadow", "up", **told(filter_enabled=never, shadow_enabled={"default_value": {"numerator": 100}}, **whole)),
        route("/off", "up", **said((CORS, setting(disabled=True)))),
        route("/missing", "empty", **told(**whole)),
        direct("/direct", 200, "direct", **told(**whole)),
        route("/unsaid", "up"),
        **told(**exactly("http://host.test"), allow_methods="PUT", allow_credentials=True, expose_headers="x-host"),
    )
    old = virtual_host(
        "old",
        ["old.test"],
        route("/own", {"cluster": "up", "cors": {**whole, "filter_enabled": {"default_value": {"numerator": 100}}}}),
        route("/shadow", {"cluster": "up", "cors": {**whole, "filter_enabled": never, "shadow_enabled": never}}),
        route(
            "/private", {"cluster": "up", "cors": {"allow_private_network_access": True, "forward_not_matching_preflights": False, **whole}}
        ),
        route("/", "up"),
        cors={**exactly("http://host.test"), "max_age": "7"},
    )
    return world([put(CORS)], [host, old], [cluster("up", ports["up"]), cluster("empty")])


def cors_cases():
    asks = (("access-control-request-method", "PUT"), ("access-control-request-headers", "x-c"))
    private = (*asks, ("access-control-request-private-network", "true"))
    back = plan(headers=[["access-control-allow-origin", "upstream's own"], ["x-shown", "1"]])
    paths = "/whole /own-origins /everything /pattern /nobody /kept-here /private /never /shadow /off /missing /direct /unsaid /none".split()
    for path in paths:
        for origin in ("http://page.test", "http://host.test", "http://x.test:81"):
            from_page = (("origin", origin),)
            yield from both("cors", f"{path} of {origin}", target=path, headers=from_page)
            yield from both("cors", f"{path} asked by {origin}", target=path, method="OPTIONS", headers=from_page + asks)
    for path in ("/own", "/shadow", "/private", "/else"):
        for origin in ("http://page.test", "http://host.test"):
            from_page = (("origin", origin),)
            yield from both("cors", f"old {path} of {origin}", target=path, headers=from_page, host="old.test")
            yield from both("cors", f"old {path} asked by {origin}", target=path, method="OPTIONS", headers=from_page + private, host="old.test")
    page = (("origin", "http://page.test"),)
    yield from both("cors", "private network", target="/private", method="OPTIONS", headers=page + private)
    yield from both("cors", "options without a method", target="/whole", method="OPTIONS", headers=page)
    yield from both("cors", "an empty origin", target="/whole", headers=(("origin", ""),))
    yield from both("cors", "no origin", target="/whole")
    yield from both("cors", "an upstream that says so itself", target="/whole", headers=page + back)


BUFFER = "buffer.v3.Buffer"
PER_ROUTE_BUFFER = "buffer.v3.BufferPerRoute"


def buffered(ports):
    told = lambda **config: said((BUFFER, typed(PER_ROUTE_BUFFER, **config)))
    host = virtual_host(
        "main",
        ["*"],
        route("/off", "up", **told(disabled=True)),
        route("/more", "up", **told(buffer={"max_request_bytes": 64})),
        direct("/direct", 200, "direct"),
        route("/h2", "h2"),
        route("/", "up", response_headers_to_add=[header("x-route", "said")]),
    )
    clusters = [cluster("up", ports["up"]), cluster("h2", ports["up"], http2=True)]
    return world([put(BUFFER, max_request_bytes=16)], [host], clusters)


def buffer_cases():
    for path in ("/", "/off", "/more", "/h2", "/direct"):
        for length in (0, 1, 16, 17, 64, 65):
            body = "b" * length
            yield from both("buffered", f"{length} bytes to {path}", target=path, method="POST", body=body)
            yield Case("buffered", f"{length} bytes in chunks to {path}", target=path, method="POST", body=body, chunked=True)
    ends = (("x-end", "1"),)
    yield Case("buffered", "trailers", "h2", target="/h2", method="POST", body="b", trailers=ends)
    yield Case("buffered", "nothing but trailers", "h2", target="/h2", method="POST", body="", trailers=ends)
    yield Case("buffered", "expectation", target="/", method="POST", body="body", headers=(("expect", "100-continue"),))
    grpc = (("content-type", "application/grpc"), ("te", "trailers"))
    yield from both("buffered", "too much gRPC", target="/h2", method="POST", body="b" * 17, headers=grpc)
    yield from both("buffered", "no body", target="/")
    yield from both("buffered", "far too much", target="/", method="POST", body="b" * 100_000)


WEB = "grpc_web.v3.GrpcWeb"


def grpc_web(ports):
    host = virtual_host(
        "main",
        ["*"],
        route("/h1", "up"),
        route("/missing", "empty"),
        direct("/direct", 503, "not gRPC"),
        route("/off", "h2", **said((WEB, setting(disabled=True)))),
        route("/", "h2"),
    )
    clusters = [cluster("up", ports["up"]), cluster("h2", ports["up"], http2=True), cluster("empty")]
    stats = put("grpc_stats.v3.FilterConfig", stats_for_all_methods=True)
    return world([stats, put(WEB)], [host], clusters)


def message(text):
    return "\0" + len(text).to_bytes(4, "big").decode("latin-1") + text


def encoded(text):
    return base64.b64encode(text.encode("latin-1")).decode()


def grpc_web_cases():
    calls = {"one": message("abc"), "none": "", "two": message("a") + message("bcde"), "empty": message("")}
    good = dict(headers=[["content-type", "application/grpc"]], framing="none", trailers=[["grpc-status", "0"], ["x-t", "v w"]])
    for kind in ("", "+proto", "-text", "-text+proto", "+json", "-text; charset=utf-8"):
        content = f"application/grpc-web{kind}"
        for accept in ("application/grpc-web", "application/grpc-web-text", "application/grpc-web-text+proto", None):
            asked = (("content-type", content), *((("accept", accept),) if accept else ()))
            text = kind.startswith("-text")
            for name, sent in calls.items():
                body = encoded(sent) if text else sent
                headers = (*asked, *plan(body=sent, **good))
                yield from both("grpc-web", f"{name} as {kind or 'plain'} for {accept}", target="/", method="POST", body=body, headers=headers)
    asked = (("content-type", "application/grpc-web"),)
    texts = (("content-type", "application/grpc-web-text"), ("accept", "application/grpc-web-text"))
    for name, headers in (("binary", asked), ("text", texts)):
        body = message("abc") if name == "binary" else encoded(message("abc"))
        call = dict(method="POST", body=body)
        only = dict(headers=[["content-type", "application/grpc"], ["grpc-status", "5"], ["grpc-message", "gone"]], body="", framing="none")
        yield from both("grpc-web", f"{name} of trailers only", target="/", headers=headers + plan(**only), **call)
        for status in (200, 400, 404, 429, 503):
            plain = dict(status=status, headers=[["content-type", "text/plain"]], body="50% größer")
            yield from both("grpc-web", f"{name} answered {status} in text", target="/h1", headers=headers + plan(**plain), **call)
        yield from both("grpc-web", f"{name} answered without body", target="/h1", headers=headers + plan(status=503, body=""), **call)
        web = dict(headers=[["content-type", "application/grpc-web+proto; x=y"]], body=message("web"))
        if name == "binary":  # of text Envoy never sends the end
            yield from both("grpc-web", f"{name} answered by one who knows", target="/h1", headers=headers + plan(**web), **call)
        for path in ("/missing", "/direct", "/off"):
            yield from both("grpc-web", f"{name} to {path}", target=path, headers=headers + plan(body=message("abc"), **good), **call)
    for bad in ("AAAA=", "!!!!", "AAA"):
        yield from both("grpc-web", f"not base64 {bad}", target="/", method="POST", body=bad, headers=texts)
    yield from both("grpc-web", "something else", target="/", method="POST", body="x", headers=(("content-type", "text/plain"),))
    has_encoding = (*asked, ("grpc-accept-encoding", "gzip"), ("te", "trailers"), ("content-length", "8"))
    yield Case("grpc-web", "an encoding that is taken", target="/", method="POST", body=message("abc"), headers=has_encoding[:-1] + plan(body=message("abc"), **good))


def several(ports):
    """Filters one after the other, two of one kind, and one that only some routes have."""
    mark = lambda name, **more: put(MUTATION, name, mutations={side: [append("x-order", name)] for side in ("request_mutations", "response_mutations")}, **more)
    host = virtual_host(
        "main",
        ["*"],
        route("/enabled", "up", **said(("sometimes", setting(disabled=False, config={})))),
        route("/settings", "up", **said(("sometimes", typed(PER_ROUTE, mutations={})))),
        direct("/direct", 200, "direct"),
        route("/", "up"),
    )
    filters = [mark("first"), mark("sometimes", disabled=True), put(CORS), put(BUFFER, max_request_bytes=8), mark("last")]
    return world(filters, [host], [cluster("up", ports["up"])])


def several_cases():
    for path in ("/enabled", "/settings", "/direct", "/else"):
        yield from both("filters", f"plain {path}", target=path)
        yield from both("filters", f"short {path}", target=path, method="POST", body="short")
        yield from both("filters", f"long {path}", target=path, method="POST", body="longer than that")


WORLDS = {
    "filter-mutations": mutations,
    "filter-mutations-specific": lambda ports: mutations(ports, most_specific=True),
    "cors": cors,
    "buffered": buffered,
    "grpc-web": grpc_web,
    "filters": several,
}


def cases():
    yield from mutation_cases()
    yield from cors_cases()
    yield from buffer_cases()
    yield from grpc_web_cases()
    yield from several_cases()
