"""Servers that attack the proxy over HTTP/2: memory stays flat, and others are served."""

import struct
from itertools import chain, repeat

import pytest

from harness import frames as wire
from harness import http1
from harness.config import bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host
from harness.frames import CONTINUATION, DATA, END_HEADERS, GOAWAY, HEADERS, PING, PRIORITY, PUSH_PROMISE, frame
from harness.http1 import Broken
from harness.upstream import Http, Server
from harness.waiting import until

#: What a proxy in debug mode may take more for a connection and what is on its way.
MIB = 16


class Hostile(Server):
    """Takes one request of a connection and answers with the pieces that `attack` makes for its stream."""

    def __init__(self, attack):
        self.attack = attack
        super().__init__("hostile")

    def serve(self, connection, number):
        connection.sendall(wire.settings())
        stream = self._request(connection)
        for piece in self.attack(stream):
            connection.sendall(piece)
        while connection.recv(65536):
            pass

    @staticmethod
    def _request(connection):
        read = connection.makefile("rb").read
        read(len(wire.PREFACE))
        while True:
            header = read(9)
            read(int.from_bytes(header[:3], "big"))
            if header[3] == HEADERS:
                return int.from_bytes(header[5:9], "big")


def head(stream, *fields, status="200", **more):
    return wire.headers(stream, [(":status", status), *fields], **more)


def flood(piece, count, batch=500):
    return repeat(piece * batch, count // batch)


def after_head(*pieces):
    """An answer that has begun, and these."""
    return lambda stream: chain([head(stream, end=False)], *(piece(stream) for piece in pieces))


def bomb(stream):
    """A field put into the table once and named many times."""
    entry = b"\x40\x06x-bomb\x7f\x9d\x1d" + b"v" * 3_868
    yield wire.headers(stream, wire.block([(":status", "200")]) + entry + b"\xbe" * 11_000)


def trailers(stream):
    made = wire.block([(f"x-{n}", "v" * 4_000) for n in range(250)])
    yield wire.headers(stream, made[:16_000], flags=0)
    for at in range(16_000, len(made), 16_000):
        yield frame(CONTINUATION, 0, stream, made[at : at + 16_000])
    yield frame(CONTINUATION, END_HEADERS, stream, b"")


ATTACKS = {
    "PING": (lambda _: flood(frame(PING, 0, 0, b"12345678"), 400_000), "outbound_control_flood"),
    "SETTINGS": (lambda _: flood(wire.settings((3, 100)), 400_000), "outbound_control_flood"),
    "PRIORITY": (lambda s: flood(frame(PRIORITY, 0, s, struct.pack(">IB", 0, 5)), 400_000), "inbound_priority_frames_flood"),
    "WINDOW_UPDATE": (lambda _: flood(wire.window_update(0, 1), 400_000), "inbound_window_update_frames_flood"),
    "empty DATA": (after_head(lambda s: flood(frame(DATA, 0, s), 400_000)), "inbound_empty_frames_flood"),
    "informational answers": (lambda s: flood(head(s, status="103", end=False), 100_000), "inbound_informational_flood"),
    "a head without end": (
        lambda s: chain([head(s, flags=0)], flood(frame(CONTINUATION, 0, s, wire.block([("x-a", "1")])), 200_000)),
        "inbound_continuation_flood",
    ),
    "a large head": (lambda s: [head(s, *((f"x-{n}", "v" * 100) for n in range(120)))], "header_overflow"),
    "a compression bomb": (bomb, "header_overflow"),
    "trailers of a megabyte": (after_head(trailers), "inbound_continuation_flood"),
    "a block that does not decode": (lambda s: [wire.headers(s, b"\xff" * 100)], "header_compression_error"),
    "a push": (lambda s: [frame(PUSH_PROMISE, END_HEADERS, s, b"\0\0\0\2\x88")], "protocol_error"),
    "data beyond the window": (
        after_head(lambda s: flood(frame(DATA, 0, s, b"x" * 16_384), 400, batch=4)),
        "protocol_error",
    ),
    "another status": (lambda s: [head(s, status="2OO")], "rx_messaging_error"),
    "a reset": (lambda s: [wire.reset(s)], "rx_reset"),
}

#: What ends the stream alone.
OF_A_STREAM = {"a large head", "another status", "a reset", "a compression bomb", "informational answers", "data beyond the window"}


def single(up, hostile):
    host = virtual_host("all", ["*"], direct("/direct", 200, "alive"), route("/up", "up"), route("/", "hostile"))
    clusters = [cluster("up", up), cluster("hostile", hostile, http2=True)]
    return bootstrap([listener("main", hcm(routes("main", host)))], clusters)


@pytest.mark.parametrize("kind", ATTACKS)
def test_an_upstream_that_attacks_is_given_up_and_others_serve(start, kind):
    attack, counter = ATTACKS[kind]
    with Hostile(attack) as hostile, Http("up", body="up") as up:
        proxy = start(single(up.port, hostile.port))
        port = proxy.port()
        assert http1.request(port, target="/up").text == "up"
        before = wire.resident_kib(proxy.process)
        try:
            stopped = http1.Connection(port)
            stopped.send(b"GET /bad HTTP/1.1\r\nhost: a\r\n\r\n")
            until(lambda: proxy.admin.stats()[f"cluster.hostile.http2.{counter}"] >= 1, f"{counter} to be counted")
        finally:
            stopped.close()
        if kind not in OF_A_STREAM:
            ended = lambda: proxy.admin.stats()["cluster.hostile.upstream_cx_protocol_error"]
            until(lambda: ended() >= 1, "the end of the connection to be counted")
        assert http1.request(port, target="/up").text == "up"
        assert wire.resident_kib(proxy.process) - before <= MIB * 1024


def test_goaways_without_end_cost_nothing(start):
    goaway = frame(GOAWAY, 0, 0, struct.pack(">II", 0x7FFFFFFF, 0))
    with Hostile(lambda s: chain(flood(goaway, 200_000), [head(s, end=True)])) as hostile, Http("up", body="up") as up:
        proxy = start(single(up.port, hostile.port))
        before = wire.resident_kib(proxy.process)
        assert http1.request(proxy.port(), target="/bad").status == 200
        assert wire.resident_kib(proxy.process) - before <= MIB * 1024


def test_an_upstream_that_closes_at_each_request_is_told_of(start):
    with Hostile(lambda _: (_ for _ in ()).throw(OSError())) as hostile, Http("up", body="up") as up:
        port = start(single(up.port, hostile.port)).port()
        for _ in range(20):
            try:
                assert http1.request(port, target="/bad").status in (502, 503)
            except Broken as error:
                raise AssertionError("an answer was due") from error
        assert http1.request(port, target="/up").text == "up"
