"""Static routes: which request goes where, over HTTP/1.1 and h2c on both sides."""

import collections
import json

import pytest

from harness import http1, http2
from harness.config import bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host


@pytest.fixture(scope="module", params=["h1", "h2c"], ids=["upstream-h1", "upstream-h2c"])
def mesh(request, proxy_kind, tmp_path_factory):
    """Three upstreams behind one proxy with one of each kind of route."""
    from harness.proxy import Proxy
    from harness.upstream import Http

    upstreams = {name: Http(name) for name in ("a", "b", "c")}
    http2_side = request.param == "h2c"
    clusters = [cluster(name, up.port, http2=http2_side) for name, up in upstreams.items()]
    bound = listener("main", hcm(routes("main", *hosts())))
    with Proxy(proxy_kind, bootstrap([bound], clusters), tmp_path_factory.mktemp("routes")) as proxy:
        yield proxy.port(), "HTTP/2" if http2_side else "HTTP/1.1"
    for up in upstreams.values():
        up.stop()


def hosts():
    def exactly(text):
        return {"string_match": {"exact": text}}

    weighted = {"weighted_clusters": {"clusters": [{"name": "a", "weight": 3}, {"name": "b", "weight": 1}]}}
    return [
        virtual_host(
            "main",
            ["weft.test"],
            route({"path": "/exact"}, "b"),
            route({"prefix": "/", "headers": [{"name": "x-canary", **exactly("yes")}]}, "c"),
            route({"prefix": "/", "headers": [{"name": ":method", **exactly("DELETE")}]}, "b"),
            route({"prefix": "/no-secret", "headers": [{"name": "x-secret", "present_match": False}]}, "a"),
            route({"path_separated_prefix": "/api"}, "b"),
            route("/split", weighted),
            direct("/teapot", 418, "short and stout"),
            direct("/empty", 204),
            route("/old", redirect={"path_redirect": "/new", "response_code": "FOUND"}),
            route("/move", redirect={"host_redirect": "other.test", "prefix_rewrite": "/moved"}),
            route("/rewrite/", {"cluster": "a", "prefix_rewrite": "/"}),
            route("/prefix", "a"),
        ),
        virtual_host("suffix", ["*.wild.test"], route("/", "b")),
        virtual_host("long-suffix", ["*.deep.wild.test"], route("/", "c")),
        virtual_host("exact", ["one.wild.test"], route("/", "a")),
    ]


@pytest.fixture(params=["h1", "h2"])
def send(request, mesh):
    """Sends one request over the protocol of the parameter."""
    port, _ = mesh

    def over_h1(method, path, headers=(), body=None, host="weft.test"):
        return http1.request(port, method, path, headers, body, host=host)

    def over_h2(method, path, headers=(), body=None, host="weft.test"):
        return http2.request(port, method, path, headers, body, authority=host)

    return over_h1 if request.param == "h1" else over_h2


def reached(response):
    assert response.status == 200, (response.status, response.text)
    return response.json()["upstream"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "upstream"),
    [
        ("GET", "/prefix", [], "a"),
        ("GET", "/prefix-and-more?q=1", [], "a"),
        ("GET", "/exact", [], "b"),
        ("GET", "/exact?q=1", [], "b"),
        ("GET", "/prefix", [("x-canary", "yes")], "c"),
        ("GET", "/prefix", [("x-canary", "no")], "a"),
        ("DELETE", "/prefix", [], "b"),
        ("GET", "/no-secret", [], "a"),
        ("GET", "/api", [], "b"),
        ("GET", "/api/v1", [], "b"),
    ],
)
def test_a_request_reaches_the_cluster_of_the_first_route_that_matches(send, method, path, headers, upstream):
    assert reached(send(method, path, headers)) == upstream


@pytest.mark.parametrize(("path", "headers"), [("/exact/", []), ("/apiary", []), ("/no-secret", [("x-secret", "1")])])
def test_a_request_that_no_route_takes_gets_404(send, path, headers):
    assert send("GET", path, headers).status == 404


