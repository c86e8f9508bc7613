"""Raw connections that an upstream gets over HTTP: by CONNECT or by POST, in HTTP/1.1 and in h2."""

import json
import threading

import pytest

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, tcp_proxy, virtual_host
from harness.raw import hello
from harness.upstream import Http, Tcp
from harness.waiting import until


def going_in(port, http2=False, filters=(), clusters=None, more=None, **tunneling):
    """A listener whose bytes go to `port` over HTTP."""
    proxied = tcp_proxy("up", tunneling_config={"hostname": "far.test:443", **tunneling}, **(more or {}))
    made = clusters or [cluster("up", port, http2=http2)]
    return bootstrap([listener("main", proxied, listener_filters=list(filters))], made)


def coming_out(port):
    """CONNECT ends there, and POST as well; what was asked for is said in the headers of the answer."""
    ends = {"cluster": "up", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {"allow_post": True}}]}
    connect = route({"connect_matcher": {}, "headers": [{"name": "x-let", "string_match": {"exact": "in"}}]}, ends)
    post = route({"prefix": "/in", "headers": [{"name": "x-let", "string_match": {"exact": "in"}}]}, ends)
    table = routes("main", virtual_host("all", ["far.test:443"], connect, post))
    return bootstrap([listener("main", hcm(table, upgrade_configs=[{"upgrade_type": "CONNECT"}], http2_protocol_options={"allow_connect": True}))], [cluster("up", port)])


@pytest.fixture
def echo():
    with Tcp("tcp") as up:
        yield up.port


LET_IN = {"headers_to_add": [{"header": {"key": "x-let", "value": "in"}}]}
BY_POST = {"use_post": True, "post_path": "/in"}


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
@pytest.mark.parametrize("by", [{}, BY_POST], ids=["connect", "post"])
def test_bytes_go_through_an_upstream_that_agrees(start, echo, by, http2):
    inner = start(coming_out(echo), name="inner")
    outer = start(going_in(inner.port(), http2, **by, **LET_IN), name="outer")
    data = bytes(range(256)) * 4096
    for _ in range(2):
        with http1.Connection(outer.port()) as connection:

            def write():
                connection.send(data)
                connection.socket.shutdown(1)

            writer = threading.Thread(target=write)
            writer.start()
            assert connection.read_to_end() == b"tcp\n" + data
            writer.join()

    def bytes_moved():
        return tuple(outer.admin.stats()[f"tcp.tcp.downstream_cx_{way}_bytes_total"] for way in ("rx", "tx"))

    until(lambda: bytes_moved() == (2 * len(data), 2 * (len(data) + 4)), "both connections to be counted")
    stats = outer.admin.stats()
    assert stats["cluster.up.upstream_rq_2xx"] == 2
    until(lambda: outer.admin.stats()["cluster.up.upstream_rq_active"] == 0, "both to be over")
    # Streams share a connection of h2, and nothing else is sent on one of HTTP/1.1.
    assert stats["cluster.up.upstream_cx_total"] == (1 if http2 else 2)


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_a_tunnel_that_is_refused_ends_the_connection(start, echo, http2):
    inner = start(coming_out(echo), name="inner")
    outer = start(going_in(inner.port(), http2), name="outer")
    with http1.Connection(outer.port()) as connection:
        assert connection.at_end()
    stats = outer.admin.stats()
    assert stats["cluster.up.upstream_rq_4xx"] == 1
    assert stats["cluster.up.upstream_cx_connect_attempts_exceeded"] == 1


def test_another_endpoint_is_asked_when_one_refuses(start, echo):
    """What the client has said by then waits for the one that agrees."""
    with Http("refuses") as refuses:
        refuses.failing.add("far.test:443")
        inner = start(coming_out(echo), name="inner")
        made = [cluster("up", refuses.port, inner.port())]
        outer = start(going_in(None, clusters=made, more={"max_connect_attempts": 2}, **LET_IN), name="outer")
        for _ in range(4):
            with http1.Connection(outer.port()) as connection:
                connection.send(b"early")
                connection.socket.shutdown(1)
                assert connection.read_to_end() == b"tcp\nearly"
        assert len(refuses.seen) in (1, 2, 3)


def test_the_host_and_headers_are_made_for_each_connection(start):
    with Http("up") as up:
        plan = {"status": 200, "framing": "none", "body": "", "tunnel": True}
        added = {
            "x-respond": json.dumps(plan).replace("%", "%%"),
            "x-client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        }
        config = {
            "hostname": "%REQUESTED_SERVER_NAME%:443",
            "headers_to_add": [{"header": {"key": name, "value": value}} for name, value in added.items()],
        }
        inspector = {"@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"}
        proxy = start(going_in(up.port, filters=[{"name": "tls", "typed_config": inspector}], **config))
        asked = hello("shop.test")
        with http1.Connection(proxy.port()) as connection:
            connection.send(asked)
            connection.socket.shutdown(1)
            assert connection.read_to_end() == asked
        (seen,) = up.seen
    assert (seen["method"], seen["target"]) == ("CONNECT", "shop.test:443")
    headers = {name.lower(): value for name, value in seen["headers"]}
    assert headers["host"] == "shop.test:443"
    assert headers["x-client"] == "127.0.0.1"


def test_a_tunnel_on_which_nothing_moves_is_closed(start, echo):
    inner = start(coming_out(echo), name="inner")
    outer = start(going_in(inner.port(), more={"idle_timeout": "0.3s"}, **LET_IN), name="outer")
    with http1.Connection(outer.port()) as connection:
        assert connection.read_to_end() == b"tcp\n"
    assert outer.admin.stats()["tcp.tcp.idle_timeout"] == 1
