"""HTTP/2 in quantities that are meant to exhaust: memory stays flat, others are served."""

import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    PING,
    PRIORITY,
    RST_STREAM,
    Raw,
    block,
    frame,
    headers,
    request,
    reset,
    settings,
    window_update,
)
from harness.waiting import until

MIB = 1 << 20
INTERNAL_ERROR = 2
HELD = ("x-respond", '{"gate": "flood"}')


@pytest.fixture(autouse=True)
def opened(target):
    yield
    target.upstream.open_gate("flood")


def test_rapid_reset_ends_the_connection_and_spares_the_upstream(target, counted, flat):
    """CVE-2023-44487: streams that are opened and given up at once."""
    get = block(request(path="/rapid"))
    with flat(16), Raw(target.port) as connection:
        for start in range(1, 40_000, 400):
            streams = range(start, start + 400, 2)
            connection.send(b"".join(headers(stream, get) + reset(stream) for stream in streams))
        end = connection.end()
        assert end != 0
    assert len(target.attacked("/rapid")) < 4_000


GET = block(request("GET", "/rapid", HELD))

#: What makes the proxy reset a stream whose request is under way (CVE-2025-8671, "MadeYouReset").
MADE = {
    "data behind the end": lambda stream: headers(stream, GET) + frame(DATA, 0, stream, b"x"),
    "more than announced": lambda stream: headers(stream, LENGTH, end=False) + frame(DATA, 0, stream, b"xx"),
    "no increment": lambda stream: headers(stream, GET) + window_update(stream, 0),
    "priority of itself": lambda stream: headers(stream, GET) + frame(PRIORITY, 0, stream, struct.pack(">IB", stream, 5)),
    "too large a window": lambda stream: headers(stream, GET) + window_update(stream, (1 << 31) - 1) * 2,
}
LENGTH = block(request("POST", "/rapid", HELD, ("content-length", "1")))


@pytest.mark.parametrize("kind", MADE)
def test_resets_that_the_proxy_is_made_to_send_count_too(target, counted, flat, kind):
    with flat(32), Raw(target.port) as connection:
        for start in range(1, 40_000, 400):
            connection.send(b"".join(MADE[kind](stream) for stream in range(start, start + 400, 2)))
        assert connection.end() != 0
    assert len(target.attacked("/rapid")) < 4_000


def test_resets_after_answers_are_no_attack(target):
    """A client may lose interest in a few streams without losing its connection."""
    with Raw(target.port) as connection:
        for stream in range(1, 21, 2):
            connection.send(headers(stream, request(path="/direct")))
            assert connection.outcome(stream) == ("status", 200)
            connection.send(reset(stream))
        connection.send(headers(101, request(path="/direct")))
        assert connection.outcome(101) == ("status", 200)


CONTINUATIONS = {
    "of 16 KiB": (frame(CONTINUATION, 0, 1, b"\x00\x01a\x7f\x80\x7d" + b"v" * 16_250), 2_000),
    "of one field": (frame(CONTINUATION, 0, 1, block([("x-a", "1")])), 200_000),
    "of nothing": (frame(CONTINUATION, 0, 1, b""), 200_000),
}


@pytest.mark.parametrize("piece", CONTINUATIONS)
def test_a_head_without_end_is_cut_off(target, counted, flat, piece):
    """CVE-2024-27316 and its like: CONTINUATION after CONTINUATION."""
    attack, count = CONTINUATIONS[piece]
    with flat(16), Raw(target.port) as connection:
        connection.send(headers(1, request(path="/bad"), flags=0))
        connection.flood(attack, count)
        assert connection.outcome(1) not in (("status", 200), ("goaway", 0))
    assert not target.attacked("/bad")


