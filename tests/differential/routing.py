"""Worlds and cases of routing: every way to choose, to rewrite and to answer."""

from harness.config import cluster, direct, route, virtual_host

from differential.case import Case, both, plan


def rewrite(pattern, substitution):
    return {"pattern": {"regex": pattern}, "substitution": substitution}


def header(name, value, action=None, **more):
    return {"header": {"key": name, "value": value}, **({"append_action": action} if action else {}), **more}


def actions(ports):
    """Actions and rewrites in every form."""
    to = {"cluster": "up"}
    weighted = lambda *clusters, **more: {"weighted_clusters": {"clusters": list(clusters), **more}}
    one = lambda **more: {"name": "up", "weight": 1, **more}
    hosts = [
        virtual_host(
            "main",
            ["*"],
            route({"safe_regex": {"regex": "/re-prefix/.*"}}, {**to, "prefix_rewrite": "/whole"}),
            route("/regex/", {**to, "regex_rewrite": rewrite("^/regex/([^/]+)(/.*)$", r"\2/of/\1")}),
            route("/all-o", {**to, "regex_rewrite": rewrite("o", "0")}),
            route("/host-header", {**to, "host_rewrite_header": "x-host"}),
            route("/host-path/", {**to, "host_rewrite_path_regex": rewrite("^/host-path/([^/]*).*$", r"\1.test")}),
            route("/xfh", {**to, "host_rewrite_literal": "inner.test", "append_x_forwarded_host": True}),
            route("/xfh-kept", {**to, "append_x_forwarded_host": True}),
            route("/by-header", {"cluster_header": "x-cluster"}),
            route("/by-header-404", {"cluster_header": "x-cluster", "cluster_not_found_response_code": "NOT_FOUND"}),
            route("/nowhere", non_forwarding_action={}),
            route(
                "/weighted-headers",
                weighted(
                    one(
                        host_rewrite_literal="weighted.test",
                        request_headers_to_add=[header("x-level", "cluster"), header("x-over", "cluster", "OVERWRITE_IF_EXISTS_OR_ADD")],
                        request_headers_to_remove=["x-gone"],
                        response_headers_to_add=[header("x-level", "cluster"), header("x-over", "cluster", "OVERWRITE_IF_EXISTS_OR_ADD")],
                        response_headers_to_remove=["x-back"],
                    )
                ),
                request_headers_to_add=[header("x-level", "route"), header("x-over", "route", "OVERWRITE_IF_EXISTS_OR_ADD")],
                response_headers_to_add=[header("x-level", "route"), header("x-over", "route", "OVERWRITE_IF_EXISTS_OR_ADD")],
            ),
            route(
                "/weighted-choice",
                weighted(
                    one(request_headers_to_add=[header("x-chosen", "first")]),
                    one(request_headers_to_add=[header("x-chosen", "second")], weight=3),
                    header_name="x-random",
                ),
            ),
            route("/weighted-name", weighted({"cluster_header": "x-cluster", "weight": 1})),
            route("/r-regex/", redirect={"regex_rewrite": rewrite("^/r-regex/(.*)$", r"/re/\1")}),
            route("/duration", {**to, "max_stream_duration": {"max_stream_duration": "0.3s"}}),
            route("/grpc-limit", {**to, "max_stream_duration": {"grpc_timeout_header_max": "0.5s", "grpc_timeout_header_offset": "0.1s"}}),
            direct({"prefix": "/scheme", "headers": [{"name": ":scheme", "string_match": {"exact": "http"}}]}, 200, "by scheme"),
            route("/", "up"),
        ),
    ]
    return hosts, [cluster("up", ports["up"])], {"validate_clusters": False}


def counted(ports):
    """The number of the attempt goes to the upstream."""
    host = virtual_host("main", ["*"], route("/", "up"), include_request_attempt_count=True)
    return [host], [cluster("up", ports["up"])]


def https_only(ports):
    """Virtual hosts that ask for TLS."""
    hosts = [
        virtual_host("all", ["all.test"], direct("/", 200, "all"), require_tls="ALL"),
        virtual_host("external", ["external.test"], direct("/", 200, "external"), require_tls="EXTERNAL_ONLY"),
        virtual_host("none", ["none.test"], direct("/", 200, "none"), require_tls="NONE"),
    ]
    return hosts, []


OPERATORS = """
REQ(x-in) REQ(x-none?x-in) REQ(X-IN):2 REQ(x-twice) REQ(:method) REQ(:path) REQ(:authority) REQ(:scheme) REQ(host) REQ(x-none)
RESP(content-type) RESP(x-back):3 RESP(:status) PROTOCOL RESPONSE_CODE RESPONSE_CODE_DETAILS RESPONSE_FLAGS
ROUTE_NAME UPSTREAM_CLUSTER START_TIME(%Y-%m-%d) DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT
DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT HOSTNAME UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT
ENVIRONMENT(NO_SUCH_VARIABLE) BYTES_SENT
""".split()


