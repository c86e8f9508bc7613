"""HTTP/1 in quantities and at speeds that are meant to exhaust: memory stays flat, others are served."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import http1
from harness.waiting import until

MIB = 1 << 20
HEAD = b"GET /bad HTTP/1.1\r\nhost: weft.test\r\n"
POST = b"POST /bad HTTP/1.1\r\nhost: weft.test\r\ntransfer-encoding: chunked\r\n\r\n"
REFUSED = {400, 408, 413, 414, 431}


def flood(connection, piece, count):
    """Sends a piece many times; False when the peer took no more."""
    connection.socket.settimeout(3.0)
    try:
        for _ in range(count):
            connection.socket.sendall(piece)
    except OSError:
        return False
    finally:
        connection.socket.settimeout(15.0)
    return True


def outcome(connection):
    """The status of the next answer, or None when the connection ends without one."""
    try:
        return connection.read().status
    except OSError:
        return None


def begun(port, data):
    connection = http1.Connection(port)
    connection.send(data)
    return connection


BEGINNINGS = {
    "nothing": b"",
    "one letter": b"G",
    "a request line": b"GET /slow HTTP/1.1\r\n",
    "a head without end": HEAD + b"x-a: 1\r\n",
}


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_heads_that_never_come_are_given_up(target, flat, beginning):
    """Slowloris: 200 connections that say a little and then nothing."""
    with flat(24), ThreadPoolExecutor(20) as pool:
        connections = list(pool.map(lambda _: begun(target.hasty, BEGINNINGS[beginning]), range(200)))
        target.serves()
        assert {outcome(connection) for connection in connections} <= {408, 400, None}
    for connection in connections:
        connection.close()


def test_heads_that_drip_are_given_up(target, counted):
    """A byte now and then does not start the clock anew."""
    with http1.Connection(target.hasty) as connection:
        connection.send(HEAD)

        def dripped():
            try:
                connection.send(b"x-a: 1\r\n")
                connection.socket.settimeout(0.05)
                return connection.socket.recv(100) in (b"",) or True
            except TimeoutError:
                return False
            except OSError:
                return True

        until(dripped, "the proxy to give up", 10)


def test_bodies_that_never_come_are_given_up(target, counted):
    with begun(target.hasty, b"POST /bad HTTP/1.1\r\nhost: weft.test\r\ncontent-length: 10\r\n\r\nhalf") as connection:
        assert outcome(connection) in (408, 504, None)
    assert not any(report["body"] for report in target.attacked("/bad"))


ENDLESS = {
    "request line": (b"GET /", b"a" * 65_536),
    "header": (HEAD + b"x-a: ", b"v" * 65_536),
    "name": (HEAD, b"n" * 65_536),
    "headers": (HEAD, b"".join(b"x-%d: v\r\n" % n for n in range(6_000))),
}


@pytest.mark.parametrize("part", ENDLESS)
def test_heads_without_end_are_cut_off(target, counted, flat, part):
    first, piece = ENDLESS[part]
    with flat(16), begun(target.port, first) as connection:
        flood(connection, piece, 800)
        assert outcome(connection) in REFUSED | {None}
    assert not target.attacked("/bad")


def test_empty_lines_without_end_are_cut_off(target, counted, flat):
    """RFC 9112 §2.2 lets a server skip some."""
    with flat(16), begun(target.port, b"") as connection:
        flood(connection, b"\r\n" * 32_768, 800)
        assert outcome(connection) in (431, None)


def test_empty_lines_before_requests_are_skipped(target):
    with begun(target.port, b"") as connection:
        for _ in range(100):
            connection.send(b"\r\n" * 10 + b"GET /direct HTTP/1.1\r\nhost: weft.test\r\n\r\n")
            assert connection.read().text == "alive"


ENDLESS_BODIES = {
    "chunk size": b"0" * 65_536,
    "chunk extension": b"5;x=" + b"e" * 65_536,
    "trailers": b"0\r\n" + b"".join(b"x-%d: v\r\n" % n for n in range(6_000)),
    "trailer": b"0\r\nx-a: " + b"v" * 65_536,
}


@pytest.mark.parametrize("part", ENDLESS_BODIES)
def test_framing_without_end_is_cut_off(target, counted, flat, part):
    with flat(16), begun(target.port, POST) as connection:
        piece = ENDLESS_BODIES[part]
        flood(connection, piece, 1)
        flood(connection, piece.removeprefix(b"0\r\n") if "trailer" in part else piece[10:], 800)
        assert outcome(connection) in REFUSED | {502, None}
    assert not any(report["trailers"] for report in target.attacked("/bad"))


def test_chunks_of_one_byte_are_streamed(target, flat):
    with flat(16), begun(target.port, POST) as connection:
        assert flood(connection, b"1\r\nx\r\n" * 1_000, 100)
        connection.send(b"0\r\n\r\n")
        assert outcome(connection) == 200
    assert [report["body"] for report in target.attacked("/bad")] == ["100000 bytes"]


def test_pipelined_requests_wait_while_nobody_reads_answers(target, flat):
    """20,000 requests, no answer taken: the proxy must stop reading instead of hoarding."""
    one = b"GET /direct HTTP/1.1\r\nhost: weft.test\r\n\r\n"
    with flat(16), begun(target.port, b"") as connection:
        flood(connection, one * 200, 2_000)
        target.serves()


def test_pipelined_requests_are_answered_in_order(target):
    one = b"GET /up?%d HTTP/1.1\r\nhost: weft.test\r\n\r\n"
    with begun(target.port, b"".join(one % n for n in range(50))) as connection:
        assert [connection.read().json()["target"] for _ in range(50)] == [f"/up?{n}" for n in range(50)]


@pytest.mark.weft_only  # Envoy's buffers are of 1 MiB unless told otherwise.
def test_slow_readers_of_large_answers_cost_no_large_buffers(target, flat):
    """50 connections, each of which takes nothing but the head of 5 MiB."""
    asked = b'GET /slow HTTP/1.1\r\nhost: weft.test\r\nx-respond: {"fill": %d}\r\n\r\n' % (5 * MIB)
    with flat(48), ThreadPoolExecutor(10) as pool:
        connections = list(pool.map(lambda _: begun(target.port, asked), range(50)))
        for connection in connections:
            assert connection.socket.recv(12) == b"HTTP/1.1 200"
        target.serves()
    for connection in connections:
        connection.close()


def test_a_client_that_reads_nothing_is_given_up(target, flat):
    """By `stream_idle_timeout`: no byte of its answer has moved."""
    stats = target.proxy.admin.stats
    before = stats()["http.hasty.downstream_rq_idle_timeout"]
    asked = b'GET /slow HTTP/1.1\r\nhost: weft.test\r\nx-respond: {"fill": %d}\r\n\r\n' % (64 * MIB)
    with flat(24), begun(target.hasty, asked):
        until(lambda: stats()["http.hasty.downstream_rq_idle_timeout"] > before, "the client to be given up")
        until(lambda: stats()["http.hasty.downstream_cx_active"] == 0, "its connection to end")


def test_uploads_that_nobody_takes_are_held_up(target, flat):
    """A direct response is complete before the body is: what follows is not kept."""
    with flat(16), begun(target.port, POST.replace(b"/bad", b"/direct")) as connection:
        flood(connection, b"8000\r\n" + b"x" * 0x8000 + b"\r\n", 2_000)
        target.serves()


def test_many_idle_connections_cost_little_and_end_in_time(target, flat):
    asked = b"GET /direct HTTP/1.1\r\nhost: weft.test\r\n\r\n"

    def once(_):
        connection = begun(target.hasty, asked)
        assert connection.read().status == 200
        return connection

    with flat(24), ThreadPoolExecutor(20) as pool:
        connections = list(pool.map(once, range(500)))
        assert all(connection.at_end() for connection in connections)
