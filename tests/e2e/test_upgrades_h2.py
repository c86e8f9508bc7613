"""Upgrades and CONNECT where one side or both speak HTTP/2 (RFC 8441)."""

import socket
from contextlib import ExitStack

import pytest
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect as websocket

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.frames import PROTOCOL_ERROR, SETTINGS, Raw
from harness.tunnels import ENABLE_CONNECT_PROTOCOL, Tunnel, Tunnels, extended, plain
from harness.upstream import Switch, Tcp
from harness.waiting import until

WEBSOCKET = {"upgrade_configs": [{"upgrade_type": "websocket"}, {"upgrade_type": "own/1"}]}
OVER_H2 = {**WEBSOCKET, "http2_protocol_options": {"allow_connect": True}}
CONNECT = {"upgrade_configs": [{"upgrade_type": "CONNECT"}]}
ENDS = {"cluster": "up", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}


def single(up, *made, http2=False, **more):
    table = routes("main", virtual_host("all", ["*"], *(made or [route("/", "up")])))
    return bootstrap([listener("main", hcm(table, **more))], [cluster("up", up, http2=http2)])


def test_websockets_of_http1_go_over_h2_between_two_proxies(start, echo):
    inner = start(single(echo, **OVER_H2), name="inner")
    outer = start(single(inner.port(), http2=True, **WEBSOCKET), name="outer")
    with ExitStack() as open_ones:
        clients = [open_ones.enter_context(websocket(f"ws://127.0.0.1:{outer.port()}/{n}")) for n in range(10)]
        for client in clients:
            for message in ("hello", b"\x00\xff", "x" * 300_000):
                client.send(message)
                assert client.recv() == message
        stats = inner.admin.stats()
        assert stats["http.ingress.downstream_cx_http1_total"] == 0
        assert stats["http.ingress.downstream_cx_upgrades_active"] == 10
    until(lambda: inner.admin.stats()["http.ingress.downstream_cx_upgrades_active"] == 0, "the tunnels to end")


def test_a_client_of_h2_talks_to_a_websocket_server_of_http1(start, echo):
    """The server demands a key, which a client of h2 does not have."""
    port = start(single(echo, **OVER_H2)).port()
    with Tunnel(port, extended("websocket", "/chat", ("sec-websocket-version", "13"))) as client:
        assert client.status == 200
        assert "sec-websocket-accept" not in client.fields and "upgrade" not in client.fields
        client.send(Frame(Opcode.TEXT, b"hello").serialize(mask=True))
        assert client.read(7) == b"\x81\x05hello"


def test_other_protocols_too_and_half_close(start):
    with Switch("own") as up:
        port = start(single(up.port, **OVER_H2)).port()
        with Tunnel(port, extended("own/1", "/x?y")) as client:
            assert client.status == 200
            client.send(b"bytes", end=True)
            assert client.read_to_end() == b"own\nbytes"
        assert up.head.startswith(b"GET /x?y HTTP/1.1\r\n")
        assert b"\r\nconnection: upgrade\r\nupgrade: own/1" in up.head


def test_extended_connect_is_refused_unless_it_is_allowed(start, echo):
    port = start(single(echo, **WEBSOCKET)).port()
    with Tunnel(port, extended("websocket")) as client:
        assert (client.status, client.reset) == (None, PROTOCOL_ERROR)
    assert ENABLE_CONNECT_PROTOCOL not in settings_of(port)
    allowed = start(single(echo, **OVER_H2), name="allowed").port()
    assert settings_of(allowed)[ENABLE_CONNECT_PROTOCOL] == 1


def settings_of(port):
    with Raw(port) as connection:
        payload = next(payload for kind, flags, _, payload in connection.frames() if kind == SETTINGS and not flags)
    pairs = (payload[at : at + 6] for at in range(0, len(payload), 6))
    return {int.from_bytes(pair[:2], "big"): int.from_bytes(pair[2:], "big") for pair in pairs}


def test_a_protocol_that_is_not_configured_is_refused(start, echo):
    port = start(single(echo, **OVER_H2)).port()
    with Tunnel(port, extended("other/1")) as client:
        assert client.status == 403


