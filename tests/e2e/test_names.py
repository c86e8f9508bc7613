"""Clusters found by name: addresses, families, aliases, times to live, failures."""

import socket

import pytest

from harness import http1
from harness.config import address, bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.dns import CNAME, SRV, NameServer, resolver
from harness.upstream import Http
from harness.waiting import until


@pytest.fixture
def names():
    with NameServer() as server:
        yield server


def found_by(names, kind, host, port, **more):
    """A cluster of a DNS type that is looked up again quickly."""
    made = {"type": kind, "dns_lookup_family": "V4_ONLY", "dns_refresh_rate": "0.02s", **resolver(names), **more}
    made = cluster("up", **made)
    made["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": address(port, host)}}]}]
    return made


def to(made):
    main = routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up"})))
    return bootstrap([listener("main", hcm(main))], [made])


def hosts(proxy):
    """Addresses of the cluster's endpoints."""
    statuses = proxy.admin.json("/clusters?format=json").get("cluster_statuses", [])
    found = next((s.get("host_statuses", []) for s in statuses if s["name"] == "up"), [])
    return sorted(h["address"]["socket_address"]["address"] for h in found)


@pytest.mark.parametrize("kind", ["STRICT_DNS", "LOGICAL_DNS"])
def test_requests_go_where_the_name_leads(start, http_upstream, names, kind):
    up = http_upstream("up")
    names.set("up.test", "127.0.0.1")
    proxy = start(to(found_by(names, kind, "up.test", up.port)))
    assert http1.request(proxy.port()).json()["upstream"] == "up"
    assert proxy.admin.stats()["cluster.up.update_success"] >= 1


def test_new_addresses_are_followed(start, names):
    with Http("one") as up:
        names.set("up.test", "127.0.0.1")
        proxy = start(to(found_by(names, "STRICT_DNS", "up.test", up.port)))
        port = proxy.port()
        assert http1.request(port).status == 200
        names.set("up.test", "127.0.0.1", "127.0.0.2", "127.0.0.3")
        until(lambda: hosts(proxy) == ["127.0.0.1", "127.0.0.2", "127.0.0.3"], "all addresses")
        names.set("up.test", "127.0.0.1")
        until(lambda: hosts(proxy) == ["127.0.0.1"], "one address again")
        assert http1.request(port).status == 200
        assert up.connections == 1, "its connection was kept throughout"


@pytest.mark.weft_only
def test_a_logical_endpoint_keeps_its_connections(start, http_upstream, names):
    up = http_upstream("up")
    names.set("up.test", "127.0.0.1")
    proxy = start(to(found_by(names, "LOGICAL_DNS", "up.test", up.port)))
    port = proxy.port()
    assert http1.request(port).status == 200
    names.set("up.test", "127.0.0.77")
    until(lambda: hosts(proxy) == ["127.0.0.77"], "the new address")
    assert http1.request(port).status == 200
    assert up.connections == 1


@pytest.mark.parametrize("kind", ["STRICT_DNS", "LOGICAL_DNS"])
def test_stale_answers_serve_while_nobody_knows_better(start, http_upstream, names, kind):
    up = http_upstream("up")
    names.set("up.test", "127.0.0.1")
    proxy = start(to(found_by(names, kind, "up.test", up.port)))
    names.failing = True
    until(lambda: proxy.admin.stats()["cluster.up.update_failure"] >= 3, "failures")
    assert http1.request(proxy.port()).status == 200
    names.failing = False
    before = proxy.admin.stats()["cluster.up.update_success"]
    until(lambda: proxy.admin.stats()["cluster.up.update_success"] > before, "an answer again")


def test_a_name_that_is_gone_has_no_endpoints(start, http_upstream, names):
    up = http_upstream("up")
    names.set("up.test", "127.0.0.1")
    proxy = start(to(found_by(names, "STRICT_DNS", "up.test", up.port)))
    del names.zone["up.test"]
    until(lambda: hosts(proxy) == [], "no endpoints")
    assert http1.request(proxy.port()).text == "no healthy upstream"
    names.set("up.test", "127.0.0.1")
    until(lambda: http1.request(proxy.port()).status == 200, "the name to be back")


def test_nothing_starts_before_the_first_answer(start, http_upstream, names):
    """A name nobody knows holds up the start only until that is known."""
    up = http_upstream("up")
    proxy = start(to(found_by(names, "STRICT_DNS", "unknown.test", up.port)))
    assert http1.request(proxy.port()).text == "no healthy upstream"


def test_aliases_are_followed(start, http_upstream, names):
    up = http_upstream("up")
    names.zone["up.test"] = [(CNAME, "alias.test", 300)]
    names.zone["alias.test"] = [(CNAME, "real.test", 300)]
    names.set("real.test", "127.0.0.1")
    proxy = start(to(found_by(names, "STRICT_DNS", "up.test", up.port)))
    assert http1.request(proxy.port()).status == 200


