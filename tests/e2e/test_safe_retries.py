"""What is sent once more though nobody asked for it: requests that their endpoint says it did not look at."""

import socket
import struct

import pytest

from harness import frames, http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.frames import DATA, END_STREAM, GOAWAY, HEADERS, PREFACE, frame
from harness.upstream import Server

CUT = 64 * 1024


class Unwilling(Server):
    """An h2 server that takes whole requests, turns the first ones away, and echoes the body of the next."""

    def __init__(self, turn_away, times=1):
        self.turn_away = turn_away
        self.times = times
        self.taken = []
        super().__init__("unwilling")

    def serve(self, connection, number):
        connection.sendall(frames.settings((4, 1 << 20)) + frames.window_update(0, 1 << 20))
        read = connection.makefile("rb").read
        read(len(PREFACE))
        bodies = {}
        while header := read(9):
            kind, flags, stream = header[3], header[4], int.from_bytes(header[5:9], "big")
            payload = read(int.from_bytes(header[:3], "big"))
            if kind == HEADERS:
                bodies[stream] = b""
            elif kind == DATA:
                bodies[stream] += payload
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                self.taken.append(bodies[stream])
                if len(self.taken) > self.times:
                    connection.sendall(frames.headers(stream, [(":status", "200")], end=False))
                    connection.sendall(frame(DATA, END_STREAM, stream, bodies[stream][:8192]))
                else:
                    self.turn_away(connection, stream)


def refuse(connection, stream):
    connection.sendall(frames.reset(stream, frames.REFUSED_STREAM))


def leave(connection, stream):
    connection.sendall(frame(GOAWAY, 0, 0, struct.pack(">II", 0, frames.NO_ERROR)))
    connection.shutdown(socket.SHUT_WR)


def fail(connection, stream):
    connection.sendall(frames.reset(stream, frames.INTERNAL_ERROR))


@pytest.fixture
def through(start):
    def make(up, policy=None):
        action = {"cluster": "up", **({"retry_policy": policy} if policy is not None else {})}
        host = virtual_host("all", ["*"], route("/", action))
        return start(bootstrap([listener("main", hcm(routes("main", host)))], [cluster("up", up.port, http2=True)]))

    return make


def counted(proxy, name):
    return int(proxy.admin.stats().get(f"cluster.up.{name}", 0))


@pytest.mark.parametrize("policy", [None, {"per_try_timeout": "10s"}], ids=["no policy", "only a time for each try"])
@pytest.mark.parametrize("turn_away", [refuse, leave], ids=["refused", "GOAWAY"])
def test_a_request_with_a_body_is_sent_again_when_it_was_not_looked_at(through, turn_away, policy):
    with Unwilling(turn_away) as up:
        proxy = through(up, policy)
        got = http1.request(proxy.port(), "POST", body=b"an order")
        assert (got.status, got.body) == (200, b"an order")
        assert up.taken == [b"an order"] * 2
        assert counted(proxy, "upstream_rq_retry") == 1


def test_what_is_turned_away_again_and_again_fails(through):
    with Unwilling(refuse, times=10) as up:
        proxy = through(up)
        assert http1.request(proxy.port(), "POST", body=b"an order").status == 503
        assert len(up.taken) == 3


def test_what_may_have_been_done_is_not_sent_again(through):
    with Unwilling(fail) as up:
        proxy = through(up)
        assert http1.request(proxy.port(), "POST", body=b"an order").status == 503
        assert up.taken == [b"an order"]
        assert counted(proxy, "upstream_rq_retry") == 0


def test_no_retries_are_none(through):
    with Unwilling(refuse) as up:
        proxy = through(up, {"num_retries": 0})
        assert http1.request(proxy.port(), "POST", body=b"an order").status == 503
        assert up.taken == [b"an order"]


@pytest.mark.parametrize("chunked", [False, True], ids=["of known length", "of unknown length"])
def test_a_body_that_is_longer_than_what_is_kept_is_sent_once_and_counted(through, chunked):
    with Unwilling(refuse) as up:
        proxy = through(up)
        body = b"x" * (CUT + 1)
        assert http1.request(proxy.port(), "POST", body=body, chunked=chunked).status == 503
        assert [len(taken) for taken in up.taken] == [CUT + 1]
        assert counted(proxy, "retry_or_shadow_abandoned") == 1


def test_a_body_that_fits_is_sent_again_as_a_whole(through):
    with Unwilling(refuse) as up:
        proxy = through(up)
        assert http1.request(proxy.port(), "POST", body=b"x" * CUT).status == 200
        assert [len(taken) for taken in up.taken] == [CUT] * 2
