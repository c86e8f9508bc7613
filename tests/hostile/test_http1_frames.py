"""HTTP/1 that breaks the rules (RFC 9112 §11): refused with a status, counted, never passed on, and closed."""

import socket

import pytest

from harness import http1

LINE = b"POST /bad HTTP/1.1\r\n"
HOST = b"host: weft.test\r\n"
#: What would be the next request, if the one before it ended where the attacker wants one hop to think so.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: weft.test\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"


def post(*fields, body=b""):
    return LINE + HOST + b"".join(fields) + b"\r\n" + body


FRAMING = {
    "length and chunked": post(b"content-length: 6\r\n", CHUNKED, body=b"0\r\n\r\n"),
    "chunked and length": post(CHUNKED, b"content-length: 6\r\n", body=b"0\r\n\r\n"),
    "two lengths": post(b"content-length: 0\r\n", b"content-length: 42\r\n"),
    "the same length twice": post(b"content-length: 0\r\n", b"content-length: 0\r\n"),
    "a list of lengths": post(b"content-length: 0, 42\r\n"),
    "a length with a sign": post(b"content-length: +0\r\n"),
    "a negative length": post(b"content-length: -1\r\n"),
    "a length in hexadecimal": post(b"content-length: 0x0\r\n"),
    "a length past 64 bits": post(b"content-length: 18446744073709551616\r\n"),
    "an empty length": post(b"content-length:\r\n"),
    "a length with a space before the colon": post(b"content-length : 42\r\n"),
    "chunked with a space before the colon": post(b"transfer-encoding : chunked\r\n"),
    "chunked behind another coding": post(b"transfer-encoding: gzip, chunked\r\n"),
    "another coding behind chunked": post(b"transfer-encoding: chunked, gzip\r\n"),
    "chunked twice": post(CHUNKED, CHUNKED),
    "chunked with a parameter": post(b"transfer-encoding: chunked;q=1\r\n"),
    "chunked behind a vertical tab": post(b"transfer-encoding: \x0bchunked\r\n"),
    "chunked in quotes": post(b'transfer-encoding: "chunked"\r\n'),
    "chunked in HTTP/1.0": b"POST /bad HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n",
    "CONNECT with a body": b"CONNECT weft.test:80 HTTP/1.1\r\n" + HOST + b"content-length: 42\r\n\r\n",
}

LINES = {
    "a folded field": post(b"x-a: 1\r\n folded\r\n"),
    "a folded length": post(b"content-length:\r\n 42\r\n"),
    "a line folded with a tab": post(b"x-a: 1\r\n\tfolded\r\n"),
    "space before the first field": LINE + b" x-a: 1\r\n" + HOST + b"\r\n",
    "a bare CR in a value": post(b"x-a: 1\rx-b: 2\r\n"),
    "a bare CR in a name": post(b"x\r-a: 1\r\n"),
    "a bare CR in the request line": b"POST /bad\rHTTP/1.1\r\n" + HOST + b"\r\n",
    "a bare LF in a value": post(b"x-a: 1\ncontent-length: 42\r\n"),
    "a bare LF behind the request line": b"POST /bad HTTP/1.1\n" + HOST + b"\r\n",
    "a bare LF at the end of the head": LINE + HOST + b"\n",
    "nothing but bare LF": b"POST /bad HTTP/1.1\nhost: weft.test\n\n",
    "NUL in a value": post(b"x-a: 1\x002\r\n"),
    "NUL in a name": post(b"x\x00a: 1\r\n"),
    "a control character in a value": post(b"x-a: 1\x012\r\n"),
    "DEL in a name": post(b"x\x7fa: 1\r\n"),
    "a name in quotes": post(b'"x-a": 1\r\n'),
    "an empty name": post(b": 1\r\n"),
    "a line without a colon": post(b"nonsense\r\n"),
    "bytes above ASCII in a name": post(b"x-\xc3\xa4: 1\r\n"),
}

