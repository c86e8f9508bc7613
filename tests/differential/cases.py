"""The requests: each names its world and what goes over the wire."""

from differential import behind, filtering, limiting, replies, routing, sayings, scoped, services, settings, spelled, written
from differential.case import Case, both, plan

PATHS = """
/exact /exact/ /exact?x=1 /EXACT /exactly /nocase /NOCASE?z /nocase/ /icase /ICASE/abc /icaseabc
/sep /sep/ /sep/x /separate /sep?x /Sep /re/1 /re/12/x /re/a /re/1/y /re/1?q=/x /re/1/x/ /p /px /p? /p??
/p/../exact /p//x //exact /exact// /./exact /p/%2e%2e/exact /%65xact /exact%3Fx /p;param=1 /p%20x /p%zz
/p?a=1&a=2 /p/%00 /p/é /nothing / /p?x=/../y /p/a:b@c /p/* /p/"quoted" /p/<angle> /p/{brace} /p/back\\slash /p/|bar
""".split()

HEADER_VALUES = [(), ("one",), ("One",), ("one-more",), ("no-one",), ("noneone",), ("onf",), ("",), ("15",)]
HEADER_VALUES += [("10",), ("20",), ("9",), ("-15",), ("15.0",), ("one", "two"), (" one ",)]
HEADER_KINDS = ["exact", "nocase", "prefix", "suffix", "contains", "regex", "present", "absent", "range", "inverted", "missing-empty"]
QUERIES = ["", "?", "?k", "?k=", "?k=one", "?k=One", "?k=onf", "?k=two&k=one", "?k=one&k=two", "?x=1&k=one", "?K=one", "?k=%6fne", "?k=one#f", "?kk=one"]


def matching():
    for path in PATHS:
        wire = path.encode().decode("latin-1")
        yield Case("matching", f"path {path}", target=wire)
        if path.isascii():
            yield Case("matching", f"path {path}", "h2", target=path)
    for kind in HEADER_KINDS:
        for values in HEADER_VALUES:
            headers = tuple(("x-h", value) for value in values)
            yield Case("matching", f"header {kind} {'+'.join(values) or 'none'}{len(values)}", target=f"/h-{kind}", headers=headers)
    for kind in ("exact", "present", "absent", "regex"):
        for query in QUERIES:
            yield Case("matching", f"query {kind} {query or 'none'}", target=f"/q-{kind}{query}")
    for method in ("PUT", "put", "GET", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "PURGE"):
        yield from both("matching", f"method {method}", method=method, target="/m")
    for host in ("weft.test", "WEFT.test", "other.test"):
        yield from both("matching", f"authority {host}", target="/a", host=host)
    one, two = ("x-h", "one"), ("x-i", "two")
    for name, headers, query in [
        ("all", (one, two), "?k=three"),
        ("no query", (one, two), ""),
        ("no second", (one,), "?k=three"),
        ("other order", (two, one), "?j=1&k=three"),
    ]:
        yield from both("matching", f"both {name}", target=f"/both{query}", headers=headers)


DOMAINS = """
exact.test EXACT.TEST exact.test:80 exact.test:81 exact.test:82 exact.test. x.suffix.test y.x.suffix.test suffix.test
.suffix.test x.long.suffix.test prefix.com prefix.long.com prefix. a.test b.test upper.test UPPER.TEST 127.0.0.1
127.0.0.1:80 [::1] [::1]:80 x-dash.test -dash.test dash.test x.suffix.test:80 prefix.com:80 unknown.test
""".split()


def domains():
    for world in ("domains", "domains-without-port", "any-domain"):
        for host in DOMAINS:
            yield from both(world, f"host {host}", host=host)


