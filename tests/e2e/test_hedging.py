"""Hedging: a try that takes too long goes on beside the next one, and the first answer wins."""

import pytest

from harness import http1
from harness.asking import Asking
from harness.config import bootstrap, cluster, hcm, http2_options, listener, route, routes, virtual_host
from harness.waiting import until

INSIDE = [("x-forwarded-for", "10.0.0.1")]
TEN = {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
HEDGE = {"hedge_on_per_try_timeout": True}


def held(gate, **more):
    return {"gate": gate, "status": 200, "body": gate, **more}


@pytest.fixture
def place(start, http_upstream):
    """Starts a proxy whose route gives each try a tenth of a second, in front of one upstream."""

    def make(hedge=HEDGE, retries=1, timeout="20s", cluster_more=None, host_more=None, **policy):
        up = http_upstream("up", body="fine")
        policy = {"retry_on": "5xx", "num_retries": retries, "per_try_timeout": "0.1s", **policy}
        own = {} if hedge is None else {"hedge_policy": hedge}
        action = {"cluster": "up", "retry_policy": policy, "timeout": timeout, **own}
        host = virtual_host("all", ["*"], route("/", action), **(host_more or {}))
        config = hcm(routes("main", host), internal_address_config=TEN)
        proxy = start(bootstrap([listener("main", config)], [cluster("up", up.port, **(cluster_more or {}))]))
        return up, proxy

    return make


def ask(proxy, **more):
    return http1.request(proxy.port(), **more)


def counted(proxy, name):
    return int(proxy.admin.stats().get(f"cluster.up.{name}", 0))


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_the_first_answer_wins(place, http2):
    up, proxy = place(cluster_more=http2_options() if http2 else None)
    up.script = [held("never")]
    assert ask(proxy).body == b"fine"
    assert len(up.seen) == 2
    assert counted(proxy, "upstream_rq_retry") == 1
    until(lambda: counted(proxy, "upstream_rq_active") == 0, "the end of the one that lost")
    if not http2:
        until(lambda: counted(proxy, "upstream_cx_active") == 1, "the end of its connection")


def test_a_try_that_took_too_long_may_still_win(place):
    up, proxy = place()
    up.script = [held("first"), held("second")]
    asking = Asking(proxy.port())
    until(lambda: len(up.seen) == 2, "the second try")
    up.open_gate("first")
    assert asking.answer().body == b"first"


def test_the_last_try_is_not_given_up_either(place):
    up, proxy = place(retries=0)
    up.script = [held("first")]
    asking = Asking(proxy.port())
    until(lambda: counted(proxy, "upstream_rq_retry_limit_exceeded") == 1, "the end of its time")
    up.open_gate("first")
    assert asking.answer().body == b"first"


@pytest.mark.weft_only
def test_a_failure_does_not_win_while_others_are_asked(place):
    up, proxy = place()
    up.script = [held("first"), {"status": 503, "body": "no"}]
    asking = Asking(proxy.port())
    until(lambda: counted(proxy, "upstream_rq_retry_limit_exceeded") == 1, "the failure")
    up.open_gate("first")
    assert asking.answer().body == b"first"
    assert counted(proxy, "upstream_rq_5xx") == 1


def test_without_a_policy_a_try_that_takes_too_long_is_given_up(place):
    up, proxy = place(hedge=None, retries=0)
    up.script = [held("first")]
    assert ask(proxy).status == 504


@pytest.mark.parametrize(("own", "status"), [(None, 200), ({"hedge_on_per_try_timeout": False}, 504)])
def test_a_policy_of_the_virtual_host_holds_where_the_route_has_none(place, own, status):
    up, proxy = place(hedge=own, retries=0, host_more={"hedge_policy": HEDGE})
    up.script = [held("first")]
    asking = Asking(proxy.port())
    until(lambda: counted(proxy, "upstream_rq_retry_limit_exceeded") == 1, "the end of its time")
    up.open_gate("first")
    assert asking.answer().status == status


def test_callers_inside_ask_for_it(place):
    up, proxy = place(hedge=None, retries=0)
    up.script = [held("first")]
    asking = Asking(proxy.port(), headers=[*INSIDE, ("x-envoy-hedge-on-per-try-timeout", "true")])
    until(lambda: counted(proxy, "upstream_rq_retry_limit_exceeded") == 1, "the end of its time")
    up.open_gate("first")
    assert asking.answer().body == b"first"
    assert not any("hedge" in name.lower() for name, _ in up.seen[0]["headers"])


def test_each_try_has_the_whole_body(place):
    up, proxy = place()
    up.script = [held("never")]
    assert ask(proxy, method="POST", body=b"x" * 3000, chunked=True).body == b"fine"
    assert [seen["body"] for seen in up.seen] == ["x" * 3000] * 2


def test_the_time_of_the_whole_request_ends_all_of_them(place):
    up, proxy = place(timeout="0.5s", retries=2)
    up.script = [held("never"), held("never"), held("never")]
    assert ask(proxy).status == 504
    assert len(up.seen) == 3
    until(lambda: counted(proxy, "upstream_rq_active") == 0, "their ends")


@pytest.mark.weft_only
def test_each_one_counts_among_the_retries_that_a_cluster_allows(place):
    limit = {"circuit_breakers": {"thresholds": [{"max_retries": 1}]}}
    up, proxy = place(retries=5, cluster_more=limit)
    up.script = [held("first"), held("second"), held("third")]
    asking = Asking(proxy.port())
    until(lambda: counted(proxy, "upstream_rq_retry_overflow") == 1, "the bound")
    assert len(up.seen) == 2
    up.open_gate("second")
    assert asking.answer().body == b"second"
