"""What a caller gets when the upstream is gone, refuses, hangs up or is not there at all."""

import json
import socket

import pytest

from harness import http1, http2
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.upstream import Http
from harness.waiting import until


@pytest.fixture
def refused_port():
    """A port that is ours and that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def single(cluster_value, cluster_name="up", validate_clusters=True, **more):
    host = virtual_host("all", ["*"], route("/", {"cluster": cluster_name, **more}))
    main = routes("main", host, validate_clusters=validate_clusters)
    return bootstrap([listener("main", hcm(main))], [cluster_value])


def test_a_refused_connection_is_503(start, refused_port):
    port = start(single(cluster("up", refused_port))).port()
    for answer in (http1.request(port), http2.request(port)):
        assert answer.status == 503
        assert "connection" in answer.text


def test_a_cluster_without_endpoints_is_503(start):
    port = start(single(cluster("up"))).port()
    answer = http1.request(port)
    assert (answer.status, answer.text) == (503, "no healthy upstream")


def test_a_route_to_a_cluster_that_is_not_there_is_503(start):
    port = start(single(cluster("other"), cluster_name="missing", validate_clusters=False)).port()
    assert http1.request(port).status == 503


@pytest.mark.parametrize("h2c", [False, True], ids=["h1", "h2c"])
def test_an_upstream_that_hangs_up_before_answering_is_503(start, http_upstream, h2c):
    up = http_upstream("up")
    port = start(single(cluster("up", up.port, http2=h2c))).port()
    answer = http1.request(port, headers=[("x-respond", '{"hangup": "before"}')])
    assert answer.status == 503
    assert http1.request(port).status == 200, "the next request is unharmed"


def test_an_answer_cut_in_the_middle_is_never_passed_off_as_whole(start, http_upstream):
    up = http_upstream("up")
    port = start(single(cluster("up", up.port))).port()
    plan = json.dumps({"hangup": "middle", "body": "x" * 1000})
    with pytest.raises((http1.Broken, ConnectionError)):
        http1.request(port, headers=[("x-respond", plan)])
    with pytest.raises(http1.Broken):
        http2.request(port, headers=[("x-respond", plan)])
    chunked = json.dumps({"hangup": "middle", "body": "x" * 1000, "framing": "chunked"})
    with pytest.raises((http1.Broken, ConnectionError)):
        http1.request(port, headers=[("x-respond", chunked)])


def test_a_slow_upstream_is_504_at_the_routes_timeout(start, http_upstream):
    up = http_upstream("up")
    port = start(single(cluster("up", up.port), timeout="0.2s")).port()
    answer = http1.request(port, headers=[("x-respond", '{"gate": "never"}')])
    up.open_gate("never")
    assert (answer.status, answer.text) == (504, "upstream request timeout")


def test_a_dead_kept_connection_does_not_fail_the_next_request(start, http_upstream):
    """The upstream closes after its answer without saying so; the pool notices before it is reused."""
    up = http_upstream("up")
    proxy = start(single(cluster("up", up.port)))
    port = proxy.port()
    with http1.Connection(port) as connection:
        for _ in range(20):
            plan = json.dumps({"body": "to the end", "framing": "close"})
            answer = connection.request("GET", "/", [("x-respond", plan)])
            assert (answer.status, answer.body) == (200, b"to the end")


def test_traffic_returns_when_the_upstream_does(start, http_upstream):
    first = http_upstream("first")
    port_number = first.port
    port = start(single(cluster("up", port_number))).port()
    assert http1.request(port).status == 200
    first.stop()
    assert http1.request(port).status == 503
    with Http("second", port=port_number):
        assert http1.request(port).json()["upstream"] == "second"


def test_requests_are_shared_by_the_endpoints(start, http_upstream):
    ups = [http_upstream(name) for name in "abc"]
    port = start(single(cluster("up", *(up.port for up in ups)))).port()
    with http1.Connection(port) as connection:
        for _ in range(30):
            assert connection.request("GET", "/").status == 200
    assert [len(up.seen) for up in ups] == [10, 10, 10]


def test_least_request_avoids_the_busy_endpoint(start, http_upstream):
    ups = [http_upstream(name) for name in "ab"]
    balanced = cluster("up", *(up.port for up in ups), lb_policy="LEAST_REQUEST")
    port = start(single(balanced)).port()
    held = http1.Connection(port)
    held.send(http1.encode("GET", "/", [("x-respond", '{"gate": "later"}')]))
    until(lambda: any(up.seen for up in ups), "the held request to arrive")
    busy = next(up for up in ups if up.seen)
    before = len(busy.seen)
    with http1.Connection(port) as connection:
        for _ in range(40):
            connection.request("GET", "/")
    for up in ups:
        up.open_gate("later")
    assert held.read().status == 200
    held.close()
    # Two draws with replacement meet the busy endpoint alone in a quarter of the cases, at most.
    assert len(busy.seen) - before < 22, [len(up.seen) for up in ups]