UPGRADE = [
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


def test_an_upstream_of_h2_is_asked_by_extended_connect(start):
    with Tunnels() as up:
        port = start(single(up.port, http2=True, **WEBSOCKET)).port()
        with http1.Connection(port) as client:
            answer = client.request("GET", "/chat", UPGRADE)
            assert (answer.status, answer.header("upgrade")) == (101, "websocket")
            assert answer.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            client.send(b"bytes")
            client.socket.shutdown(socket.SHUT_WR)
            assert answer.body + client.read_to_end() == b"bytes"
        asked = up.asked[0]
        assert (asked[":method"], asked[":protocol"], asked[":path"]) == ("CONNECT", "websocket", "/chat")
        assert not {"upgrade", "connection"} & set(asked)


def test_an_upstream_of_h2_that_does_not_offer_it_is_not_asked(start):
    with Tunnels(offers=False) as up:
        port = start(single(up.port, http2=True, **WEBSOCKET)).port()
        with pytest.raises(InvalidStatus) as refused:
            websocket(f"ws://127.0.0.1:{port}/")
        assert refused.value.response.status_code == 403
        assert not up.asked


def test_an_upstream_of_h2_may_refuse_and_the_connection_goes_on(start):
    with Tunnels(status=418) as up:
        port = start(single(up.port, http2=True, **WEBSOCKET)).port()
        with http1.Connection(port) as client:
            assert client.request("GET", "/", UPGRADE).status == 418
            assert client.request("GET", "/").status == 418


def test_from_h2_to_h2(start):
    with Tunnels() as up:
        port = start(single(up.port, http2=True, **OVER_H2)).port()
        with Tunnel(port, extended("websocket", "/a")) as client:
            assert client.status == 200
            client.send(b"x" * 16_000)
            assert client.read(16_000) == b"x" * 16_000
            client.send(b"last", end=True)
            assert client.read_to_end() == b"last"
        assert up.asked[0][":protocol"] == "websocket"


def test_connect_over_h2_ends_here(start):
    with Tcp("tcp") as up:
        port = start(single(up.port, route({"connect_matcher": {}}, ENDS))).port()
        with Tunnel(port, plain()) as client:
            assert client.status == 200
            client.send(b"bytes", end=True)
            assert client.read_to_end() == b"tcp\nbytes"


def test_connect_is_passed_on_over_h2(start):
    with Tunnels() as up:
        port = start(single(up.port, route({"connect_matcher": {}}, "up"), http2=True, **CONNECT)).port()
        with Tunnel(port, plain("any.test:9")) as client:
            assert client.status == 200
            client.send(b"bytes", end=True)
            assert client.read_to_end() == b"bytes"
        with http1.Connection(port) as client:
            client.send(b"CONNECT any.test:9 HTTP/1.1\r\nhost: any.test:9\r\n\r\n")
            assert client.read("CONNECT").status == 200
            client.send(b"more")
            client.socket.shutdown(socket.SHUT_WR)
            assert client.read_to_end() == b"more"
        assert [asked[":authority"] for asked in up.asked] == ["any.test:9"] * 2
        assert not any(":path" in asked or ":protocol" in asked for asked in up.asked)


class Lengthy(Tcp):
    """Agrees to a CONNECT of HTTP/1.1, and says how long what follows is, which nobody can know."""

    def serve(self, connection, number):
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n")
        super().serve(connection, number)


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_a_length_in_the_answer_to_connect_means_nothing(start, http2):
    """RFC 9110 §9.3.6: it is ignored, and not passed on."""
    length = ("content-length", "3")
    with Tunnels(says=[length]) if http2 else Lengthy("tcp") as up:
        greeting = b"" if http2 else b"tcp\n"
        port = start(single(up.port, route({"connect_matcher": {}}, "up"), http2=http2, **CONNECT)).port()
        with Tunnel(port, plain("any.test:9")) as client:
            assert (client.status, "content-length" in client.fields) == (200, False)
            client.send(b"bytes", end=True)
            assert client.read_to_end() == greeting + b"bytes"
        with http1.Connection(port) as client:
            client.send(b"CONNECT any.test:9 HTTP/1.1\r\nhost: any.test:9\r\n\r\n")
            answer = client.read("CONNECT")
            assert (answer.status, answer.header("content-length")) == (200, None)
            client.send(b"more")
            client.socket.shutdown(socket.SHUT_WR)
            assert answer.body + client.read_to_end() == greeting + b"more"


def test_the_payload_of_a_post_is_a_tunnel_where_allowed(start):
    posts = {"cluster": "up", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {"allow_post": True}}]}
    with Tcp("tcp") as up:
        port = start(single(up.port, route("/", posts))).port()
        answer = http1.request(port, "POST", body="bytes")
        assert (answer.status, answer.text) == (200, "tcp\nbytes")
        post = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "weft.test")]
        with Tunnel(port, post) as client:
            assert (client.status, client.read(4)) == (200, b"tcp\n")
            client.send(b"bytes", end=True)
            assert client.read_to_end() == b"bytes"
