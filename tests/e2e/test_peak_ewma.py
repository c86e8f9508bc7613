"""Peak EWMA: requests go where answers come soon."""

from collections import Counter

import pytest

from differential.balancing import group, of
from differential.filtering import put
from differential.limiting import FAULT, share
from harness import http1
from harness.config import ROUTER, bootstrap, cluster, endpoint, hcm, listener, route, routes, virtual_host
from harness.waiting import until

REQUESTS = 200


def peak_ewma(**config):
    typed = {"@type": "type.googleapis.com/weft.balancing.v1.PeakEwma", **config}
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": "peak-ewma", "typed_config": typed}}]}}


def front(*clusters):
    return bootstrap([listener("main", hcm(routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up"})))))], list(clusters))


@pytest.fixture
def slowed(start, http_upstream):
    """The port of an upstream that takes its time, by a proxy that delays what goes there."""

    def make(name, delay):
        up = http_upstream(name, body=name)
        table = routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up"})))
        filters = [put(FAULT, delay={"fixed_delay": delay, **share(100)}), ROUTER]
        return start(bootstrap([listener("main", hcm(table, http_filters=filters))], [cluster("up", up.port)])).port()

    return make


def taken(proxy, requests=REQUESTS, headers=()):
    with http1.Connection(proxy.port()) as client:
        return Counter(client.request("GET", "/", headers=list(headers)).body.decode() for _ in range(requests))


def test_a_slow_endpoint_gets_less(start, http_upstream, slowed):
    """But for what is tried at first, and again when it was forgotten."""
    slow = slowed("slow", "0.05s")
    quick = [http_upstream(f"quick-{number}", body="quick").port for number in range(2)]
    ewma = start(front(cluster("up", slow, *quick, **peak_ewma())))
    seen = taken(ewma)
    assert seen["slow"] <= 5, seen
    assert seen["slow"] >= 1, "it is tried"
    evenly = start(front(cluster("up", slow, *quick, lb_policy="RANDOM")))
    # Five standard deviations below a third.
    assert taken(evenly, 90)["slow"] > 7


def test_what_was_measured_is_forgotten(start, http_upstream, slowed):
    """The sooner the shorter the time is; then the slow endpoint is tried again."""
    slow = slowed("slow", "0.02s")
    quick = [http_upstream(f"quick-{number}", body="quick").port for number in range(2)]
    proxy = start(front(cluster("up", slow, *quick, **peak_ewma(decay_time="0.02s"))))
    seen = Counter()

    def again():
        seen.update(taken(proxy, 20))
        return seen["slow"] > 5

    until(again, "the slow endpoint to be tried again and again")


def test_failing_at_once_is_not_being_fast(start, http_upstream):
    """A request that fails there counts as one that took long."""
    ups = [http_upstream(f"up-{number}", body="good") for number in range(2)]
    bad = http_upstream("bad", body="bad")
    bad.failing = {"/"}
    seen = taken(start(front(cluster("up", bad.port, *[up.port for up in ups], **peak_ewma()))))
    assert 1 <= seen["bad"] < REQUESTS // 10, seen


def test_zones_are_weighed_around_it(start, http_upstream):
    ups = {name: http_upstream(name, body=name).port for name in "ab"}
    config = peak_ewma(locality_lb_config={"locality_weighted_lb_config": {}}, slow_start_config={"slow_start_window": "3600s"})
    parts = [group(endpoint(port), zone=zone, load_balancing_weight=weight) for (zone, port), weight in zip(ups.items(), (1, 9))]
    # Both zones are as quick. Which of two is drawn follows the weights, and so does the wait that counts.
    seen = taken(start(front(of("up", *parts, **config))), 400)
    assert 1 <= seen["a"] < seen["b"], seen
