"""Requests about which a rate limit service is asked."""

import json
import time

import pytest

from differential.filtering import put
from differential.services import LIMIT, OF_PATH, PLAN, service, status
from harness import http1, http2
from harness.config import ROUTER, bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.rls import Service
from harness.waiting import until


HEADERS = {"name": "headers", "typed_config": {"@type": "type.googleapis.com/weft.limits.v1.RateLimitHeaders"}}


@pytest.fixture
def rls():
    with Service() as running:
        yield running


def world(up, rls_port, told=None, rls_cluster=(), **config):
    """A bootstrap whose only route is asked about."""
    common = {"domain": "shop", "timeout": "10s", "rate_limit_service": service(**(told or {}))}
    limit = put(LIMIT, **{key: value for key, value in (common | config).items() if value is not None})
    action = {"cluster": "up", "rate_limits": [{"actions": [OF_PATH, PLAN]}]}
    table = routes("main", virtual_host("all", ["*"], route("/", action)))
    behind = cluster("rls", rls_port, http2=True, **dict(rls_cluster))
    return bootstrap([listener("main", hcm(table, http_filters=[limit, ROUTER]))], [cluster("up", up.port), behind])


def plan(**answer):
    return (("x-plan", json.dumps(answer)),)


OVER = plan(overall_code="OVER_LIMIT")


def test_answers_are_counted_by_the_cluster_that_requests_go_to(start, http_upstream, rls):
    up = http_upstream("up")
    proxy = start(world(up, rls.port, stat_prefix="shop"))
    port = proxy.port()
    statuses = [http1.request(port, headers=sent).status for sent in ((), OVER, plan(status="INTERNAL"), OVER)]
    assert statuses == [200, 429, 200, 429]
    stats = proxy.admin.stats()
    counts = {name: stats[f"cluster.up.ratelimit.shop.{name}"] for name in ("ok", "over_limit", "error", "failure_mode_allowed")}
    assert counts == {"ok": 1, "over_limit": 2, "error": 1, "failure_mode_allowed": 1}
    assert stats["cluster.rls.upstream_rq_total"] == 4
    assert stats["cluster.rls.upstream_cx_total"] == 1
    assert len(up.seen) == 2


def test_a_service_that_says_nothing_is_waited_for_as_long_as_it_may_be(start, http_upstream, rls):
    """And no longer, by default a fiftieth of a second; then the request goes on, or does not."""
    up = http_upstream("up")
    slow = plan(after=5)
    for name, status, config in (("soon", 200, {"timeout": "0.2s"}), ("default", 200, {}), ("deny", 500, {"failure_mode_deny": True})):
        proxy = start(world(up, rls.port, timeout=config.pop("timeout", None), **config), name=name)
        began = time.monotonic()
        assert http1.request(proxy.port(), headers=slow).status == status
        assert time.monotonic() - began < 4
        # Whichever ends the call: the service is told the time as well.
        assert proxy.admin.stats()["cluster.up.ratelimit.error"] == 1


def test_calls_stay_within_the_limits_of_their_cluster(start, http_upstream, rls):
    """A service that is slow keeps no more requests waiting than its cluster may have under way."""
    up = http_upstream("up")
    few = {"circuit_breakers": {"thresholds": [{"max_requests": 1}]}}
    proxy = start(world(up, rls.port, rls_cluster=few.items(), failure_mode_deny=True), workers=1)
    port = proxy.port()
    with http1.Connection(port) as waiting:
        waiting.send(http1.encode("GET", "/", plan(after=2), None))
        until(lambda: rls.questions, "the first question")
        assert http1.request(port).status == 500
        assert waiting.read("GET").status == 200
    assert proxy.admin.stats()["cluster.rls.upstream_rq_active_overflow"] == 1


def test_the_service_is_told_metadata_authority_and_time(start, http_upstream, rls):
    up = http_upstream("up")
    told = {"initial_metadata": [{"key": "x-token", "value": "secret"}]}
    proxy = start(world(up, rls.port, told))
    assert http1.request(proxy.port()).status == 200
    [metadata] = rls.metadata
    assert metadata["x-token"] == "secret"
    assert rls.questions == ["shop(0): path=/"]


def test_a_service_that_comes_back_is_asked_again(start, http_upstream):
    up = http_upstream("up")
    with Service() as gone:
        limits = world(up, gone.port, failure_mode_deny=True)
        proxy = start(limits)
        port = proxy.port()
        assert http1.request(port).status == 200
    until(lambda: http1.request(port).status == 500, "the service to be gone")
    assert len(up.seen) >= 1


def test_a_client_that_leaves_takes_its_question_back(start, http_upstream, rls):
    """Its place among the calls of the service is free long before the service would have answered."""
    up = http_upstream("up")
    one = {"circuit_breakers": {"thresholds": [{"max_requests": 1}]}}
    port = start(world(up, rls.port, rls_cluster=one.items(), timeout="60s", failure_mode_deny=True), workers=1).port()
    with http2.Connection(port) as leaving:
        stream = leaving.start("GET", "/", plan(after=30))
        until(lambda: rls.questions, "the question")
        assert http1.request(port).status == 500
        leaving.reset(stream)
        until(lambda: http1.request(port).status == 200, "its place to be free")


def test_a_service_that_does_not_speak_grpc_has_not_answered(start, http_upstream):
    up, other = http_upstream("up"), http_upstream("other")
    limits = world(up, other.port, failure_mode_deny=True)
    clusters = limits["static_resources"]["clusters"]
    clusters[1] = cluster("rls", other.port)
    proxy = start(limits)
    assert http1.request(proxy.port()).status == 500
    assert proxy.admin.stats()["cluster.up.ratelimit.error"] == 1
    assert not up.seen


@pytest.mark.weft_only
def test_what_a_service_says_is_left_is_told_in_standard_fields(start, http_upstream, rls):
    up = http_upstream("up")
    limits = world(up, rls.port)
    chain = limits["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    chain["http_filters"].insert(0, HEADERS)
    port = start(limits).port()
    left = {"statuses": [status(100, "HOUR", 50, 1800, name="all"), status(10, "SECOND", 3, 1)]}
    for sent, code in ((plan(**left), 200), (plan(overall_code="OVER_LIMIT", **left), 429)):
        answer = http1.request(port, headers=sent)
        assert answer.status == code
        assert answer.header("ratelimit-policy") == '"all";q=100;w=3600, "2";q=10;w=1'
        assert answer.header("ratelimit") == '"2";r=3;t=1'
