"""Adaptive concurrency: as many requests go on at once as latencies allow, over all workers."""

import threading

import pytest

from differential.filtering import put
from harness import http1
from harness.config import ROUTER, bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.waiting import until

FILTER = "adaptive_concurrency.v3.AdaptiveConcurrency"
STATS = "http.main.adaptive_concurrency.gradient_controller."
LIMITS = {"max_concurrency_limit": 1000, "concurrency_update_interval": "3600s"}


def settings(idle, limits=(), **more):
    gradient = {"concurrency_limit_params": LIMITS | dict(limits), "min_rtt_calc_params": idle}
    return put(FILTER, gradient_controller_config=gradient, **more)


@pytest.fixture
def place(start, http_upstream):
    """A proxy with several workers whose only route goes through the filter, and its upstream."""

    def make(*chosen, **more):
        up = http_upstream("up", body="fine")
        high = route("/high/", {"cluster": "up", "priority": "HIGH"})
        table = routes("main", virtual_host("all", ["*"], high, route("/", "up")))
        manager = hcm(table, stat_prefix="main", http_filters=[settings(*chosen, **more), ROUTER])
        return up, start(bootstrap([listener("main", manager)], [cluster("up", up.port)]), workers=4)

    return make


def ask(proxy, **more):
    return http1.request(proxy.port(), **more)


def told(proxy, name):
    return int(proxy.admin.stats()[STATS + name])


class Held:
    """Requests that the upstream keeps until they are let go."""

    def __init__(self, up, proxy, count):
        self._up, self.answers = up, []
        before = len(up.seen)
        up.script = [{"status": 200, "body": "held", "gate": "held"}] * count
        one = lambda: self.answers.append(ask(proxy).status)
        self._threads = [threading.Thread(target=one, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()
        until(lambda: len(up.seen) == before + count, "the requests at the upstream")

    def let_go(self):
        self._up.open_gate("held")
        for thread in self._threads:
            thread.join(60)
        return self.answers


def test_as_many_requests_go_on_as_may_be(place):
    up, proxy = place({"fixed_value": "3600s"}, {"min_concurrency_limit": 4})
    held = Held(up, proxy, 4)
    refused = [ask(proxy) for _ in range(20)]
    assert {(it.status, it.body) for it in refused} == {(503, b"reached concurrency limit")}
    assert (told(proxy, "rq_blocked"), told(proxy, "concurrency_limit")) == (20, 4)
    assert held.let_go() == [200] * 4
    until(lambda: ask(proxy).status == 200, "room for another one")


def test_requests_of_high_priority_find_room_above_the_limit(place):
    up, proxy = place({"fixed_value": "3600s"}, {"min_concurrency_limit": 4})
    held = Held(up, proxy, 4)
    assert [ask(proxy, target=target).status for target in ("/low", "/high/1", "/low", "/high/2")] == [503, 200, 503, 200]
    assert held.let_go() == [200] * 4


def test_what_fails_makes_room(place):
    """An upstream that hangs up before its answer, and one that stops in its middle."""
    up, proxy = place({"fixed_value": "3600s"}, {"min_concurrency_limit": 1})
    up.script = [{"status": 200, "hangup": "before"}, {"status": 200, "body": "some", "hangup": "middle"}]
    for _ in range(2):
        with http1.Connection(proxy.port()) as client:
            client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            client.read_to_end()
    until(lambda: ask(proxy).status == 200, "room for another one")
    assert len(up.seen) == 3


def test_others_are_told_what_is_asked_for(place):
    up, proxy = place({"fixed_value": "3600s"}, {"min_concurrency_limit": 1}, concurrency_limit_exceeded_status={"code": "TooManyRequests"})
    held = Held(up, proxy, 1)
    assert ask(proxy).status == 429
    assert held.let_go() == [200]


def test_it_may_be_turned_off(place):
    off = {"default_value": False, "runtime_key": "adaptive_concurrency.enabled"}
    up, proxy = place({"fixed_value": "3600s"}, {"min_concurrency_limit": 1}, enabled=off)
    held = Held(up, proxy, 3)
    assert ask(proxy).status == 200
    assert held.let_go() == [200] * 3


def test_an_idle_server_is_measured(place):
    """With few requests at once; what the limit was before comes back then."""
    up, proxy = place({"interval": "3600s", "request_count": 5, "min_concurrency": 2}, {"min_concurrency_limit": 6})
    held = Held(up, proxy, 2)
    assert (told(proxy, "min_rtt_calc_active"), told(proxy, "concurrency_limit")) == (1, 2)
    assert ask(proxy).status == 503
    held.let_go()
    until(lambda: (ask(proxy).status, told(proxy, "min_rtt_calc_active")) == (200, 0), "the end of the measurement")
    assert told(proxy, "concurrency_limit") == 6


def test_the_limit_grows_while_answers_come_fast(place):
    up, proxy = place({"fixed_value": "3600s"}, {"concurrency_update_interval": "0.01s", "max_concurrency_limit": 20})
    until(lambda: (ask(proxy).status, told(proxy, "concurrency_limit")) == (200, 20), "the limit to grow")
    assert told(proxy, "gradient") == 2000
