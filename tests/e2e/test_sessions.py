"""Sessions that stay where they are as long as their endpoint is live, and users who stay at one version."""

from collections import Counter

import pytest

from differential.sessions import cookie, session, written
from harness import http1
from harness.config import ROUTER, bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.waiting import until

FILTER = {"name": "stateful-session", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession", "session_state": cookie(path="/")}}


def world(ports, *entries, **more):
    table = routes("main", virtual_host("all", ["*"], *entries, route("/", {"cluster": "up"})))
    return bootstrap([listener("main", hcm(table, http_filters=[FILTER, ROUTER]))], [cluster("up", *ports, **more)])


def brought(answer):
    """What a browser brings with its next request."""
    value = answer.header("set-cookie")
    return [("cookie", value.split(";")[0])] if value else []


def test_a_session_moves_when_its_endpoint_is_gone(start, http_upstream):
    """By the one retry that is free; strict ones do not move."""
    ups = [http_upstream(f"up-{number}") for number in range(3)]
    strict = route("/strict", {"cluster": "up"}, **session(cookie(path="/"), strict=True))
    proxy = start(world([up.port for up in ups], strict))
    with http1.Connection(proxy.port()) as client:
        first = client.request("GET", "/")
        brings = brought(first)
        home = first.header("x-upstream")
        assert [client.request("GET", "/", headers=brings).header("x-upstream") for _ in range(20)] == [home] * 20
        next(up for up in ups if up.name == home).stop()
        moved = client.request("GET", "/", headers=brings)
        assert moved.status == 200
        assert moved.header("x-upstream") != home
        brings = brought(moved)
        assert brings
        home = moved.header("x-upstream")
        assert [client.request("GET", "/", headers=brings).header("x-upstream") for _ in range(20)] == [home] * 20
        nobody = [("cookie", f"session={written(1)}")]
        assert client.request("GET", "/strict", headers=nobody).status == 503
        assert client.request("GET", "/", headers=nobody).status == 200
    stats = proxy.admin.stats()
    assert stats["http.ingress.stateful_session.no_session"] == 1
    assert stats["http.ingress.stateful_session.routed"] == 40
    assert stats["http.ingress.stateful_session.failed_open"] == 2
    assert stats["http.ingress.stateful_session.failed_closed"] == 1


def test_an_ejected_endpoint_keeps_no_session(start, http_upstream):
    ups = [http_upstream(f"up-{number}") for number in range(3)]
    detection = {"consecutive_5xx": 2, "base_ejection_time": "3600s", "max_ejection_percent": 50, "interval": "0.1s"}
    proxy = start(world([up.port for up in ups], outlier_detection=detection))
    with http1.Connection(proxy.port()) as client:
        first = client.request("GET", "/")
        brings = brought(first)
        home = first.header("x-upstream")
        failing = ("x-respond", '{"status": 500}')
        for _ in range(2):
            answer = client.request("GET", "/", headers=[*brings, failing])
            assert (answer.status, answer.header("x-upstream")) == (500, home)
        until(lambda: proxy.admin.stats()["cluster.up.outlier_detection.ejections_active"] == 1, "the ejection")
        moved = client.request("GET", "/", headers=brings)
        assert (moved.status, moved.header("x-upstream") == home) == (200, False)
        assert brought(moved)


@pytest.mark.parametrize("rounds", [1, 3])
def test_users_who_are_given_a_cookie_stay_at_their_version(start, http_upstream, rounds):
    """Whatever connection they come by; the weights hold over all of them."""
    ups = {name: http_upstream(name) for name in ("v1", "v2")}
    by_cookie = [{"cookie": {"name": "user", "ttl": "0s", "path": "/"}}]
    parts = [{"name": name, "weight": weight} for name, weight in (("v1", 75), ("v2", 25))]
    split = {"weighted_clusters": {"clusters": parts, "use_hash_policy": True}, "hash_policy": by_cookie}
    front = listener("main", hcm(routes("main", virtual_host("all", ["*"], route("/", split)))))
    proxy = start(bootstrap([front], [cluster(name, up.port) for name, up in ups.items()]))
    seen = Counter()
    for _ in range(120):
        first = http1.request(proxy.port())
        brings = brought(first)
        assert brings
        for _ in range(rounds):
            again = http1.request(proxy.port(), headers=brings)
            assert again.header("x-upstream") == first.header("x-upstream")
            assert again.header("set-cookie") is None
        seen[first.header("x-upstream")] += 1
    # Six standard deviations around 90.
    assert 61 <= seen["v1"] <= 119
