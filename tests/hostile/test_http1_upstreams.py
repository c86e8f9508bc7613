"""Servers that attack the proxy over HTTP/1: memory stays flat, nothing wrong is passed on, others are served."""

from itertools import chain, repeat

import pytest

from harness import frames as wire
from harness import http1
from harness.config import bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host
from harness.upstream import Http, Server
from harness.waiting import until

#: What a proxy in debug mode may take more for a connection and what is on its way.
MIB = 16
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


class Hostile(Server):
    """Answers each request with pieces of bytes, for as long as the proxy takes them."""

    def __init__(self, pieces):
        self.pieces = pieces
        super().__init__("hostile")

    def serve(self, connection, number):
        while True:
            head = b""
            while b"\r\n\r\n" not in head:
                data = connection.recv(65536)
                if not data:
                    return
                head += data
            for piece in self.pieces:
                connection.sendall(piece)


def endless(first, piece, count=800):
    return chain([first], repeat(piece, count))


#: Heads that no client is to see, and that no memory is to be kept for.
HEADS = {
    "a status line without end": lambda: endless(b"HTTP/1.1 200 ", b"O" * 65_536),
    "a head without end": lambda: endless(OK, b"x-a: 1\r\n" * 8_000),
    "a name without end": lambda: endless(OK, b"n" * 65_536),
    "a value without end": lambda: endless(OK + b"x-a: ", b"v" * 65_536),
    "length and chunked": lambda: [OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"],
    "two lengths": lambda: [OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!"],
    "a negative length": lambda: [OK + b"content-length: -1\r\n\r\n"],
    "chunked behind another coding": lambda: [OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
    "a folded field": lambda: [OK + b"x-a: 1\r\n folded\r\ncontent-length: 0\r\n\r\n"],
    "NUL in a value": lambda: [OK + b"x-a: 1\x002\r\ncontent-length: 0\r\n\r\n"],
    "a bare CR in a value": lambda: [OK + b"x-a: 1\rx-b: 2\r\ncontent-length: 0\r\n\r\n"],
    "no status": lambda: [b"HTTP/1.1 OK\r\n\r\n"],
    "another protocol": lambda: [b"SSH-2.0-server\r\n\r\n"],
}

#: Bodies that begin well: the client must not take them for whole.
BODIES = {
    "a chunk size without end": lambda: endless(CHUNKED, b"0" * 65_536),
    "an extension without end": lambda: endless(CHUNKED + b"5;x=", b"e" * 65_536),
    "trailers without end": lambda: endless(CHUNKED + b"5\r\nhello\r\n0\r\n", b"x-a: 1\r\n" * 8_000),
    "a size of another alphabet": lambda: [CHUNKED + b"5g\r\nhello\r\n0\r\n\r\n"],
    "a chunk longer than its size": lambda: [CHUNKED + b"5\r\nhello and more\r\n0\r\n\r\n"],
    "a bare LF behind the chunk": lambda: [CHUNKED + b"5\r\nhello\n0\r\n\r\n"],
}


def single(up, hostile):
    host = virtual_host("all", ["*"], direct("/direct", 200, "alive"), route("/up", "up"), route("/", "hostile"))
    return bootstrap([listener("main", hcm(routes("main", host)))], [cluster("up", up), cluster("hostile", hostile)])


@pytest.fixture
def attacked(start, request):
    """A proxy before a server that attacks; afterwards others are served, and it has not grown."""
    with Hostile(list(request.param())) as hostile, Http("up", body="up") as up:
        proxy = start(single(up.port, hostile.port))
        assert http1.request(proxy.port(), target="/up").text == "up"
        before = wire.resident_kib(proxy.process)
        yield proxy
        assert http1.request(proxy.port(), target="/up").text == "up"
        assert wire.resident_kib(proxy.process) - before <= MIB * 1024


def protocol_errors(proxy):
    return proxy.admin.stats()["cluster.hostile.upstream_cx_protocol_error"]


@pytest.mark.weft_only  # Envoy unfolds lines, and takes some lengths that weft-proxy refuses.
@pytest.mark.parametrize("attacked", HEADS.values(), ids=HEADS.keys(), indirect=True)
def test_heads_that_make_no_sense_are_502(attacked):
    assert http1.request(attacked.port(), target="/bad").status == 502
    until(lambda: protocol_errors(attacked) >= 1, "the error to be counted")


@pytest.mark.weft_only
@pytest.mark.parametrize("attacked", BODIES.values(), ids=BODIES.keys(), indirect=True)
def test_bodies_that_stop_making_sense_are_never_passed_off_as_whole(attacked):
    with http1.Connection(attacked.port()) as connection, pytest.raises(http1.Broken):
        connection.send(b"GET /bad HTTP/1.1\r\nhost: weft.test\r\n\r\n")
        connection.read()
    until(lambda: protocol_errors(attacked) >= 1, "the error to be counted")


INTERIM = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"


@pytest.mark.parametrize("attacked", [lambda: repeat(INTERIM * 500, 400)], ids=["103"], indirect=True)
def test_informational_answers_without_end_are_not_hoarded(attacked):
    """The client takes none of them."""
    with http1.Connection(attacked.port()) as connection:
        connection.send(b"GET /bad HTTP/1.1\r\nhost: weft.test\r\n\r\n")
        for _ in range(20):
            assert http1.request(attacked.port(), target="/up").text == "up"


LONGER = OK + b"content-length: 5\r\n\r\nhello" + OK + b"content-length: 6\r\n\r\nforged"


@pytest.mark.parametrize("attacked", [lambda: [LONGER]], ids=["an answer too many"], indirect=True)
def test_an_answer_that_nobody_asked_for_is_given_to_nobody(attacked):
    """Neither to who asked before nor to who asks next."""
    for _ in range(20):
        assert http1.request(attacked.port(), target="/bad").text == "hello"


@pytest.mark.weft_only  # Envoy's buffers are of 1 MiB unless told otherwise.
def test_a_body_that_nobody_takes_stays_with_the_server(start):
    """50 clients, each of which takes nothing of 64 MiB: by length and by the end of the connection."""
    big = [OK + b"content-length: 67108864\r\n\r\n", *repeat(b"x" * 65_536, 1_024)]
    with Hostile(big) as hostile, Http("up", body="up") as up:
        proxy = start(single(up.port, hostile.port))
        before = highest = wire.resident_kib(proxy.process)
        clients = [http1.Connection(proxy.port()) for _ in range(50)]
        for client in clients:
            client.send(b"GET /bad HTTP/1.1\r\nhost: weft.test\r\n\r\n")
            assert client.socket.recv(12) == b"HTTP/1.1 200"
        for _ in range(20):
            assert http1.request(proxy.port(), target="/up").text == "up"
            highest = max(highest, wire.resident_kib(proxy.process))
        assert highest - before <= 3 * MIB * 1024
        for client in clients:
            client.close()
        until(lambda: proxy.admin.stats()["cluster.hostile.upstream_rq_active"] == 0, "the requests to end")
