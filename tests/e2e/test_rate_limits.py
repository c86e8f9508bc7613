"""How often connections may come, of a chain, of a listener, and of chains that share a rate; and requests."""

import threading

import pytest

from differential.filtering import put, setting
from differential.limiting import ON, RATE, bucket
from harness import http1
from harness.config import ROUTER, address, bootstrap, cluster, hcm, route, routes, virtual_host
from harness.config import listener as http_listener
from harness.waiting import until

TYPE = "type.googleapis.com/envoy.extensions.filters."
HOUR = "3600s"


def rate(kind, tokens, interval=HOUR, **more):
    bucket = {"max_tokens": tokens, "tokens_per_fill": tokens, "fill_interval": interval}
    config = {"@type": f"{TYPE}{kind}.local_ratelimit.v3.LocalRateLimit", "stat_prefix": "rate", "token_bucket": bucket, **more}
    return {"name": "rate", "typed_config": config}


def listener(name, *gates, listener_filters=()):
    answer = {"@type": f"{TYPE}network.direct_response.v3.Config", "response": {"inline_string": "let through"}}
    filters = [*gates, {"name": "direct", "typed_config": answer}]
    return {"name": name, "address": address(0), "listener_filters": list(listener_filters), "filter_chains": [{"filters": filters}]}


def knock(port):
    with http1.Connection(port) as connection:
        return connection.read_to_end()


def knocks(port, times):
    return [knock(port) for _ in range(times)].count(b"let through")


def test_connections_of_a_chain_come_at_a_rate(start):
    """Over all workers together, and counted."""
    proxy = start(bootstrap([listener("main", rate("network", 3))], []), workers=4)
    assert knocks(proxy.port(), 20) == 3
    assert proxy.admin.stats()["local_rate_limit.rate.rate_limited"] == 17


def test_connections_of_a_listener_come_at_a_rate(start):
    proxy = start(bootstrap([listener("main", listener_filters=[rate("listener", 3)])], []), workers=4)
    assert knocks(proxy.port(), 20) == 3
    assert proxy.admin.stats()["listener_local_ratelimit.rate.rate_limited"] == 17


def test_tokens_come_back(start):
    proxy = start(bootstrap([listener("main", rate("network", 1, "0.2s"))], []))
    port = proxy.port()
    assert knocks(port, 2) >= 1
    until(lambda: knock(port) == b"let through", "a token to come back")


def test_chains_share_a_rate_by_its_key(start):
    """With the same key and the same bucket; a filter that is turned off takes none of it."""
    made = {
        "one": rate("network", 4, share_key="all"),
        "other": rate("network", 4, share_key="all"),
        "another-bucket": rate("network", 3, share_key="all"),
        "own": rate("network", 4),
        "off": rate("network", 1, runtime_enabled={"default_value": False, "runtime_key": "none"}),
    }
    proxy = start(bootstrap([listener(name, gate) for name, gate in made.items()], []))
    let_through = {name: knocks(proxy.port(name), 3) for name in made}
    assert let_through == {"one": 3, "other": 1, "another-bucket": 3, "own": 3, "off": 3}


def limited(up, **config):
    """A bootstrap whose only route is limited like this."""
    table = routes("main", virtual_host("all", ["*"], route("/", "up")))
    limit = put(RATE, **{**ON, **config})
    return bootstrap([http_listener("main", hcm(table, http_filters=[limit, ROUTER]))], [cluster("up", up.port)])


def test_requests_come_at_a_rate(start, http_upstream):
    """Over all workers together, and counted by the name that the filter gives it."""
    up = http_upstream("up")
    proxy = start(limited(up, stat_prefix="few", **bucket(5)), workers=4)
    port, statuses = proxy.port(), []
    callers = [threading.Thread(target=lambda: statuses.append(http1.request(port).status)) for _ in range(40)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(statuses) == [200] * 5 + [429] * 35
    assert len(up.seen) == 5
    stats = proxy.admin.stats()
    counts = {name: stats[f"few.http_local_rate_limit.{name}"] for name in ("enabled", "ok", "rate_limited", "enforced")}
    assert counts == {"enabled": 40, "ok": 5, "rate_limited": 35, "enforced": 35}


def test_requests_may_come_again_with_time(start, http_upstream):
    up = http_upstream("up")
    soon = {"token_bucket": {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "0.2s"}}
    port = start(limited(up, **soon)).port()
    assert http1.request(port).status == 200
    until(lambda: http1.request(port).status == 200, "a token to come back")


def test_each_connection_may_have_tokens_of_its_own(start, http_upstream):
    up = http_upstream("up")
    proxy = start(limited(up, local_rate_limit_per_downstream_connection=True, **bucket(2)), workers=2)
    for _ in range(3):
        with http1.Connection(proxy.port()) as connection:
            assert [connection.request("GET", "/").status for _ in range(3)] == [200, 200, 429]


HEADERS = {"name": "headers", "typed_config": {"@type": "type.googleapis.com/weft.limits.v1.RateLimitHeaders"}}


def told(response):
    return response.header("ratelimit-policy"), response.header("ratelimit")


@pytest.mark.weft_only
def test_what_is_left_is_told_in_standard_fields(start, http_upstream):
    """Of answers and of refusals, where the filter for it stands in the chain and the route has not left it out."""
    up = http_upstream("up")
    off = {"typed_per_filter_config": {"headers": setting(disabled=True)}}
    table = routes("main", virtual_host("all", ["*"], route("/silent", "up", **off), route("/", "up")))
    limit = put(RATE, **{**ON, "stat_prefix": "few", "token_bucket": {"max_tokens": 2, "tokens_per_fill": 2, "fill_interval": "7200s"}})
    chain = hcm(table, http_filters=[HEADERS, limit, ROUTER])
    port = start(bootstrap([http_listener("main", chain)], [cluster("up", up.port)])).port()
    first, silent, over = (http1.request(port, target=target) for target in ("/", "/silent", "/"))
    assert (first.status, told(first)) == (200, ('"few";q=2;w=7200', '"few";r=1;t=3600'))
    assert (silent.status, told(silent)) == (200, (None, None))
    assert over.status == 429
    policy, left = told(over)
    assert policy == '"few";q=2;w=7200'
    # What has come back of a token since is not told.
    assert left == '"few";r=0;t=7200'
