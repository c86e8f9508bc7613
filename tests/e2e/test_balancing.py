"""Load balancing that Envoy has no peer for."""

from collections import Counter

import pytest

from differential.balancing import group, of, policy
from differential.behind import to_each
from harness import http1
from harness.config import endpoint


@pytest.mark.weft_only
def test_localities_are_weighted_around_another_policy(start, http_upstream):
    """As gRPC clients are told it: the weights of localities first, then another policy within each."""
    a, b, c = (http_upstream(name, body="") for name in "abc")
    zones = [
        group(endpoint(a.port), zone="z1", load_balancing_weight=1),
        group(endpoint(b.port), endpoint(c.port), zone="z2", load_balancing_weight=3),
    ]
    within = policy("round_robin", "RoundRobin")["load_balancing_policy"]
    proxy = start(to_each([of("up", *zones, **policy("wrr_locality", "WrrLocality", endpoint_picking_policy=within))]))
    with http1.Connection(proxy.port()) as connection:
        reached = Counter(connection.request("GET", "/up").header("x-upstream") for _ in range(400))
    # Seven standard deviations around a quarter of them.
    assert 40 <= reached["a"] <= 160, reached
    assert abs(reached["b"] - reached["c"]) <= 1, "round robin within the locality"