FLOODS = {
    "SETTINGS": settings((3, 100)),
    "empty SETTINGS": settings(),
    "PING": frame(PING, 0, 0, b"12345678"),
    "PRIORITY": frame(PRIORITY, 0, 1, struct.pack(">IB", 3, 5)),
    "WINDOW_UPDATE": window_update(0, 1),
    "unknown frames": frame(0xFA, 0, 0, b"x" * 100),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_frames_whose_answers_nobody_reads_are_not_hoarded(target, flat, kind):
    """CVE-2019-9512, 9515 and their like."""
    with flat(16), Raw(target.port) as connection:
        connection.flood(FLOODS[kind], 400_000)
        target.serves()


def test_empty_data_is_not_hoarded(target, flat):
    """CVE-2019-9518: DATA without bytes and without end."""
    with flat(16), Raw(target.port) as connection:
        connection.send(headers(1, request("POST", "/hold", HELD), end=False))
        connection.flood(frame(DATA, 0, 1, b""), 400_000)
        target.serves()


def test_padding_is_not_hoarded(target, flat):
    with flat(16), Raw(target.port) as connection:
        connection.send(headers(1, request("POST", "/hold", HELD), end=False))
        connection.flood(frame(DATA, 0x8, 1, b"\xff" + b"\0" * 255), 100_000)
        target.serves()


@pytest.mark.weft_only  # Envoy's buffers are of 1 MiB unless told otherwise.
def test_streams_whose_windows_stay_shut_hold_little(target, flat):
    """CVE-2019-9517 and 9511: 100 answers of 1 MiB that nobody takes."""
    with flat(32), Raw(target.port, (4, 0)) as connection:
        big = ("x-respond", f'{{"fill": {MIB}}}')
        connection.send(b"".join(headers(stream, request("GET", "/stall", big)) for stream in range(1, 201, 2)))
        assert connection.outcome(199) == ("status", 200)
        target.serves()


def test_streams_whose_windows_stay_shut_are_given_up(target):
    """By `stream_idle_timeout`, which is a second here; each is counted, and the connection goes on."""

    def counts():
        stats = target.proxy.admin.stats()
        return stats["http.hasty.downstream_rq_idle_timeout"] + stats["http2.tx_flush_timeout"]

    before = counts()
    with Raw(target.hasty, (4, 0)) as connection:
        big = ("x-respond", f'{{"fill": {MIB}}}')
        connection.send(headers(1, request("GET", "/stall", big)) + headers(3, request(path="/direct")))
        assert connection.outcome(1) == ("status", 200)
        given_up = {}
        for kind, _, stream, payload in connection.frames():
            if kind == RST_STREAM:
                given_up[stream] = int.from_bytes(payload, "big")
            if len(given_up) == 2:
                break
        assert given_up == {1: INTERNAL_ERROR, 3: INTERNAL_ERROR}
        assert counts() == before + 2
        connection.send(settings((4, 65_535)) + headers(5, request(path="/direct")))
        assert connection.outcome(5) == ("status", 200)


def test_a_client_that_reads_nothing_is_given_up(target, flat):
    """Its windows are open, but not its socket's."""
    stats = target.proxy.admin.stats
    before = stats()["http.hasty.downstream_rq_idle_timeout"]
    with flat(24), Raw(target.hasty, (4, 1 << 30)) as connection:
        connection.send(window_update(0, 1 << 30))
        connection.send(headers(1, request("GET", "/slow", ("x-respond", f'{{"fill": {64 * MIB}}}'))))
        until(lambda: stats()["http.hasty.downstream_rq_idle_timeout"] > before, "the client to be given up")
        until(lambda: stats()["http.hasty.downstream_cx_active"] == 0, "its connection to end")


def test_heads_that_do_not_end_are_given_up(target, flat):
    """Slowloris, with HEADERS and no END_HEADERS: by `request_headers_timeout`."""
    timed_out = lambda: target.proxy.admin.stats()["http.hasty.downstream_rq_header_timeout"]
    before = timed_out()
    with flat(16):
        connections = [Raw(target.hasty) for _ in range(100)]
        for connection in connections:
            connection.send(headers(1, request(path="/bad"), flags=0))
        until(lambda: timed_out() == before + 100, "all of them to be given up")
        assert {connection.end() for connection in connections} == {0}
    for connection in connections:
        connection.socket.close()


@pytest.mark.weft_only  # Envoy 1.40 does not count this as a flood.
def test_answers_that_nobody_reads_are_not_hoarded(target, flat):
    """Requests that are answered at once, without bodies, by a client that takes no answer (`max_outbound_frames`)."""
    flooded = lambda: target.proxy.admin.stats()["http2.outbound_flood"]
    before = flooded()
    with flat(24), Raw(target.port) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ask = block(request("HEAD", "/direct"))
        for start in range(1, 2_000_000, 1_000):
            if not connection.flood(b"".join(headers(stream, ask) for stream in range(start, start + 1_000, 2)), 1, 1):
                break
        until(lambda: flooded() > before, "the flood to be counted")


def test_windows_of_one_byte_do_not_cost_a_buffer_each(target, flat):
    with flat(32), Raw(target.port, (4, 1)) as connection:
        big = ("x-respond", f'{{"fill": {MIB}}}')
        connection.send(b"".join(headers(stream, request("GET", "/drip", big)) for stream in range(1, 101, 2)))
        assert connection.outcome(99) == ("status", 200)
        for _ in range(50):
            connection.send(b"".join(window_update(stream, 1) for stream in range(1, 101, 2)))
        target.serves()


def test_a_compression_bomb_is_not_inflated(target, counted, flat):
    """A field of 4,000 bytes put into the table once, and named 16,000 times: 64 MB of head in 20 KB."""
    name, value = b"x-bomb", b"v" * 3_900
    entry = b"\x40" + bytes([len(name)]) + name + b"\x7f" + varint(len(value) - 127) + value
    bomb = block(request(path="/bad")) + entry + b"\xbe" * 11_000
    with flat(16), Raw(target.port) as connection:
        connection.send(headers(1, bomb))
        kind, code = connection.outcome(1)
        assert kind in ("reset", "goaway", "closed") or code in (400, 431)
    assert not target.attacked("/bad")


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def test_trailers_of_a_megabyte_are_refused(target, counted, flat):
    with flat(16), Raw(target.port) as connection:
        connection.send(headers(1, request("POST", "/bad", ("te", "trailers")), end=False))
        connection.send(frame(DATA, 0, 1, b"x"))
        trailers = block([(f"x-{n}", "v" * 4_000) for n in range(250)])
        pieces = [trailers[at : at + 16_000] for at in range(0, len(trailers), 16_000)]
        connection.send(headers(1, pieces[0], end=True, flags=0))
        for piece in pieces[1:-1]:
            connection.send(frame(CONTINUATION, 0, 1, piece))
        connection.send(frame(CONTINUATION, END_HEADERS, 1, pieces[-1]))
        kind, code = connection.outcome(1)
        assert kind in ("reset", "goaway", "closed") or code in (400, 431, 502)
    assert not any(report["trailers"] for report in target.attacked("/bad"))


def test_slow_readers_of_large_answers_cost_no_large_buffers(target, flat):
    """50 connections, each of which takes none of 5 MiB."""

    def begin(_):
        connection = Raw(target.port, (4, 1 << 30))
        connection.send(window_update(0, 1 << 30))
        connection.send(headers(1, request("GET", "/slow", ("x-respond", f'{{"fill": {5 * MIB}}}'))))
        return connection

    with flat(48), ThreadPoolExecutor(10) as pool:
        connections = list(pool.map(begin, range(50)))
        for connection in connections:
            assert connection.outcome(1) == ("status", 200)
        target.serves()
    for connection in connections:
        connection.socket.close()


def test_uploads_that_nobody_takes_are_held_up(target, flat):
    """The upstream reads the body, but answers late; what it does not read, the client may not send."""
    with flat(24), Raw(target.port) as connection:
        connection.send(headers(1, request("POST", "/hold", HELD), end=False))
        connection.flood(frame(DATA, 0, 1, b"x" * 8_000), 2_000, batch=1)
        target.serves()


def test_streams_that_end_in_order_are_all_answered_beside_a_flood(target, flat):
    """The attack above must not be beaten by refusing ordinary load."""
    with flat(16), Raw(target.port) as connection:
        connection.send(b"".join(headers(stream, request(path="/direct")) for stream in range(1, 1001, 2)))
        answered = set()
        for kind, flags, stream, _ in connection.frames():
            if kind in (DATA, 1) and flags & END_STREAM:
                answered.add(stream)
            if len(answered) == 500:
                break
        assert answered == set(range(1, 1001, 2))
