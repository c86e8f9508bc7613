"""Limits and manners of the connections of clients, each with a time or a count of its own."""

import pytest

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.raw import connect, read_to_end
from harness.upstream import Tcp
from harness.waiting import until


def single(up, **settings):
    table = routes("main", virtual_host("all", ["*"], route("/", "up")))
    return bootstrap([listener("main", hcm(table, **settings))], [cluster("up", up.port)])


def counter(proxy, name):
    """What the listener's connections have come to."""
    return sum(count for key, count in proxy.admin.stats().items() if key.startswith("http.") and key.endswith(name))


@pytest.fixture
def serving(start, http_upstream):
    """Starts a proxy whose connection manager has these settings; gives it and its upstream."""

    def begin(**settings):
        begin.count += 1
        up = http_upstream("up")
        return start(single(up, **settings), name=f"proxy-{begin.count}"), up

    begin.count = 0

    return begin


class Hinting(Tcp):
    """Answers with hints first."""

    def serve(self, connection, number):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n")
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


class Asked(Tcp):
    """Says what it thinks of a head before it has seen a body."""

    answer = b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n"

    def serve(self, connection, number):
        self.heads.append(connection.recv(65536))
        connection.sendall(self.answer)
        if b" 100 " in self.answer:
            self.bodies.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def told(port, data):
    """What is answered to these bytes, up to the end of the connection."""
    with connect(port) as connection:
        connection.sendall(data)
        return read_to_end(connection)


def test_http_10_is_spoken_where_it_is_accepted(serving):
    plain = b"GET /old HTTP/1.0\r\nhost: weft.test\r\n\r\n"
    proxy, up = serving(http_protocol_options={"accept_http_10": True})
    end = told(proxy.port(), plain)
    assert b" 200 OK\r\n" in end.data and end.how == "closed"
    assert [seen["target"] for seen in up.seen] == ["/old"]


def test_http_10_is_told_to_upgrade_elsewhere(serving):
    proxy, up = serving()
    end = told(proxy.port(), b"GET /old HTTP/1.0\r\nhost: weft.test\r\n\r\n")
    assert b" 426 " in end.data.split(b"\r\n")[0] and not up.seen


def test_http_10_without_a_host_is_given_one(serving):
    accepted = {"accept_http_10": True, "default_host_for_http_10": "old.test"}
    proxy, up = serving(http_protocol_options=accepted)
    end = told(proxy.port(), b"GET / HTTP/1.0\r\n\r\n")
    assert b" 200 OK\r\n" in end.data
    assert ["host", "old.test"] in [[name.lower(), value] for name, value in up.seen[0]["headers"]]


@pytest.mark.parametrize("allowed", [True, False])
def test_chunks_beside_a_length_are_taken_where_allowed(serving, allowed):
    proxy, up = serving(http_protocol_options={"allow_chunked_length": allowed})
    end = told(
        proxy.port(),
        b"POST /both HTTP/1.1\r\nhost: weft.test\r\nconnection: close\r\ncontent-length: 3\r\n"
        b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    )
    assert end.data.startswith(b"HTTP/1.1 200 " if allowed else b"HTTP/1.1 400 ")
    names = [name.lower() for seen in up.seen for name, _ in seen["headers"]]
    assert len(up.seen) == int(allowed) and "content-length" not in names


def test_heads_are_bounded_in_bytes(serving):
    proxy, up = serving(max_request_headers_kb=2)
    assert http1.request(proxy.port(), headers=[("x-fits", "v" * 1500)]).status == 200
    assert http1.request(proxy.port(), headers=[("x-large", "v" * 2500)]).status == 431
    assert len(up.seen) == 1


def test_heads_are_bounded_in_fields(serving):
    proxy, up = serving(common_http_protocol_options={"max_headers_count": 5})
    assert http1.request(proxy.port(), headers=[("x-a", "1")]).status == 200
    assert http1.request(proxy.port(), headers=[(f"x-{at}", "1") for at in range(6)]).status == 431
    assert len(up.seen) == 1


def test_a_connection_takes_no_more_requests_than_it_may(serving):
    proxy, _ = serving(common_http_protocol_options={"max_requests_per_connection": 2})
    with http1.Connection(proxy.port()) as connection:
        first = connection.request("GET", "/")
        second = connection.request("GET", "/")
        assert (first.header("connection"), second.header("connection")) == (None, "close")
        assert connection.at_end()
    assert counter(proxy, "downstream_cx_max_requests_reached") == 1


def test_an_old_connection_says_so_and_ends(serving):
    proxy, _ = serving(common_http_protocol_options={"max_connection_duration": "0.2s"}, drain_timeout="0.1s")
    with http1.Connection(proxy.port()) as connection:
        assert connection.request("GET", "/").status == 200
        assert connection.at_end()
    until(lambda: counter(proxy, "downstream_cx_max_duration_reached") == 1, "the end to be counted")


def test_a_stream_lasts_no_longer_than_it_may(serving):
    proxy, up = serving(common_http_protocol_options={"max_stream_duration": "0.3s"})
    answer = http1.request(proxy.port(), headers=[("x-respond", '{"gate": "later"}')])
    assert answer.status == 504
    assert counter(proxy, "downstream_rq_max_duration_reached") == 1
    up.open_gate("later")


def test_a_head_that_does_not_come_in_time_is_given_up(serving):
    proxy, up = serving(request_headers_timeout="0.3s")
    end = told(proxy.port(), b"GET /slow HTTP/1.1\r\nhost: we")
    assert end.data.startswith(b"HTTP/1.1 408 ") and end.how == "closed"
    assert not up.seen


def test_a_client_that_does_not_close_is_waited_for_only_so_long(serving):
    patient, _ = serving(delayed_close_timeout="60s")
    hasty, _ = serving(delayed_close_timeout="0.2s")
    with connect(patient.port()) as waited_for, connect(hasty.port()) as given_up:
        for connection in (waited_for, given_up):
            connection.sendall(b"GET / HTTP/1.1\r\nno field\r\n\r\n")
            assert read_to_end(connection).how == "closed"
        until(lambda: counter(hasty, "downstream_cx_active") == 0, "the hasty one to let go")
        assert counter(patient, "downstream_cx_active") == 1


def test_hints_come_before_the_answer(start):
    with Hinting("hinting") as up:
        proxy = start(single(up))
        end = told(proxy.port(), b"GET / HTTP/1.1\r\nhost: weft.test\r\nconnection: close\r\n\r\n")
    hints, answer, body = end.data.split(b"\r\n\r\n")
    assert hints.startswith(b"HTTP/1.1 103 ") and b"link: </a.css>; rel=preload" in hints
    assert answer.startswith(b"HTTP/1.1 200 ") and body == b"ok"


def test_an_upstream_may_say_whether_to_continue(start):
    head = b"POST / HTTP/1.1\r\nhost: weft.test\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
    with Asked("asked") as up:
        up.heads, up.bodies = [], []
        proxy = start(single(up, proxy_100_continue=True))
        with http1.Connection(proxy.port()) as client:
            client.send(head)
            refused = client.read("POST")
        assert (refused.status, refused.interim) == (417, [])
        assert b"expect: 100-continue" in up.heads[0]
        up.answer = b"HTTP/1.1 100 Continue\r\n\r\n"
        with connect(proxy.port()) as client:
            client.sendall(head)
            assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(b"body")
            assert b" 200 OK\r\n" in client.recv(65536)
        assert up.bodies == [b"body"]