TARGETS = {
    "a space in the target": b"GET /bad and more HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces": b"GET  /bad HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab for a space": b"GET\t/bad\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in the target": b"GET /bad\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a control character in the method": b"G\x01T /bad HTTP/1.1\r\n" + HOST + b"\r\n",
    "no slash": b"GET bad HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": b"GET /bad HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /bad HTTP/1.1\r\n" + HOST + b"host: other.test\r\n\r\n",
    "the same host twice": b"GET /bad HTTP/1.1\r\n" + HOST * 2 + b"\r\n",
    "a host with a space": b"GET /bad HTTP/1.1\r\nhost: weft.test evil.test\r\n\r\n",
    "a host with a path": b"GET /bad HTTP/1.1\r\nhost: weft.test/bad\r\n\r\n",
    "a host with a user": b"GET /bad HTTP/1.1\r\nhost: evil.test@weft.test\r\n\r\n",
    "a host that is no ASCII": b"GET /bad HTTP/1.1\r\nhost: weft\xff.test\r\n\r\n",
    "an absolute target and two hosts": b"GET http://weft.test/bad HTTP/1.1\r\n" + HOST * 2 + b"\r\n",
    "an absolute target with a user": b"GET http://evil.test@weft.test/bad HTTP/1.1\r\n" + HOST + b"\r\n",
    "an absolute target without a host": b"GET http:///bad HTTP/1.1\r\n" + HOST + b"\r\n",
    "an absolute target of another scheme": b"GET ftp://weft.test/bad HTTP/1.1\r\n" + HOST + b"\r\n",
    "no version": b"GET /bad\r\n\r\n",
    "another version": b"GET /bad HTTP/1.2\r\n" + HOST + b"\r\n",
    "a version in small letters": b"GET /bad http/1.1\r\n" + HOST + b"\r\n",
}

#: What the head of a chunked request says nothing wrong about, and its body does.
CHUNKS = {
    "a size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size past 64 bits": b"fffffffffffffffff\r\nhello\r\n",
    "a size of another alphabet": b"5g\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a space in the size": b"5 5\r\nhello\r\n0\r\n\r\n",
    "a bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "a bare CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "a chunk without its end": b"5\r\nhello0\r\n\r\n",
    "a bare LF behind the chunk": b"5\r\nhello\n0\r\n\r\n",
    "a chunk longer than its size": b"5\r\nhello and more\r\n0\r\n\r\n",
    "a bare LF at the end": b"5\r\nhello\r\n0\r\n\n",
    "a bare LF behind a trailer": b"5\r\nhello\r\n0\r\nx-a: 1\n\r\n",
    "a folded trailer": b"5\r\nhello\r\n0\r\nx-a: 1\r\n folded\r\n\r\n",
    "a trailer without a colon": b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
}

REFUSED = {400, 426, 501}


def answers(port, data):
    """The statuses of everything that came back until the proxy closed."""
    statuses = []
    with http1.Connection(port) as connection:
        connection.send(data)
        while True:
            try:
                statuses.append(connection.read().status)
                # Who says that it will send no more is not waited for.
                connection.socket.shutdown(socket.SHUT_WR)
            except OSError:
                return statuses


@pytest.mark.weft_only  # Envoy takes some of these, tests/differential/DIFFERENCES.md says which.
@pytest.mark.parametrize("name", [*FRAMING, *LINES])
def test_heads_that_two_hops_could_read_differently_are_refused(target, counted, name):
    """One answer, and nothing of what follows: nobody can tell where a next request would begin."""
    attack = {**FRAMING, **LINES}[name]
    statuses = answers(target.port, attack + SMUGGLED)
    assert len(statuses) == 1 and statuses[0] in REFUSED
    assert not target.attacked("/bad") and not target.attacked("/smuggled")


@pytest.mark.weft_only
@pytest.mark.parametrize("name", TARGETS)
def test_who_is_asked_for_what_is_never_in_doubt(target, counted, name):
    statuses = answers(target.port, TARGETS[name])
    assert len(statuses) == 1 and statuses[0] in REFUSED
    assert not target.attacked("/bad")


@pytest.mark.weft_only
@pytest.mark.parametrize("name", CHUNKS)
def test_chunks_in_doubt_end_the_connection(target, counted, name):
    """The head may have gone on before; a body that is whole must not have, nor what follows it."""
    statuses = answers(target.port, post(CHUNKED, body=CHUNKS[name]) + SMUGGLED)
    assert len(statuses) == 1 and statuses[0] in REFUSED
    assert not any(report["body"] == "hello" for report in target.attacked("/bad"))
    assert not target.attacked("/smuggled")


def test_an_absolute_target_wins_over_the_host(target):
    """RFC 9112 §3.2.2; the upstream is told one of them alone."""
    with http1.Connection(target.port) as connection:
        connection.send(b"GET http://weft.test/named HTTP/1.1\r\nhost: other.test\r\n\r\n")
        assert connection.read().status == 200
    (report,) = target.attacked("/named")
    hosts = [value for name, value in report["headers"] if name.lower() in ("host", ":authority")]
    assert (report["target"], hosts) == ("/named", ["weft.test"])
