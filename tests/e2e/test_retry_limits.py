"""When another try may begin: what upstreams say of it, and how many may be tried again at once."""

import socket
import struct

import pytest

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.waiting import until

TOLD = {
    "reset_headers": [{"name": "retry-after"}, {"name": "ratelimit-reset"}],
    "max_interval": "60s",
}


@pytest.fixture
def place(start, http_upstream):
    """A proxy that tries again as responses ask for it, in front of one upstream."""

    def make(limit):
        up = http_upstream("up", body="fine")
        policy = {"retry_on": "5xx", "retry_back_off": {"base_interval": "0.001s"}, "rate_limited_retry_back_off": TOLD}
        host = virtual_host("all", ["*"], route("/", {"cluster": "up", "timeout": "0s", "retry_policy": policy}))
        made = cluster("up", up.port, circuit_breakers={"thresholds": [limit]})
        return up, start(bootstrap([listener("main", hcm(routes("main", host)))], [made]))

    return make


def counted(proxy, name):
    return proxy.admin.stats().get(f"cluster.up.{name}", 0)


def busy(*headers):
    return {"status": 503, "headers": [list(pair) for pair in headers], "body": "busy"}


@pytest.mark.parametrize(
    ("headers", "is_told"),
    [
        ([("retry-after", "1")], True),
        ([("ratelimit-reset", "1")], True),
        ([("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT"), ("ratelimit-reset", "1")], True),
        ([("ratelimit-reset", "0")], False),
        ([("ratelimit-reset", "61")], False),
        ([("ratelimit-limit", "1")], False),
    ],
)
def test_responses_say_when_to_come_again(place, headers, is_told):
    up, proxy = place({"max_retries": 3})
    up.script = [busy(*headers)]
    assert http1.request(proxy.port()).status == 200
    assert counted(proxy, "upstream_rq_retry_backoff_ratelimited") == int(is_told)
    assert counted(proxy, "upstream_rq_retry_backoff_exponential") == int(not is_told)


@pytest.mark.parametrize(
    "limit",
    [
        {"max_retries": 1},
        {"retry_budget": {"budget_percent": {"value": 0}, "min_retry_concurrency": 1}},
    ],
)
def test_what_rests_before_another_try_counts_as_one(place, limit):
    up, proxy = place(limit)
    up.script = [busy(("retry-after", "60")), busy(), busy()]
    with http1.Connection(proxy.port()) as resting:
        resting.send(http1.encode("GET", "/"))
        until(lambda: counted(proxy, "upstream_rq_retry") == 1, "the first request to rest")
        assert http1.request(proxy.port()).status == 503
        assert len(up.seen) == 2, "there is no place for its retry"
        assert counted(proxy, "upstream_rq_retry_overflow") == 1
        # A client that has only finished sending would still wait for its answer, so this one resets.
        resting.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: counted(proxy, "upstream_rq_active") == 0, "the request to be given up with its client")
    assert http1.request(proxy.port()).status == 200
    assert len(up.seen) == 4, "the place is free again"
