"""Worlds and cases of routes said in other words: shares, gRPC, old matchers, bytes and files, settings of filters."""

from differential.case import both, plan
from harness.config import bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host

TYPE = "type.googleapis.com/"
FOR_NOBODY = {
    "@type": TYPE + "envoy.config.route.v3.FilterConfig",
    "is_optional": True,
    "config": {"@type": TYPE + "google.protobuf.StringValue", "value": "settings of a filter that nobody has"},
}


def share(numerator, denominator="HUNDRED"):
    return {"runtime_fraction": {"default_value": {"numerator": numerator, "denominator": denominator}, "runtime_key": "none"}}


def by_header(name, **matcher):
    return direct({"prefix": f"/{name}", "headers": [{"name": "x-h", **matcher}]}, 200, name)


def matchers(ports):
    """Matchers that are said in an older way or by chance that is none."""
    host = virtual_host(
        "main",
        ["*"],
        by_header("exact", exact_match="one"),
        by_header("prefix", prefix_match="on"),
        by_header("suffix", suffix_match="ne"),
        by_header("contains", contains_match="n"),
        by_header("regex", safe_regex_match={"regex": "on[ef]"}),
        direct({"prefix": "/never", **share(0)}, 200, "never"),
        direct({"prefix": "/never", **share(10_000, "TEN_THOUSAND")}, 200, "always by ten thousands"),
        direct({"prefix": "/always", **share(1_000_000, "MILLION")}, 200, "always"),
        direct({"prefix": "/grpc", "grpc": {}}, 200, "gRPC"),
        direct({"prefix": "/grpc"}, 200, "not gRPC"),
    )
    return bootstrap([listener("main", hcm(routes("main", host)))], [])


def values(ports):
    """Header values and bodies in every form, and settings of filters that are not there."""
    settings = {"typed_per_filter_config": {"nobody": FOR_NOBODY}}
    add = lambda name, more, **header: {"header": {"key": name, **header}, **more}
    added = [
        add("x-raw", {}, raw_value="cmF3"),
        add("x-appended", {"append": True}, value="two"),
        add("x-replaced", {"append": False}, value="two"),
    ]
    weighted = {"weighted_clusters": {"clusters": [{"name": "up", "weight": 1, **settings}]}}
    host = virtual_host(
        "main",
        ["*"],
        route("/file", direct_response={"status": 200, "body": {"filename": f"{ports['folder']}/answer.txt"}}),
        route("/bytes", direct_response={"status": 200, "body": {"inline_bytes": "AAH/"}}),
        direct("/long", 200, "z" * 9000),
        route("/patient", {"cluster": "up", "idle_timeout": "0.3s"}),
        route("/weighted", weighted),
        route("/", "up", request_headers_to_add=added, response_headers_to_add=added, **settings),
        **settings,
    )
    table = routes("main", host, max_direct_response_body_size_bytes=10_000, **settings)
    return bootstrap([listener("main", hcm(table))], [cluster("up", ports["up"])])


WORLDS = {"matchers": matchers, "values": values}


def cases():
    """Requests for both."""
    for name in ("exact", "prefix", "suffix", "contains", "regex"):
        for value in ("one", "on", "none", "onf", "ONE", "x", ""):
            yield from both("matchers", f"{name} {value}", target=f"/{name}", headers=(("x-h", value),))
        yield from both("matchers", f"{name} of nothing", target=f"/{name}")
    for path in ("/never", "/always"):
        yield from both("matchers", f"share {path}", target=path)
    for kind in ("application/grpc", "application/grpc+proto", "application/grpc-web", "application/grpcx", "text/plain", "APPLICATION/GRPC"):
        yield from both("matchers", f"content type {kind}", method="POST", target="/grpc", headers=(("content-type", kind),))
    for path in ("/file", "/bytes", "/long", "/weighted", "/"):
        for method in ("GET", "HEAD"):
            yield from both("values", f"{method} {path}", method=method, target=path)
    sent = (("x-appended", "one"), ("x-replaced", "one"))
    yield from both("values", "headers", headers=(*sent, *plan(headers=[["x-appended", "one"], ["x-replaced", "one"]])))
    for method, body in (("GET", None), ("POST", "body")):
        yield from both("values", f"{method} held", method=method, body=body, target="/patient", headers=plan(gate="never"))