@pytest.mark.parametrize(
    ("host", "upstream"),
    [("one.wild.test", "a"), ("two.wild.test", "b"), ("x.deep.wild.test", "c"), ("ONE.wild.TEST", "a")],
)
def test_the_most_specific_domain_wins(send, host, upstream):
    assert reached(send("GET", "/", host=host)) == upstream


def test_an_unknown_host_gets_404(send):
    assert send("GET", "/prefix", host="stranger.test").status == 404


def test_weights_share_the_requests(mesh):
    port, _ = mesh
    with http1.Connection(port) as connection:
        counts = collections.Counter(reached(connection.request("GET", "/split")) for _ in range(400))
    # 300 expected of 400; a fair draw leaves these bounds once in a billion runs.
    assert 245 <= counts["a"] <= 350, counts
    assert counts["a"] + counts["b"] == 400


def test_a_direct_response_is_sent_as_written(send):
    answer = send("GET", "/teapot")
    assert (answer.status, answer.body) == (418, b"short and stout")
    assert send("GET", "/empty").status == 204


def test_redirects_name_the_new_place(send):
    old = send("GET", "/old?keep=1")
    assert (old.status, old.header("location")) == (302, "http://weft.test/new?keep=1")
    moved = send("GET", "/move/x?y=z")
    assert (moved.status, moved.header("location")) == (301, "http://other.test/moved/x?y=z")


def test_a_prefix_is_rewritten(send):
    seen = send("GET", "/rewrite/deep/path?q=1").json()
    assert seen["target"] == "/deep/path?q=1"
    assert dict(seen["headers"])["x-envoy-original-path"] == "/rewrite/deep/path?q=1"


def test_the_cluster_decides_the_protocol_upstream(send, mesh):
    assert send("GET", "/prefix").json()["protocol"] == mesh[1]


@pytest.mark.parametrize("size", [0, 1, 16_384, 1_000_000])
def test_bodies_go_through_in_both_directions(send, size):
    body = bytes(ord("a") + i % 26 for i in range(size))
    seen = send("POST", "/prefix", [], body).json()
    assert seen["body"] == (body.decode() if size <= 4096 else f"{size} bytes")
    answer = send("POST", "/prefix", [("x-respond", json.dumps({"fill": size}))], body)
    assert (answer.status, answer.body) == (200, b"z" * size)


def test_a_chunked_body_and_its_answer_arrive_whole(mesh):
    port, protocol = mesh
    plan = json.dumps({"body": "answer in pieces", "framing": "chunked"})
    answer = http1.request(port, "POST", "/prefix", [("x-respond", plan)], "sent in pieces", chunked=True)
    assert (answer.status, answer.body) == (200, b"answer in pieces")
    assert answer.framing == "chunked"
    seen = http1.request(port, "POST", "/prefix", [], "sent in pieces", chunked=True).json()
    assert seen["body"] == "sent in pieces"
    assert seen["framing"] == ("chunked" if protocol == "HTTP/1.1" else "data")


def test_upstream_connections_are_kept_and_reused(mesh):
    port, _ = mesh
    with http1.Connection(port) as connection:
        used = {connection.request("GET", "/prefix").json()["connection"] for _ in range(20)}
    assert len(used) == 1


def test_many_streams_share_a_connection(mesh):
    port, _ = mesh
    with http2.Connection(port) as connection:
        streams = [connection.start("GET", f"/prefix/{i}") for i in range(50)]
        targets = [connection.read(stream).json()["target"] for stream in streams]
    assert targets == [f"/prefix/{i}" for i in range(50)]


def test_pipelined_requests_are_answered_in_order(mesh):
    port, _ = mesh
    with http1.Connection(port) as connection:
        connection.send(b"".join(http1.encode("GET", f"/prefix/{i}") for i in range(8)))
        assert [connection.read().json()["target"] for _ in range(8)] == [f"/prefix/{i}" for i in range(8)]
