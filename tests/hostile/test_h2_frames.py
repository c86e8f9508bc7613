"""HTTP/2 that breaks the rules (RFC 9113, RFC 7541): the error its rule names, and nobody else is disturbed."""

import struct

import pytest

from harness import frames
from harness.frames import (
    ACK,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    HEADERS,
    PADDED,
    PING,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Raw,
    frame,
    headers,
    request,
    settings,
    window_update,
)


def stream_error(*codes):
    """A stream error (§5.4.2), which may be treated as one of the connection (§5.4.1) or be answered (§8.1.1)."""
    return {("reset", code) for code in codes} | {("status", 400)} | connection_error(*codes)


def connection_error(*codes):
    """A connection error; a peer may close without telling the code (§5.4.1)."""
    return {("goaway", code) for code in codes} | {("closed", None)}


MALFORMED = stream_error(PROTOCOL_ERROR)
BASE = [(":method", "GET"), (":scheme", "http"), (":path", "/bad"), (":authority", "weft.test")]


def without(name):
    return [field for field in BASE if field[0] != name]


MALFORMED_FIELDS = {
    "no method": without(":method"),
    "no scheme": without(":scheme"),
    "no path": without(":path"),
    "empty path": [*without(":path"), (":path", "")],
    "two paths": [*BASE, (":path", "/other")],
    "two methods": [*BASE, (":method", "POST")],
    "two authorities": [*BASE, (":authority", "other.test")],
    "pseudo-header behind a field": [("x-a", "1"), *BASE],
    "unknown pseudo-header": [*BASE, (":unknown", "1")],
    "pseudo-header of responses": [*BASE, (":status", "200")],
    "upper-case name": [*BASE, ("X-Upper", "1")],
    "space in a name": [*BASE, ("x a", "1")],
    "empty name": [*BASE, ("", "1")],
    "colon in a name": [*BASE, ("x:a", "1")],
    "CR in a value": [*BASE, ("x-a", "1\r2")],
    "LF in a value": [*BASE, ("x-a", "1\n2")],
    "NUL in a value": [*BASE, ("x-a", "1\x002")],
    "connection": [*BASE, ("connection", "close")],
    "keep-alive": [*BASE, ("keep-alive", "timeout=5")],
    "proxy-connection": [*BASE, ("proxy-connection", "keep-alive")],
    "transfer-encoding": [*BASE, ("transfer-encoding", "chunked")],
    "upgrade": [*BASE, ("upgrade", "websocket")],
    "te other than trailers": [*BASE, ("te", "gzip")],
    "two lengths": [*BASE, ("content-length", "1"), ("content-length", "2")],
    "length that is no number": [*BASE, ("content-length", "one")],
}


@pytest.mark.parametrize("fields", MALFORMED_FIELDS.values(), ids=MALFORMED_FIELDS.keys())
def test_malformed_requests_are_refused_and_never_passed_on(target, counted, fields):
    with Raw(target.port) as connection:
        connection.send(headers(1, fields))
        assert connection.outcome(1) in MALFORMED
    assert not target.attacked("/bad")


@pytest.mark.parametrize("length, body", [("3", b"four"), ("5", b"four"), ("0", b"four"), ("4", b"")])
def test_a_body_of_another_length_than_announced_is_refused(target, length, body):
    fields = request("POST", "/bad", ("content-length", length))
    with Raw(target.port) as connection:
        connection.send(headers(1, fields, end=False) + frame(DATA, END_STREAM, 1, body))
        assert connection.outcome(1) in MALFORMED
    # A head that announces no body may have gone on before a body came; that body may not.
    assert all(length == "0" and not report["body"] for report in target.attacked("/bad"))


def test_trailers_with_pseudo_headers_are_refused(target):
    fields = request("POST", "/bad", ("te", "trailers"))
    with Raw(target.port) as connection:
        connection.send(headers(1, fields, end=False) + frame(DATA, 0, 1, b"x") + headers(1, [(":path", "/other")]))
        assert connection.outcome(1) in MALFORMED
    assert not target.attacked("/bad")


