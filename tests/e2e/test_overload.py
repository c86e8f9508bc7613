"""The guards against running out of memory, of time and of files."""

import signal
import time

import pytest

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.waiting import until


@pytest.fixture
def place(start, http_upstream):
    """A proxy with these flags before an upstream."""

    def make(*flags):
        up = http_upstream("up", body="fine")
        high = route("/high/", {"cluster": "up", "priority": "HIGH"})
        table = routes("main", virtual_host("all", ["*"], high, route("/", "up")))
        config = bootstrap([listener("main", hcm(table, stat_prefix="main"))], [cluster("up", up.port)])
        return up, start(config, arguments=list(flags))

    return make


def stat(proxy, name):
    return int(proxy.admin.stats()[name])


def test_requests_are_refused_above_a_bound(place):
    """With a time after which to ask again; nothing of them reaches an upstream."""
    up, proxy = place("--shed-memory-mib", "1", "--max-memory-mib", "0")
    until(lambda: stat(proxy, "overload.sheds_requests") == 1, "the guard to look")
    answer = http1.request(proxy.port())
    assert (answer.status, answer.body) == (503, b"the proxy is overloaded")
    assert (answer.header("retry-after"), answer.header("connection")) == ("1", "close")
    assert up.seen == []
    assert stat(proxy, "http.main.downstream_rq_overload_close") == 1
    assert stat(proxy, "overload.sheds_connections") == 0
    assert stat(proxy, "overload.memory_bytes") > 1 << 20


def test_requests_of_high_priority_are_refused_last(place):
    """They go on where others are refused, until there is no room for connections either."""
    up, proxy = place("--shed-memory-mib", "1", "--max-memory-mib", "100000")
    until(lambda: stat(proxy, "overload.sheds_requests") == 1, "the guard to look")
    assert [http1.request(proxy.port(), target=target).status for target in ("/high/1", "/low", "/high/2")] == [200, 503, 200]
    assert [seen["target"] for seen in up.seen] == ["/high/1", "/high/2"]
    detail = proxy.admin.get("/ready?verbose")
    assert detail.status == 200
    assert "load: memory is beyond --shed-memory-mib: requests of default priority are refused\n" in detail.text


def test_connections_are_closed_above_another(place):
    up, proxy = place("--shed-memory-mib", "0", "--max-memory-mib", "1")
    until(lambda: stat(proxy, "overload.sheds_connections") == 1, "the guard to look")
    with http1.Connection(proxy.port()) as client:
        assert client.read_to_end() == b""
    assert up.seen == []


def test_a_bound_that_is_not_reached_changes_nothing(place):
    _, proxy = place("--shed-memory-mib", "100000", "--max-memory-mib", "100000")
    until(lambda: stat(proxy, "overload.memory_bytes") > 0, "the guard to look")
    assert http1.request(proxy.port()).body == b"fine"
    assert stat(proxy, "overload.sheds_requests") == 0


def test_requests_are_refused_by_a_worker_that_is_late(place):
    up, proxy = place("--shed-lag-ms", "20", "--shed-memory-mib", "0", "--max-memory-mib", "0")

    def held_up():
        """Stops the process for a while, as a machine with too much to do would."""
        proxy.process.signal(signal.SIGSTOP)
        time.sleep(0.15)
        proxy.process.signal(signal.SIGCONT)
        return http1.request(proxy.port())

    refused = until(lambda: next((got for got in [held_up()] if got.status == 503), None), "a request to be refused")
    assert (refused.body, refused.header("retry-after")) == (b"the proxy is overloaded", "1")
    assert stat(proxy, "http.main.downstream_rq_overload_close") >= 1
    until(lambda: http1.request(proxy.port()).status == 200, "it to be in time again")
    until(lambda: stat(proxy, "overload.late_workers") == 0, "that to be said")


def test_connections_above_a_number_are_closed(place):
    _, proxy = place("--max-connections", "1")
    with http1.Connection(proxy.port()) as first:
        assert first.request("GET", "/").status == 200
        with http1.Connection(proxy.port()) as second:
            assert second.read_to_end() == b""
        assert first.request("GET", "/").status == 200
    until(lambda: http1.request(proxy.port()).status == 200, "its place to be free")

