"""How often connections may come: of a chain, of a listener, and of chains that share a rate."""

from harness import http1
from harness.config import address, bootstrap
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