REQUEST_HEADERS = {
    "xff": [("x-forwarded-for", "10.1.2.3")],
    "xff twice": [("x-forwarded-for", "10.1.2.3"), ("x-forwarded-for", "10.1.2.4")],
    "xfp": [("x-forwarded-proto", "https")],
    "xfh": [("x-forwarded-host", "elsewhere.test")],
    "request id": [("x-request-id", "chosen-by-the-client")],
    "client trace": [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")],
    "internal": [("x-envoy-internal", "true"), ("x-envoy-expected-rq-timeout-ms", "5")],
    "attempts": [("x-envoy-attempt-count", "7")],
    "envoy timeout": [("x-envoy-upstream-rq-timeout-ms", "5000")],
    "original path": [("x-envoy-original-path", "/forged")],
    "repeated": [("x-a", "1"), ("x-a", "2"), ("x-b", ""), ("x-a", "3")],
    "commas": [("accept", "text/html, */*;q=0.1"), ("accept", "image/png")],
    "cookies": [("cookie", "a=1; b=2"), ("cookie", "c=3")],
    "upper case": [("X-Upper-Case", "Kept"), ("X-LOUD", "V")],
    "underscore": [("x_under_score", "1")],
    "odd names": [("x!#$%&'*+-.^_`|~0", "1")],
    "latin": [("x-latin", "caf\xe9")],
    "spaces": [("x-spaced", "  in  the  middle  ")],
    "long": [("x-long", "v" * 8000)],
    "many": [(f"x-n{i}", str(i)) for i in range(60)],
    "te trailers": [("te", "trailers")],
    "te gzip": [("te", "gzip")],
    "proxy auth": [("proxy-authorization", "Basic eA=="), ("authorization", "Basic eQ==")],
    "agent": [("user-agent", "tests/1.0"), ("referer", "http://x/"), ("via", "1.1 before")],
    "grpc type": [("content-type", "application/grpc")],
    "date": [("date", "Sun, 22 Nov 2026 17:00:00 GMT"), ("server", "client's")],
    "range": [("range", "bytes=0-3"), ("if-none-match", '"x"')],
}

H1_ONLY_HEADERS = {
    "keep-alive": [("connection", "keep-alive")],
    "close": [("connection", "close")],
    "Close": [("Connection", "Close")],
    "nominated": [("connection", "x-hop"), ("x-hop", "1"), ("x-stays", "1")],
    "nominated two": [("connection", "keep-alive, x-hop"), ("x-hop", "1")],
    "keep-alive values": [("keep-alive", "timeout=5"), ("connection", "keep-alive")],
    "proxy-connection": [("proxy-connection", "keep-alive")],
    "upgrade h2c": [("connection", "upgrade, http2-settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQAAP__")],
    "upgrade websocket": [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-version", "13")],
    "expect": [("expect", "100-continue")],
    "te close": [("connection", "te"), ("te", "trailers")],
}


def requests(world):
    yield from both(world, "plain", target="/plain?q=1")
    for name, headers in REQUEST_HEADERS.items():
        if name == "latin" or name == "odd names":
            yield Case(world, f"headers {name}", headers=tuple(headers))
        else:
            yield from both(world, f"headers {name}", headers=tuple(headers))
    for name, headers in H1_ONLY_HEADERS.items():
        body = "expected" if name == "expect" else None
        yield Case(world, f"headers {name}", method="POST" if body else "GET", headers=tuple(headers), body=body)
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GET", "QUERY"):
        yield from both(world, f"{method} with body", method=method, body="some body")
        yield from both(world, f"{method} without body", method=method)
    yield from both(world, "POST empty", method="POST", body="")
    yield from both(world, "POST large", method="POST", body="x" * 200_000)
    yield from both(world, "HEAD", method="HEAD")
    yield Case(world, "POST chunked", method="POST", body="some body", chunked=True)
    yield Case(world, "POST chunked empty", method="POST", body="", chunked=True)
    yield Case(world, "GET chunked", body="some body", chunked=True)
    yield Case(world, "trailers", "h2", method="POST", body="x", headers=(("te", "trailers"),), trailers=(("x-end", "1"),))
    yield Case(world, "options asterisk", method="OPTIONS", target="*")
    for path in ("/a//b", "/a/../b", "/%41", "/a?", "/a?b=c&d", "/a%2Fb", "/a;b", "/é".encode().decode("latin-1"), "/a\\b"):
        yield Case(world, f"target {path}", target=path)


ANSWERS = {
    **{f"status {status}": {"status": status} for status in (200, 201, 202, 205, 206, 301, 302, 400, 401, 404, 418, 500, 502, 503, 599)},
    "204": {"status": 204, "body": ""},
    "304": {"status": 304, "body": "", "headers": [["etag", '"x"']]},
    "304 with length": {"status": 304, "body": "12345"},
    "empty": {"body": ""},
    "chunked": {"framing": "chunked", "body": "in pieces"},
    "chunked empty": {"framing": "chunked", "body": ""},
    "large": {"fill": 300_000},
    "server": {"headers": [["server", "upstream's own"]]},
    "date": {"headers": [["date", "Sun, 22 Nov 2026 17:00:00 GMT"]]},
    "cookies": {"headers": [["set-cookie", "a=1"], ["set-cookie", "b=2; Path=/"]]},
    "repeated": {"headers": [["x-a", "1"], ["x-a", "2"]]},
    "via": {"headers": [["via", "1.1 inner"]]},
    "service time": {"headers": [["x-envoy-upstream-service-time", "77"]]},
    "request id": {"headers": [["x-request-id", "of-the-upstream"]]},
    "location": {"status": 302, "headers": [["location", "http://inner.test/x"]]},
    "challenge": {"status": 401, "headers": [["www-authenticate", "Basic"], ["proxy-authenticate", "Basic"]]},
    "upper case": {"headers": [["X-Upper", "V"]]},
    "empty value": {"headers": [["x-empty", ""]]},
    "encoding": {"headers": [["content-encoding", "gzip"]], "body": "not really"},
    "hangup before": {"hangup": "before"},
}

H1_ANSWERS = {
    "to the end": {"framing": "close", "body": "until it closes"},
    "connection close": {"headers": [["connection", "close"]]},
    "keep-alive": {"headers": [["connection", "keep-alive"], ["keep-alive", "timeout=5"]]},
    "nominated": {"headers": [["connection", "x-hop"], ["x-hop", "1"]]},
    "hop by hop": {"headers": [["te", "x"], ["proxy-connection", "close"], ["upgrade", "h2c"], ["trailer", "x-end"]]},
    "trailers": {"framing": "chunked", "trailers": [["x-end", "1"]]},
    "reason": {"reason": "Something Of Its Own"},
    "status 101 unasked": {"status": 101, "framing": "none", "body": ""},
    "status 700": {"status": 700},
}

H2_ANSWERS = {
    "trailers": {"trailers": [["x-end", "1"]], "framing": "chunked"},
    "only trailers": {"trailers": [["x-end", "1"]], "framing": "chunked", "body": ""},
    "grpc": {"framing": "chunked", "headers": [["content-type", "application/grpc"]], "body": "", "trailers": [["grpc-status", "5"], ["grpc-message", "none"]]},
}


def answers(world, special):
    for name, answer in {**ANSWERS, **special}.items():
        for method in ("GET", "HEAD") if name in ("status 200", "204", "304", "chunked", "304 with length", "empty") else ("GET",):
            yield from both(world, f"answer {name} to {method}", method=method, headers=plan(**answer))


def raw(name, *lines, body=b"", method="GET"):
    text = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    return Case("forward", f"raw {name}", method=method, raw=text)


def malformed():
    host = "host: weft.test"
    yield raw("no host", "GET / HTTP/1.1")
    yield raw("empty host", "GET / HTTP/1.1", "host:")
    yield raw("two hosts", "GET / HTTP/1.1", host, "host: other.test")
    yield raw("same host twice", "GET / HTTP/1.1", host, host)
    yield raw("http/1.0", "GET / HTTP/1.0", host)
    yield raw("http/1.0 without host", "GET / HTTP/1.0")
    yield raw("http/1.0 keep-alive", "GET / HTTP/1.0", host, "connection: keep-alive")
    yield raw("http/0.9", "GET /")
    yield raw("http/1.2", "GET / HTTP/1.2", host)
    yield raw("http/2.0", "GET / HTTP/2.0", host)
    yield raw("lower-case version", "GET / http/1.1", host)
    yield raw("absolute target", "GET http://weft.test/absolute?x=1 HTTP/1.1", host)
    yield raw("absolute target of another host", "GET http://other.test/absolute HTTP/1.1", host)
    yield raw("absolute target without path", "GET http://weft.test HTTP/1.1", host)
    yield raw("absolute https target", "GET https://weft.test/x HTTP/1.1", host)
    yield raw("connect", "CONNECT weft.test:443 HTTP/1.1", host, method="CONNECT")
    yield raw("trace", "TRACE / HTTP/1.1", host, method="TRACE")
    yield raw("relative target", "GET relative HTTP/1.1", host)
    yield raw("fragment", "GET /path#fragment HTTP/1.1", host)
    yield raw("space in target", "GET /a b HTTP/1.1", host)
    yield raw("long target", f"GET /{'a' * 20000} HTTP/1.1", host)
    yield raw("bad method", "G\x01T / HTTP/1.1", host)
    yield raw("space before colon", "GET / HTTP/1.1", host, "x-bad : 1")
    yield raw("folded", "GET / HTTP/1.1", host, "x-fold: 1", " and more")
    yield raw("no colon", "GET / HTTP/1.1", host, "nonsense")
    yield raw("empty name", "GET / HTTP/1.1", host, ": value")
    yield raw("nul in value", "GET / HTTP/1.1", host, "x-nul: a\x00b")
    yield raw("control in value", "GET / HTTP/1.1", host, "x-ctl: a\x01b")
    yield raw("tab in value", "GET / HTTP/1.1", host, "x-tab: a\tb")
    yield raw("length and chunked", "POST / HTTP/1.1", host, "content-length: 3", "transfer-encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n", method="POST")
    yield raw("two lengths", "POST / HTTP/1.1", host, "content-length: 3", "content-length: 4", body=b"abcd", method="POST")
    yield raw("same length twice", "POST / HTTP/1.1", host, "content-length: 3", "content-length: 3", body=b"abc", method="POST")
    yield raw("negative length", "POST / HTTP/1.1", host, "content-length: -1", method="POST")
    yield raw("length in words", "POST / HTTP/1.1", host, "content-length: three", method="POST")
    yield raw("length with plus", "POST / HTTP/1.1", host, "content-length: +3", body=b"abc", method="POST")
    yield raw("identity", "POST / HTTP/1.1", host, "transfer-encoding: identity", "content-length: 3", body=b"abc", method="POST")
    yield raw("gzip, chunked", "POST / HTTP/1.1", host, "transfer-encoding: gzip, chunked", body=b"3\r\nabc\r\n0\r\n\r\n", method="POST")
    yield raw("chunked twice", "POST / HTTP/1.1", host, "transfer-encoding: chunked", "transfer-encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n", method="POST")
    yield raw("Chunked", "POST / HTTP/1.1", host, "Transfer-Encoding: Chunked", body=b"3\r\nabc\r\n0\r\n\r\n", method="POST")
    yield raw("bad chunk size", "POST / HTTP/1.1", host, "transfer-encoding: chunked", body=b"zz\r\nabc\r\n0\r\n\r\n", method="POST")
    yield raw("chunk extension", "POST / HTTP/1.1", host, "transfer-encoding: chunked", body=b"3;name=value\r\nabc\r\n0\r\n\r\n", method="POST")
    yield raw("request trailers", "POST / HTTP/1.1", host, "te: trailers", "trailer: x-end", "transfer-encoding: chunked", body=b"3\r\nabc\r\n0\r\nx-end: 1\r\n\r\n", method="POST")
    yield raw("head of 70 KB", "GET / HTTP/1.1", host, *(f"x-{i}: {'v' * 7000}" for i in range(10)))
    yield raw("150 headers", "GET / HTTP/1.1", host, *(f"x-{i}: {i}" for i in range(150)))
    yield raw("leading empty line", "\r\nGET / HTTP/1.1", host)
    yield raw("bare line feeds", "GET / HTTP/1.1\nhost: weft.test\nx-a: 1")
    yield raw("bare line feed behind a field", "GET / HTTP/1.1\nhost: weft.test\r\nx-a: 1")
    yield raw("host with a user", "GET / HTTP/1.1", "host: else@weft.test")
    yield raw("host with a path", "GET / HTTP/1.1", "host: weft.test/x")
    yield raw("host with a space", "GET / HTTP/1.1", "host: weft.test else.test")
    yield raw("absolute target of another scheme", "GET ftp://weft.test/x HTTP/1.1", host)
    yield raw("absolute target with a user", "GET http://else@weft.test/x HTTP/1.1", host)


def rewriting():
    paths = """
    /short/ /short/x /short/x?q=1 /short /long /longer /long/x?q=1 /exact /exact?q=1 /exactly /host /host/x /other
    /r-default /r-default?q=1 /r-host/x?q=1 /r-port/x /r-default-port/x /r-https/x?q /r-https-port/x /r-scheme/x /r-path/x
    /r-path?q=1 /r-query?q=1 /r-strip?q=1 /r-prefix/deep?q=1 /r-prefix /r-302 /r-303 /r-307 /r-308
    """.split()
    for path in paths:
        yield from both("rewriting", f"path {path}", target=path)
    for host in ("weft.test:8080", "weft.test:80", "weft.test:443", "[::1]:8080", "127.0.0.1:99"):
        for path in ("/r-default", "/r-port", "/r-https", "/r-scheme", "/r-host", "/r-path"):
            yield Case("rewriting", f"host {host} {path}", target=path, host=host)
    yield Case("rewriting", "POST to a redirect", method="POST", target="/r-307", body="body")
    grpc = (("content-type", "application/grpc"), ("te", "trailers"))
    yield from both("rewriting", "gRPC to a redirect", method="POST", target="/r-path", body="", headers=grpc)
    yield Case("rewriting", "HEAD of a redirect", method="HEAD", target="/r-path")
    yield from both("rewriting", "forwarded https to a redirect", target="/r-path", headers=(("x-forwarded-proto", "https"),))


def mutations():
    sent = tuple((f"x-gone-{level}", "1") for level in ("config", "host", "route"))
    sent += (("x-over", "client"), ("x-absent", "client"), ("x-if", "client"), ("x-level", "client"), ("x-level-in", "1"))
    back = [[f"x-gone-{level}", "1"] for level in ("config", "host", "route")] + [["x-over", "up"], ["x-level", "up"]]
    for world in ("mutations", "mutations-specific"):
        for path in ("/up", "/direct", "/redirect", "/plain", "/nowhere"):
            yield from both(world, f"bare {path}", target=path)
            yield from both(world, f"full {path}", target=path, headers=sent + plan(headers=back))


def local():
    paths = """
    /empty /refused /h2-refused /missing /missing-404 /missing-500 /nowhere /direct-200 /direct-201 /direct-400 /direct-403
    /direct-429 /direct-500 /direct-599 /bodiless-200 /bodiless-204 /bodiless-304 /typed
    """.split()
    grpc = (("content-type", "application/grpc"), ("te", "trailers"))
    for path in paths:
        yield from both("local", f"GET {path}", target=path)
        yield from both("local", f"HEAD {path}", target=path, method="HEAD")
        yield from both("local", f"POST {path}", target=path, method="POST", body="some body")
        yield from both("local", f"gRPC {path}", target=path, method="POST", body="\0\0\0\0\0", headers=grpc)
    for name, headers in (("", ()), ("gRPC ", grpc)):
        yield from both("local", f"{name}timeout", target="/slow", method="POST", body="", headers=headers + plan(gate="never"))
        yield from both("local", f"{name}hangup", target="/up", method="POST", body="", headers=headers + plan(hangup="before"))
    yield Case("local", "close on a local reply", target="/nowhere", headers=(("connection", "close"),))


ROUGH_PATHS = r"""
/a/../b /a/./b /../a /a/.. /a/. /.. / //a//b /a//../b /%2e%2e/a /a%2fb /a%2Fb%5Cc /a%2F%2Fb /a\b\..\c /%41%7e%2d /%zz /%4 /a%00b
/a?b=/../c /a%2fb?c%2fd /a/b?x//y /... /a/...b /a;b=c /a:b@c!$&'()*+,=[]{|}~ /a%20b /%c3%a9 /a/%2e /a//
""".split()


def managers():
    headers = {
        "plain": (),
        "xff": (("x-forwarded-for", "10.1.2.3"),),
        "xff of the world": (("x-forwarded-for", "8.8.8.8"),),
        "xfp": (("x-forwarded-proto", "https"),),
        "request id": (("x-request-id", "7f8d1c2e-0000-4000-8000-000000000000"),),
        "internal": (("x-envoy-internal", "true"), ("x-envoy-external-address", "1.2.3.4")),
    }
    several = {
        "xff inside": (("x-forwarded-for", "10.9.9.9"), ("x-envoy-retry-on", "5xx")),
        "xff of two": (("x-forwarded-for", "8.8.8.8, 10.1.2.3"),),
        "xff of two lines": (("x-forwarded-for", "8.8.8.8"), ("x-forwarded-for", "10.1.2.3, 9.9.9.9")),
        "xff of nobody": (("x-forwarded-for", "unknown"),),
        "xfp and xfport": (("x-forwarded-proto", "https"), ("x-forwarded-port", "8443")),
        "via": (("via", "1.1 before"),),
    }
    for world in ("trusted-hops", "trusted-inside", "skip-append", "internal", "internal-edge", "server-absent", "server-through", "via"):
        for name, sent in {**headers, **several}.items():
            yield from both(world, name, headers=sent)
        yield from both(world, "own server header", headers=plan(headers=[["server", "upstream's own"], ["via", "1.1 inner"]]))
    for world in ("normal", "merged", "both-normal", "escaped-reject", "escaped-redirect"):
        for path in ROUGH_PATHS:
            yield from both(world, f"path {path}", target=path)
    told = (("x-request-id", "7f8d1c2e-0000-4000-8000-000000000000"),)
    yield from both("escaped-redirect", "redirect of a request with an id", target="/a%2Fb", headers=told)
    yield from both("escaped-redirect", "redirect of gRPC", method="POST", target="/a%2Fb", body="", headers=(("content-type", "application/grpc"), ("te", "trailers"), *told))
    for world in ("strip-any", "strip-matching"):
        for host in ("weft.test:81", "weft.test.", "weft.test.:81", "[::1]:81", "[::1]", "weft.test:", "weft.test"):
            yield from both(world, f"host {host}", host=host)
    for world in ("server-name", "remote-address", "no-request-id", "preserve-request-id"):
        for name, sent in headers.items():
            yield from both(world, name, headers=sent)
        yield from both(world, "own server header", headers=plan(headers=[["server", "upstream's own"]]))


def h2_only():
    yield Case("forward", "no authority but host", "h2", host=None, headers=(("host", "weft.test"),))
    yield Case("forward", "neither authority nor host", "h2", host=None)
    yield Case("forward", "authority and another host", "h2", headers=(("host", "other.test"),))
    yield Case("forward", "upper-case name", "h2", headers=(("X-Upper", "1"),))
    yield Case("forward", "connection header", "h2", headers=(("connection", "close"),))
    yield Case("forward", "te gzip only", "h2", headers=(("te", "gzip"),))
    yield Case("forward", "transfer-encoding", "h2", headers=(("transfer-encoding", "chunked"),))
    yield Case("forward", "no path", "h2", target=None)
    yield Case("forward", "empty path", "h2", target="")
    yield Case("forward", "relative path", "h2", target="relative")
    yield Case("forward", "asterisk", "h2", method="OPTIONS", target="*")
    yield Case("forward", "connect", "h2", method="CONNECT", target=None)
    yield Case("forward", "bad length", "h2", method="POST", headers=(("content-length", "99"),), body="short")
    yield Case("forward", "good length", "h2", method="POST", headers=(("content-length", "5"),), body="short")
    yield Case("forward", "split cookies", "h2", headers=(("cookie", "a=1"), ("cookie", "b=2")))


def cases():
    """All of them, no name twice."""
    made = [
        *matching(),
        *domains(),
        *requests("forward"),
        *requests("forward-h2"),
        *answers("forward", H1_ANSWERS),
        *answers("forward-h2", H2_ANSWERS),
        *malformed(),
        *h2_only(),
        *rewriting(),
        *mutations(),
        *local(),
        *managers(),
        *routing.action_cases(),
        *routing.format_cases(),
        *settings.cases(),
        *replies.cases(),
        *behind.cases(),
        *filtering.cases(),
        *limiting.cases(),
        *services.cases(),
        *sayings.cases(),
        *written.cases(),
        *spelled.cases(),
        *scoped.cases(),
    ]
    names = [case.id for case in made]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, twice
    return made
