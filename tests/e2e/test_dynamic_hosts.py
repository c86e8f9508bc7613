"""Requests that name the host they go to (`dynamic_forward_proxy`)."""

import pytest

from harness import http1
from harness.config import ROUTER, bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.dns import NameServer
from harness.waiting import until

EXTENSIONS = "type.googleapis.com/envoy.extensions"


@pytest.fixture
def names():
    with NameServer() as server:
        yield server


def at(server):
    return {"socket_address": {"address": "127.0.0.1", "port_value": server.port}}


def cache(names, **more):
    typed = {"@type": f"{EXTENSIONS}.network.dns_resolver.cares.v3.CaresDnsResolverConfig", "resolvers": [at(names)]}
    resolver = {"name": "envoy.network.dns_resolver.cares", "typed_config": typed}
    return {"name": "hosts", "dns_lookup_family": "V4_ONLY", "typed_dns_resolver_config": resolver, **more}


def world(hosts, **route_more):
    """A proxy that sends every request to the host that it names."""
    kind = f"{EXTENSIONS}.clusters.dynamic_forward_proxy.v3.ClusterConfig"
    any_host = cluster("any", lb_policy="CLUSTER_PROVIDED", connect_timeout="2s")
    del any_host["load_assignment"], any_host["type"]
    any_host["cluster_type"] = {
        "name": "envoy.clusters.dynamic_forward_proxy",
        "typed_config": {"@type": kind, "dns_cache_config": hosts},
    }
    kind = f"{EXTENSIONS}.filters.http.dynamic_forward_proxy.v3.FilterConfig"
    forward = {"name": "forward", "typed_config": {"@type": kind, "dns_cache_config": hosts}}
    main = routes("main", virtual_host("all", ["*"], route("/", {"cluster": "any", **route_more})))
    return bootstrap([listener("main", hcm(main, http_filters=[forward, ROUTER]))], [any_host])


def ask(proxy, host, path="/"):
    return http1.request(proxy.port(), "GET", path, host=host)


def test_requests_go_to_the_host_that_they_name(start, http_upstream, names):
    one, two = http_upstream("one"), http_upstream("two")
    names.set("one.test", "127.0.0.1", ttl=3600)
    names.set("two.test", "127.0.0.1", ttl=3600)
    proxy = start(world(cache(names)))
    for _ in range(3):
        assert ask(proxy, f"one.test:{one.port}").json()["upstream"] == "one"
        assert ask(proxy, f"Two.test:{two.port}").json()["upstream"] == "two"
    assert (names.count("one.test"), names.count("two.test")) == (1, 1), "each was looked up once"
    assert ask(proxy, f"127.0.0.1:{two.port}").json()["upstream"] == "two", "an address needs no lookup"
    assert one.connections == 1


def test_a_host_that_is_nowhere_is_said_to_be(start, names):
    proxy = start(world(cache(names)))
    answer = ask(proxy, "nowhere.test")
    assert (answer.status, answer.text) == (503, "DNS resolution failure")


@pytest.mark.parametrize("form", ["old-fields", "by-tcp"])
def test_hosts_are_looked_up_as_configured(start, http_upstream, names, form):
    up = http_upstream("up")
    names.set("up.test", "127.0.0.1", "::1")
    resolution = {"resolvers": [at(names)], "dns_resolver_options": {"use_tcp_for_dns_lookups": form == "by-tcp"}}
    hosts = cache(names, dns_resolution_config=resolution)
    del hosts["typed_dns_resolver_config"]
    proxy = start(world(hosts))
    assert ask(proxy, f"up.test:{up.port}").status == 200
    assert {(how, kind) for how, _, kind in names.asked} == {("tcp" if form == "by-tcp" else "udp", 1)}


def test_failures_are_tried_again_at_the_rate(start, http_upstream, names):
    up = http_upstream("up")
    names.failing = True
    names.set("up.test", "127.0.0.1", ttl=3600)
    again = {"base_interval": "0.01s", "max_interval": "0.05s"}
    proxy = start(world(cache(names, dns_refresh_rate="600s", dns_failure_refresh_rate=again)))
    assert ask(proxy, f"up.test:{up.port}").status == 503
    names.failing = False
    until(lambda: ask(proxy, f"up.test:{up.port}").status == 200, "the host to be found")
    asked = names.count("up.test")
    assert ask(proxy, f"up.test:{up.port}").status == 200
    assert names.count("up.test") == asked, "an answer holds"


def test_answers_hold_as_long_as_they_say_and_not_less_than_configured(start, http_upstream, names):
    up = http_upstream("up")
    names.set("up.test", "127.0.0.1", ttl=0)
    names.set("long.test", "127.0.0.1", ttl=3600)
    proxy = start(world(cache(names, dns_min_refresh_rate="1s")))
    for host in ("long.test", "up.test"):
        assert ask(proxy, f"{host}:{up.port}").status == 200
    until(lambda: names.count("up.test") >= 3, "lookups one after the other")
    assert names.count("long.test") == 1


@pytest.mark.parametrize("kept, again", [("0.5s", False), ("300s", True)])
def test_hosts_that_nobody_asks_for_are_forgotten(start, http_upstream, names, kept, again):
    up = http_upstream("up")
    for host in ("up.test", "beside.test"):
        names.set(host, "127.0.0.1", ttl=0)
    proxy = start(world(cache(names, dns_min_refresh_rate="1s", host_ttl=kept)))
    assert ask(proxy, f"up.test:{up.port}").status == 200

    def looked_up_again_and_again():
        assert ask(proxy, f"beside.test:{up.port}").status == 200
        return names.count("beside.test") >= 4

    until(looked_up_again_and_again, "lookups of the host that is asked for")
    assert (names.count("up.test") > 2) == again
    assert ask(proxy, f"up.test:{up.port}").status == 200


def test_no_more_hosts_are_known_than_configured(start, http_upstream, names):
    up = http_upstream("up")
    for name in ("one.test", "two.test"):
        names.set(name, "127.0.0.1", ttl=3600)
    proxy = start(world(cache(names, max_hosts=1)))
    assert ask(proxy, f"one.test:{up.port}").status == 200
    answer = ask(proxy, f"two.test:{up.port}")
    assert (answer.status, answer.text) == (503, "DNS cache overflow")
    assert ask(proxy, f"one.test:{up.port}").status == 200


def test_no_more_requests_wait_than_configured(start, http_upstream, names):
    up = http_upstream("up")
    names.set("up.test", "127.0.0.1", ttl=3600)
    names.silent = True
    proxy = start(world(cache(names, dns_cache_circuit_breaker={"max_pending_requests": 1}, dns_query_timeout="20s")))
    with http1.Connection(proxy.port()) as held:
        held.send(f"GET / HTTP/1.1\r\nhost: up.test:{up.port}\r\n\r\n".encode())
        until(lambda: names.asked, "the lookup")
        answer = ask(proxy, f"up.test:{up.port}")
        assert (answer.status, answer.text) == (503, "Dynamic forward proxy pending request overflow")
        names.silent = False
        assert held.read().status == 200


def test_nobody_waits_longer_than_configured(start, http_upstream, names):
    names.silent = True
    proxy = start(world(cache(names, dns_query_timeout="0.2s")))
    answer = ask(proxy, "up.test")
    assert (answer.status, answer.text) == (503, "DNS resolution failure")
