"""Upgraded connections: WebSocket, other protocols, and CONNECT."""

import socket
from contextlib import ExitStack

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as websocket

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.upstream import Switch, Tcp

WEBSOCKET = {"upgrade_configs": [{"upgrade_type": "websocket"}]}


def single(clusters, *made, **more):
    table = routes("main", virtual_host("all", ["*"], *made))
    return bootstrap([listener("main", hcm(table, **more))], clusters)


def test_websocket_messages_go_both_ways(start, echo):
    port = start(single([cluster("up", echo)], route("/", "up"), **WEBSOCKET)).port()
    with websocket(f"ws://127.0.0.1:{port}/chat") as client:
        for message in ("hello", b"\x00\xff", "x" * 300_000):
            client.send(message)
            assert client.recv() == message


def test_many_websockets_at_once(start, echo):
    port = start(single([cluster("up", echo)], route("/", "up"), **WEBSOCKET)).port()
    with ExitStack() as open_ones:
        clients = [open_ones.enter_context(websocket(f"ws://127.0.0.1:{port}/{number}")) for number in range(50)]
        for number, client in enumerate(clients):
            client.send(str(number))
        assert [client.recv() for client in clients] == [str(number) for number in range(50)]


def test_tunnels_are_counted(start, echo):
    proxy = start(single([cluster("up", echo)], route("/", "up"), **WEBSOCKET))
    with websocket(f"ws://127.0.0.1:{proxy.port()}/") as client:
        client.send("x")
        client.recv()
        assert proxy.admin.stats()["http.ingress.downstream_cx_upgrades_active"] == 1
    assert proxy.admin.stats()["http.ingress.downstream_cx_upgrades_total"] == 1


def test_an_upgrade_that_is_not_configured_is_refused(start, echo):
    port = start(single([cluster("up", echo)], route("/", "up"))).port()
    with pytest.raises(InvalidStatus) as refused:
        websocket(f"ws://127.0.0.1:{port}/")
    assert refused.value.response.status_code == 403


def test_a_route_says_which_upgrades_it_allows(start, echo):
    off = {"cluster": "up", "upgrade_configs": [{"upgrade_type": "websocket", "enabled": False}]}
    made = [route("/off", off), route("/", "up")]
    port = start(single([cluster("up", echo)], *made, **WEBSOCKET)).port()
    with pytest.raises(InvalidStatus) as refused:
        websocket(f"ws://127.0.0.1:{port}/off")
    assert refused.value.response.status_code == 403
    with websocket(f"ws://127.0.0.1:{port}/on") as client:
        client.send("x")
        assert client.recv() == "x"


def test_a_route_may_allow_what_the_connection_does_not(start, echo):
    on = {"cluster": "up", "upgrade_configs": [{"upgrade_type": "websocket"}]}
    port = start(single([cluster("up", echo)], route("/", on))).port()
    with websocket(f"ws://127.0.0.1:{port}/") as client:
        client.send("x")
        assert client.recv() == "x"


def test_an_upstream_may_refuse_and_the_connection_goes_on(start, http_upstream):
    up = http_upstream("plain")
    port = start(single([cluster("up", up.port)], route("/", "up"), **WEBSOCKET)).port()
    headers = [("connection", "upgrade"), ("upgrade", "websocket")]
    with http1.Connection(port) as client:
        assert client.request("GET", "/", headers).status == 200
        assert client.request("GET", "/").status == 200


def test_other_protocols_too_and_half_close(start):
    with Switch("own") as up:
        allowed = {"upgrade_configs": [{"upgrade_type": "own/1"}]}
        port = start(single([cluster("up", up.port)], route("/", "up"), **allowed)).port()
        with http1.Connection(port) as client:
            client.send(b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: own/1\r\n\r\nearly ")
            answer = client.read()
            assert (answer.status, answer.header("upgrade")) == (101, "own/1")
            client.send(b"late")
            client.socket.shutdown(socket.SHUT_WR)
            assert answer.body + client.read_to_end() == b"own\nearly late"
        assert b"upgrade: own/1" in up.head


CONNECT = {"upgrade_configs": [{"upgrade_type": "CONNECT"}]}


def test_connect_ends_here_and_its_bytes_go_on(start):
    with Tcp("tcp") as up:
        ends = {"cluster": "up", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
        made = route({"connect_matcher": {}}, ends)
        port = start(single([cluster("up", up.port)], made)).port()
        with http1.Connection(port) as client:
            client.send(b"CONNECT any.test:1 HTTP/1.1\r\nhost: any.test:1\r\n\r\n")
            assert client.read("CONNECT").status == 200
            client.send(b"bytes")
            client.socket.shutdown(socket.SHUT_WR)
            assert client.read_to_end() == b"tcp\nbytes"


def test_connect_is_passed_on(start):
    """Two proxies: the first passes CONNECT on, the second ends it."""
    with Tcp("tcp") as up:
        ends = {"cluster": "up", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
        inner = start(single([cluster("up", up.port)], route({"connect_matcher": {}}, ends)), name="inner")
        passes = route({"connect_matcher": {}}, "inner")
        outer = start(single([cluster("inner", inner.port())], passes, **CONNECT), name="outer")
        with http1.Connection(outer.port()) as client:
            client.send(b"CONNECT any.test:1 HTTP/1.1\r\nhost: any.test:1\r\n\r\n")
            assert client.read("CONNECT").status == 200
            client.send(b"bytes")
            client.socket.shutdown(socket.SHUT_WR)
            assert client.read_to_end() == b"tcp\nbytes"


def test_a_tunnel_on_which_nothing_moves_ends(start, echo):
    limited = {**WEBSOCKET, "stream_idle_timeout": "0.3s"}
    port = start(single([cluster("up", echo)], route("/", "up"), **limited)).port()
    headers = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ]
    with http1.Connection(port) as client:
        assert client.request("GET", "/", headers).status == 101
        assert client.at_end()


def test_a_tunnel_is_not_held_to_the_timeout_of_its_route(start, echo):
    quick = {"cluster": "up", "timeout": "0.2s"}
    port = start(single([cluster("up", echo)], route("/", quick), **WEBSOCKET)).port()
    with websocket(f"ws://127.0.0.1:{port}/") as client:
        with pytest.raises(TimeoutError):
            client.recv(timeout=0.6)
        client.send("still here")
        assert client.recv() == "still here"