def formats(ports):
    """Every operator in request and response headers, and the order within a level."""
    all_of_them = [header(f"x-{n:02}", f"[%{text}%]") for n, text in enumerate(OPERATORS)]
    bare = [header(f"x-bare-{n}", f"%{text}%") for n, text in enumerate(["REQ(x-in)", "REQ(x-none)", "REQ(:path)"])]
    kept = [header("x-kept", "%REQ(x-none)%", keep_empty_value=True)]
    order = [
        header("x-a", "%REQ(x-b)%", "OVERWRITE_IF_EXISTS_OR_ADD"),
        header("x-b", "%REQ(x-a)%", "OVERWRITE_IF_EXISTS_OR_ADD"),
        header("x-c", "added"),
        header("x-c", "replaced", "OVERWRITE_IF_EXISTS_OR_ADD"),
        header("x-d", "first", "ADD_IF_ABSENT"),
        header("x-d", "second", "ADD_IF_ABSENT"),
        header("x-e", "%REQ(x-gone)%|"),
    ]
    changes = {"request_headers_to_add": [*all_of_them, *bare, *kept], "response_headers_to_add": [*all_of_them, *bare, *kept]}
    host = virtual_host(
        "main",
        ["*"],
        route("/order", "up", request_headers_to_add=order, request_headers_to_remove=["x-gone"]),
        route("/levels", "up", request_headers_to_add=[header("x-level", "%REQ(x-level)%+route")]),
        route("/up", "up", name="named", **changes),
        route("/unnamed", {"cluster": "up", "prefix_rewrite": "/other", "host_rewrite_literal": "inner.test"}, **changes),
        route("/refused", "refused", name="refused", **changes),
        direct("/direct", 200, "direct", name="direct", response_headers_to_add=changes["response_headers_to_add"]),
        route("/missing", {"cluster_header": "x-none"}, **changes),
        route("/rewritten", redirect={"prefix_rewrite": "/n"}, response_headers_to_add=changes["response_headers_to_add"]),
        route("/redirect", redirect={"path_redirect": "/n"}, response_headers_to_add=changes["response_headers_to_add"]),
        request_headers_to_add=[header("x-level", "%REQ(x-level)%+host")],
    )
    return [host], [cluster("up", ports["up"]), cluster("refused", ports["refused"])]


def format_cases():
    sent = (("x-in", "value"), ("x-twice", "1"), ("x-twice", "2"))
    back = plan(headers=[["x-back", "from the upstream"], ["content-type", "text/x"]])
    for path in ("/up?q=1", "/unnamed/x?q=1", "/refused", "/direct", "/redirect", "/rewritten/x", "/missing"):
        yield from both("formats", f"bare {path}", target=path)
        yield from both("formats", f"full {path}", target=path, headers=sent + back)
    yield from both("formats", "order", target="/order", headers=(("x-a", "1"), ("x-b", "2"), ("x-c", "old"), ("x-gone", "3")))
    yield from both("formats", "levels", target="/levels", headers=(("x-level", "client"),))
    yield from both("formats", "POST", target="/up", method="POST", body="some body", headers=sent)


def action_cases():
    paths = """
    /re-prefix/x /re-prefix/x?q=1 /regex/a/b /regex/a/b?c=/regex/a/b /regex/a /all-o/foo?o=o /host-path/shop/x
    /host-path/shop?x=/y /host-path/ /xfh /xfh-kept /nowhere /r-regex/x/y?q=1 /r-regex/ /weighted-headers /scheme
    """.split()
    for path in paths:
        yield from both("actions", f"path {path}", target=path)
    for value in ("elsewhere.test", "elsewhere.test:81", "", "100%", "a b", "a/b", "user@host"):
        yield from both("actions", f"host header {value}", target="/host-header", headers=(("x-host", value),))
    yield from both("actions", "host header none", target="/host-header")
    for hosts in (("a.test",), ("weft.test",), ("a.test,weft.test",), ("a.test", "b.test")):
        headers = tuple(("x-forwarded-host", host) for host in hosts)
        yield from both("actions", f"forwarded host {'+'.join(hosts)}", target="/xfh", headers=headers)
    for path in ("/by-header", "/by-header-404", "/weighted-name"):
        for name in ("up", "missing", ""):
            yield from both("actions", f"cluster header {path} {name}", target=path, headers=(("x-cluster", name),))
        yield from both("actions", f"cluster header {path} none", target=path)
    sent = (("x-level", "client"), ("x-over", "client"), ("x-gone", "1"))
    back = plan(headers=[["x-level", "up"], ["x-over", "up"], ["x-back", "1"]])
    yield from both("actions", "weighted headers", target="/weighted-headers", headers=sent + back)
    for number in ("0", "1", "3", "4", "7", "18446744073709551615"):
        yield from both("actions", f"weighted by {number}", target="/weighted-choice", headers=(("x-random", number),))
    held = plan(gate="never")
    grpc = (("content-type", "application/grpc"), ("te", "trailers"))
    yield from both("actions", "stream duration", target="/duration", headers=held)
    yield from both("actions", "stream duration for gRPC", target="/duration", method="POST", body="", headers=held + grpc)
    for timeout in ("10S", "200m", "99999999H", "bad"):
        yield from both("actions", f"grpc-timeout {timeout}", target="/grpc-limit", method="POST", body="", headers=(*grpc, ("grpc-timeout", timeout), *plan(headers=[])))
    yield from both("actions", "grpc-timeout passes", target="/grpc-limit", method="POST", body="", headers=(*grpc, ("grpc-timeout", "10S"), *held))
    yield from both("counted", "first attempt", headers=(("x-envoy-attempt-count", "9"),))
    for host in ("all.test", "external.test", "none.test", "all.test:8080"):
        yield from both("https-only", f"host {host}", host=host, target="/a?b=c")
        yield from both("https-only", f"forwarded https {host}", host=host, headers=(("x-forwarded-proto", "https"),))
    yield Case("https-only", "POST", host="all.test", method="POST", body="x")