OPEN = headers(1, request("POST", "/hold"), end=False)

CONNECTION_ERRORS = {
    "DATA on an idle stream": (frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
    "DATA on the connection": (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "HEADERS on the connection": (headers(0, request()), PROTOCOL_ERROR),
    "HEADERS on an even stream": (headers(2, request()), PROTOCOL_ERROR),
    "RST_STREAM on an idle stream": (frames.reset(1), PROTOCOL_ERROR),
    "RST_STREAM on the connection": (frames.reset(0), PROTOCOL_ERROR),
    "RST_STREAM of the wrong size": (OPEN + frame(RST_STREAM, 0, 1, b"\0\0\0"), FRAME_SIZE_ERROR),
    "WINDOW_UPDATE on an idle stream": (window_update(1, 1), PROTOCOL_ERROR),
    "WINDOW_UPDATE of nothing": (window_update(0, 0), PROTOCOL_ERROR),
    "WINDOW_UPDATE of the wrong size": (frame(WINDOW_UPDATE, 0, 0, b"\0"), FRAME_SIZE_ERROR),
    "a window beyond 2^31": (window_update(0, 0x7FFFFFFF), FLOW_CONTROL_ERROR),
    "SETTINGS on a stream": (frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
    "SETTINGS of the wrong size": (frame(SETTINGS, 0, 0, b"\0\0\0\0\0"), FRAME_SIZE_ERROR),
    "an acknowledgement with settings": (frame(SETTINGS, ACK, 0, b"\0\3\0\0\0\1"), FRAME_SIZE_ERROR),
    "ENABLE_PUSH of 2": (settings((2, 2)), PROTOCOL_ERROR),
    "INITIAL_WINDOW_SIZE beyond 2^31": (settings((4, 1 << 31)), FLOW_CONTROL_ERROR),
    "MAX_FRAME_SIZE of 100": (settings((5, 100)), PROTOCOL_ERROR),
    "MAX_FRAME_SIZE beyond 2^24": (settings((5, 1 << 24)), PROTOCOL_ERROR),
    "PING on a stream": (frame(PING, 0, 1, b"12345678"), PROTOCOL_ERROR),
    "PING of the wrong size": (frame(PING, 0, 0, b"1234567"), FRAME_SIZE_ERROR),
    "PUSH_PROMISE from a client": (OPEN + frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2)), PROTOCOL_ERROR),
    "a frame above the maximum": (OPEN + frame(DATA, 0, 1, b"x" * 20_000), FRAME_SIZE_ERROR),
    "CONTINUATION of nothing": (frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL_ERROR),
    "a block broken off by DATA": (headers(1, request(), flags=0) + frame(DATA, 0, 1, b""), PROTOCOL_ERROR),
    "a block continued on another stream": (
        headers(1, request(), flags=0) + frame(CONTINUATION, END_HEADERS, 3, b""),
        PROTOCOL_ERROR,
    ),
    "more padding than payload": (OPEN + frame(DATA, PADDED, 1, b"\x05abc"), PROTOCOL_ERROR),
    "padding around no block": (frame(HEADERS, PADDED | END_HEADERS, 1, b"\xff"), PROTOCOL_ERROR),
    "HPACK index 0": (headers(1, b"\x80"), COMPRESSION_ERROR),
    "HPACK index beyond the table": (headers(1, b"\xff\x80\x01"), COMPRESSION_ERROR),
    "HPACK integer without end": (headers(1, b"\xff" + b"\xff" * 12), COMPRESSION_ERROR),
    "HPACK string beyond the block": (headers(1, b"\x00\x7fabc"), COMPRESSION_ERROR),
    "HPACK table beyond what was granted": (headers(1, b"\x3f\xe1\xff\xff\x07"), COMPRESSION_ERROR),
    "HPACK table changed behind fields": (headers(1, b"\x82\x20"), COMPRESSION_ERROR),
    "Huffman code with wrong padding": (headers(1, b"\x00\x81\x00\x01a"), COMPRESSION_ERROR),
    "Huffman code of the end of string": (headers(1, b"\x00\x84\xff\xff\xff\xff\x01a"), COMPRESSION_ERROR),
}


@pytest.mark.parametrize("name", CONNECTION_ERRORS)
def test_what_breaks_framing_ends_the_connection(target, counted, name):
    attack, code = CONNECTION_ERRORS[name]
    # Another code of the same weight tells as much: which check comes first is not prescribed.
    codes = {code, PROTOCOL_ERROR} | ({FRAME_SIZE_ERROR} if code == PROTOCOL_ERROR else set())
    with Raw(target.port) as connection:
        connection.send(attack + b"".join(headers(101 + 2 * n, request(path="/direct")) for n in range(2)))
        end = connection.end()
    assert end is None or end in codes


def test_a_window_of_a_stream_cannot_overflow(target):
    with Raw(target.port) as connection:
        connection.send(headers(1, request("POST", "/hold"), end=False) + window_update(1, 0x7FFFFFFF))
        assert connection.outcome(1) in stream_error(FLOW_CONTROL_ERROR) - {("status", 400)}


def test_a_stream_is_not_granted_nothing(target):
    with Raw(target.port) as connection:
        connection.send(headers(1, request("POST", "/hold"), end=False) + window_update(1, 0))
        assert connection.outcome(1) in stream_error(PROTOCOL_ERROR) - {("status", 400)}


def test_data_behind_the_end_of_a_stream_is_refused(target):
    with Raw(target.port) as connection:
        connection.send(headers(1, request("POST", "/hold", ("x-respond", '{"gate": "closed"}'))))
        connection.send(frame(DATA, END_STREAM, 1, b"more"))
        allowed = stream_error(STREAM_CLOSED, PROTOCOL_ERROR) - {("status", 400)}
        assert connection.outcome(1) in allowed
    target.upstream.open_gate("closed")


def test_more_data_than_the_window_is_refused(target):
    """The upstream takes nothing, so that no room is ever given back."""
    with Raw(target.port) as connection:
        connection.send(headers(1, request("POST", "/direct-not", ("x-respond", '{"gate": "never"}')), end=False))
        taken = connection.flood(frame(DATA, 0, 1, b"x" * 16_000), 20_000, batch=1)
        assert not taken or connection.outcome(1)[0] in ("reset", "goaway", "closed", "status")


@pytest.mark.weft_only
def test_streams_are_opened_in_order(target, counted):
    """§5.1.1. Envoy takes the lower stream for one that was closed, and ignores it."""
    with Raw(target.port) as connection:
        connection.send(headers(5, request(path="/direct")) + headers(3, request()))
        assert connection.end() in (None, PROTOCOL_ERROR, STREAM_CLOSED)


def test_more_streams_than_allowed_are_refused(target):
    """What is refused is said to be not processed, so that it can be sent again."""
    with Raw(target.hasty) as connection:
        assert granted(connection) == [target.streams]
        streams = range(1, 2 * target.streams + 20, 2)
        hold = ("x-respond", '{"gate": "streams"}')
        connection.send(b"".join(headers(stream, request("GET", "/hold", hold)) for stream in streams))
        allowed = stream_error(REFUSED_STREAM, PROTOCOL_ERROR, frames.ENHANCE_YOUR_CALM) - {("status", 400)}
        assert connection.outcome(streams[-1]) in allowed
    target.upstream.open_gate("streams")


def granted(connection):
    """MAX_CONCURRENT_STREAMS of the peer's SETTINGS, which must have one."""
    for kind, flags, _, payload in connection.frames():
        if kind == SETTINGS and not flags & ACK:
            pairs = [struct.unpack(">HI", payload[at : at + 6]) for at in range(0, len(payload), 6)]
            return [value for key, value in pairs if key == 3]
    raise AssertionError("no SETTINGS")


def test_what_is_no_preface_is_closed(target):
    for attack in (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(PING, 0, 0, b"12345678")):
        with Raw(target.port, preface=attack) as connection:
            assert connection.outcome(1)[0] in ("closed", "goaway", "status")