def test_answers_hold_as_long_as_they_say(start, http_upstream, names):
    up = http_upstream("up")
    names.set("long.test", "127.0.0.1", ttl=3600)
    made = found_by(names, "STRICT_DNS", "long.test", up.port, respect_dns_ttl=True)
    other = {**found_by(names, "STRICT_DNS", "other.test", up.port), "name": "often"}
    names.set("other.test", "127.0.0.1", ttl=3600)
    world = to(made)
    world["static_resources"]["clusters"].append(other)
    proxy = start(world)
    until(lambda: names.count("other.test") >= 20, "the rate to be followed by the other one")
    assert names.count("long.test") == 1
    assert http1.request(proxy.port()).status == 200


FAMILIES = {
    "V4_ONLY": ["127.0.0.1"],
    "V6_ONLY": ["::1"],
    "AUTO": ["::1"],
    "V4_PREFERRED": ["127.0.0.1"],
    "ALL": ["127.0.0.1", "::1"],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_asked_for_as_configured(start, names, family):
    names.set("up.test", "127.0.0.1", "::1")
    expected = FAMILIES[family]
    proxy = start(to(found_by(names, "STRICT_DNS", "up.test", 80, dns_lookup_family=family)))
    until(lambda: hosts(proxy) == expected, f"{expected}")


@pytest.mark.parametrize("family", ["AUTO", "V4_PREFERRED"])
def test_the_other_family_is_used_where_the_first_is_missing(start, names, family):
    only = "127.0.0.1" if family == "AUTO" else "::1"
    names.set("up.test", only)
    proxy = start(to(found_by(names, "STRICT_DNS", "up.test", 80, dns_lookup_family=family)))
    until(lambda: hosts(proxy) == [only], only)


def test_what_does_not_fit_a_packet_comes_over_tcp(start, names):
    names.set("up.test", *(f"127.0.1.{n}" for n in range(1, 101)))
    names.truncating = True
    proxy = start(to(found_by(names, "STRICT_DNS", "up.test", 80)))
    until(lambda: len(hosts(proxy)) == 100, "all hundred addresses")


@pytest.mark.weft_only
def test_services_are_found_with_their_ports(start, http_upstream, names):
    first, second = http_upstream("first"), http_upstream("second")
    names.zone["_http._tcp.shop.test"] = [
        (SRV, (10, 1, first.port, "a.test"), 300),
        (SRV, (20, 1, second.port, "a.test"), 300),
    ]
    names.set("a.test", "127.0.0.1")
    proxy = start(to(found_by(names, "STRICT_DNS", "_http._tcp.shop.test", 0)))
    port = proxy.port()
    assert {http1.request(port).json()["upstream"] for _ in range(5)} == {"first"}
    names.zone["_http._tcp.shop.test"] = [(SRV, (20, 1, second.port, "a.test"), 300)]
    until(lambda: http1.request(port).json()["upstream"] == "second", "the other service")


def test_the_systems_resolver_knows_localhost(start, http_upstream):
    up = http_upstream("up")
    config = "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig"
    typed = {"name": "envoy.network.dns_resolver.getaddrinfo", "typed_config": {"@type": f"type.googleapis.com/{config}"}}
    made = cluster("up", type="STRICT_DNS", dns_lookup_family="V4_ONLY", typed_dns_resolver_config=typed)
    made["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": address(up.port, "localhost")}}]}]
    assert http1.request(start(to(made)).port()).status == 200


def test_the_hosts_file_comes_before_the_servers(start, http_upstream, names):
    up = http_upstream("up")
    proxy = start(to(found_by(names, "STRICT_DNS", "localhost", up.port)))
    assert http1.request(proxy.port()).status == 200
    assert names.count("localhost") == 0


def test_further_addresses_of_an_endpoint_are_tried(start, http_upstream):
    """Nobody listens at the first address; the second is tried as soon as that is known."""
    up = http_upstream("up")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        made = cluster("up", held.getsockname()[1])
        endpoint = made["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        endpoint["additional_addresses"] = [{"address": address(up.port)}]
        proxy = start(to(made))
        assert http1.request(proxy.port()).json()["upstream"] == "up"


def test_a_logical_name_with_both_families_is_reached_by_either(start, http_upstream, names):
    """The upstream listens on IPv4 only; IPv6 comes first and refuses."""
    up = http_upstream("up")
    names.set("up.test", "::1", "127.0.0.1")
    proxy = start(to(found_by(names, "LOGICAL_DNS", "up.test", up.port, dns_lookup_family="ALL")))
    assert http1.request(proxy.port()).status == 200


def test_requests_are_not_disturbed_by_names_that_change(start, http_upstream, names):
    up = http_upstream("up")
    names.set("up.test", "127.0.0.1")
    proxy = start(to(found_by(names, "STRICT_DNS", "up.test", up.port, dns_refresh_rate="0.002s")))
    with http1.Connection(proxy.port()) as connection:
        for number in range(500):
            names.set("up.test", "127.0.0.1") if number % 2 else names.set("up.test", "127.0.0.1", "127.0.0.1")
            assert connection.request("GET", "/").status == 200
