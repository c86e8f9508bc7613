"""What clients do wrong over HTTP/2 is counted by its name."""

import struct

import pytest

from harness.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    PING,
    PRIORITY,
    Raw,
    block,
    frame,
    headers,
    request,
    reset,
    window_update,
)
from harness.waiting import until

HELD = ("x-respond", '{"gate": "counters"}')

WRONGS = {
    "header_compression_error": headers(1, b"\xff" * 100),
    "header_overflow": headers(1, request("GET", "/bad", *((f"x-{n}", "v") for n in range(120)))),
    "inbound_continuation_flood": headers(1, request(), flags=0) + frame(CONTINUATION, 0, 1, block([("x-a", "1")])) * 40,
    "inbound_empty_frames_flood": headers(1, request("POST", "/hold", HELD), end=False) + frame(DATA, 0, 1) * 2,
    "inbound_priority_frames_flood": frame(PRIORITY, 0, 1, struct.pack(">IB", 3, 5)) * 101,
    "inbound_reset_flood": b"".join(headers(n, request("GET", "/rapid", HELD)) + reset(n) for n in range(1, 1_101, 2)),
    "inbound_window_update_frames_flood": window_update(0, 1) * 100,
    "outbound_control_flood": frame(PING, 0, 0, b"12345678") * 2_000,
    "protocol_error": frame(DATA, 0, 0, b"x"),
    "rx_messaging_error": headers(1, request("GET", "/bad", ("connection", "close"))),
    "rx_reset": headers(1, request("POST", "/hold", HELD), end=False) + reset(1),
    "stream_refused_errors": b"".join(headers(n, request("GET", "/hold", HELD)) for n in range(1, 41, 2)),
    "trailers": headers(1, request("POST", "/hold", HELD), end=False) + headers(1, [("x-last", "1")]),
    "tx_reset": headers(1, request("GET", "/bad", ("te", "gzip"))),
}


@pytest.fixture(autouse=True)
def opened(target):
    yield
    target.upstream.open_gate("counters")


@pytest.mark.weft_only  # Envoy counts some of these under other names, and some not at all.
@pytest.mark.parametrize("counter", WRONGS)
def test_what_is_wrong_has_a_counter(target, counter):
    count = lambda: target.proxy.admin.stats()[f"http2.{counter}"]
    before = count()
    # `hasty` takes few streams at once.
    with Raw(target.hasty if counter == "stream_refused_errors" else target.port) as connection:
        connection.send(WRONGS[counter])
        until(lambda: count() > before, f"{counter} to be counted")


@pytest.mark.weft_only
def test_a_head_in_many_pieces_is_no_flood(target):
    """Pieces are counted for each head, and not for the connection."""
    made = block(request(path="/direct"))
    with Raw(target.port) as connection:
        for stream in range(1, 41, 2):
            connection.send(headers(stream, made[:5], flags=0) + frame(CONTINUATION, END_HEADERS, stream, made[5:]))
            assert connection.outcome(stream) == ("status", 200)
