"""Worlds and cases of how HTTP/1 is written: names of fields, trailers, interim answers, who the proxy is."""

from differential.case import Case, both, plan
from harness.config import HTTP_OPTIONS, bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host

TYPE = "type.googleapis.com/"
PRESERVING = TYPE + "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
PROPER = {"header_key_format": {"proper_case_words": {}}}


def preserve(**config):
    return {"header_key_format": {"stateful_formatter": {"name": "preserve", "typed_config": {"@type": PRESERVING, **config}}}}


PRESERVE = preserve()
PRESERVE_OR_PROPER = preserve(formatter_type_on_envoy_headers="PROPER_CASE")
TRAILERS = {"enable_trailers": True}


def spoken(http1):
    """A cluster that speaks HTTP/1 with these options."""
    return {"typed_extension_protocol_options": {HTTP_OPTIONS: {"@type": TYPE + HTTP_OPTIONS, "explicit_http_config": {"http_protocol_options": http1}}}}


def world(client, upstream, **manager):
    """Options of HTTP/1 towards clients and towards upstreams."""

    def made(ports):
        host = virtual_host(
            "main",
            ["*"],
            direct("/direct", 200, "direct"),
            route("/rewritten", {"cluster": "up", "host_rewrite_literal": "inner.test", "prefix_rewrite": "/"}),
            route("/", "up"),
            request_headers_to_add=[{"header": {"key": "x-Added-here", "value": "1"}}],
            response_headers_to_add=[{"header": {"key": "x-Added-back", "value": "1"}}],
        )
        options = {"http_protocol_options": client} if client else {}
        return bootstrap([listener("main", hcm(routes("main", host), **options, **manager))], [cluster("up", ports["up"], **upstream)])

    return made


WORLDS = {
    "names-proper": world(PROPER, spoken(PROPER)),
    "names-preserved": world(PRESERVE, spoken(PRESERVE)),
    "names-preserved-or-proper": world(PRESERVE_OR_PROPER, spoken(PRESERVE_OR_PROPER)),
    "names-proper-down": world(PROPER, spoken(PRESERVE)),
    "names-proper-up": world(PRESERVE, spoken(PROPER)),
    "names-proper-old": world(PROPER, {"http_protocol_options": PROPER}),
    "trailers-enabled": world(TRAILERS, spoken(TRAILERS)),
    "continue-passed": world({}, {}, proxy_100_continue=True),
    "continue-answered": world({}, {}, proxy_100_continue=False),
    "introduced": world({}, {}, add_user_agent=True),
    "introduced-edge": world({}, {}, add_user_agent=True, use_remote_address=True),
    "not-introduced": world({}, {}, add_user_agent=False),
}

BACK = plan(headers=[["X-Back", "1"], ["x-low", "2"], ["ETag", '"3"'], ["WWW-Authenticate", "none"], ["x-foo$b#$are", "4"], ["Server", "up"]])
SENT = (("X-Sent", "1"), ("x-low", "2"), ("DNT", "3"), ("X-Forwarded-For", "10.1.2.3"), ("x-foo$b#$are", "4"), ("User-Agent", "test"), ("X-Twice", "1"), ("x-twice", "2"))


def cases():
    """Requests for both."""
    for name in (name for name in WORLDS if name.startswith("names-")):
        # Towards a side that asks for nothing, names keep their case anyway.
        sent = () if name == "names-proper-down" else SENT
        back = () if name == "names-proper-up" else BACK
        for path in ("/", "/rewritten", "/direct"):
            yield from both(name, f"few {path}", target=path)
            yield from both(name, f"all {path}", target=path, headers=sent + back)
        yield Case(name, "body", method="POST", body="some", headers=sent + back)
        yield Case(name, "chunks", method="POST", body="some", chunked=True, headers=sent + (back and plan(framing="chunked", headers=[["X-Back", "1"]])))
        yield Case(name, "HTTP/1.0", raw=b"GET / HTTP/1.0\r\nHost: weft.test\r\n\r\n")
        yield Case(name, "malformed", raw=b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n")
        yield Case(name, "closing", headers=(("Connection", "close"), *back))
    chunks = b"POST / HTTP/1.1\r\nhost: weft.test\r\ntrailer: x-end\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-end: 1\r\nx-end: 2\r\n\r\n"
    yield Case("trailers-enabled", "request", method="POST", raw=chunks)
    yield from both("trailers-enabled", "response", headers=plan(framing="chunked", trailers=[["x-end", "1"], ["x-sum", "2"]]))
    yield from both("trailers-enabled", "nothing else", headers=plan(framing="chunked", body="", trailers=[["x-end", "1"]]))
    for name in ("continue-passed", "continue-answered"):
        yield Case(name, "asked", method="POST", body="some", headers=(("expect", "100-continue"),))
        yield Case(name, "not asked", method="POST", body="some")
        yield Case(name, "asked", "h2", method="POST", body="some", headers=(("expect", "100-continue"),))
    yield Case("continue-passed", "asked without a body", headers=(("expect", "100-continue"),))
    own = (("x-envoy-downstream-service-cluster", "theirs"), ("x-envoy-downstream-service-node", "theirs"))
    for name in ("introduced", "introduced-edge", "not-introduced"):
        for agent in (None, "", "curl"):
            agents = (("user-agent", agent),) if agent is not None else ()
            yield from both(name, f"agent {agent}", headers=agents)
            yield from both(name, f"agent {agent} and names", headers=agents + own)
