"""What a cluster says of its name servers, and of when they are asked, is done."""

import time

import pytest

from harness import http1
from harness.config import address, bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.dns import NameServer
from harness.waiting import until

EXTENSIONS = "type.googleapis.com/envoy.extensions"


@pytest.fixture
def names():
    with NameServer() as server:
        yield server


def servers(*list_of_servers):
    return [{"socket_address": {"address": "127.0.0.1", "port_value": server.port}} for server in list_of_servers]


def cares(*asked, **more):
    kind = f"{EXTENSIONS}.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
    return {"name": "envoy.network.dns_resolver.cares", "typed_config": {"@type": kind, "resolvers": servers(*asked), **more}}


def hickory(*asked, **more):
    kind = f"{EXTENSIONS}.network.dns_resolver.hickory.v3.HickoryDnsResolverConfig"
    return {"name": "envoy.network.dns_resolver.hickory", "typed_config": {"@type": kind, "resolvers": servers(*asked), **more}}


def by_type(resolver, **more):
    """A STRICT_DNS cluster."""
    return {"type": "STRICT_DNS", "dns_lookup_family": "V4_ONLY", "typed_dns_resolver_config": resolver, **more}


def by_extension(resolver, **more):
    """The same as an extension."""
    settings = {"dns_lookup_family": "V4_ONLY", "typed_dns_resolver_config": resolver, **more}
    typed = {"@type": f"{EXTENSIONS}.clusters.dns.v3.DnsCluster", **settings}
    return {"cluster_type": {"name": "envoy.clusters.dns", "typed_config": typed}}


FORMS = {"type": by_type, "extension": by_extension}


def world(port, found):
    made = cluster("up", **found)
    if "cluster_type" in found:
        del made["type"]
    made["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": address(port, "up.test")}}]}]
    main = routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up"})))
    return bootstrap([listener("main", hcm(main))], [made])


@pytest.mark.parametrize("form", FORMS)
def test_failures_are_asked_about_again_at_a_rate_of_their_own(start, http_upstream, names, form):
    up = http_upstream("up")
    names.set("up.test", "127.0.0.1")
    names.failing = True
    rates = {"dns_refresh_rate": "600s", "dns_failure_refresh_rate": {"base_interval": "0.01s", "max_interval": "0.05s"}}
    proxy = start(world(up.port, FORMS[form](cares(names), **rates)))
    until(lambda: proxy.admin.stats()["cluster.up.update_failure"] >= 3, "failures one after the other")
    names.failing = False
    until(lambda: http1.request(proxy.port()).status == 200, "the name to lead somewhere")
    asked = names.count("up.test")
    before = proxy.admin.stats()["cluster.up.update_attempt"]
    assert http1.request(proxy.port()).status == 200
    assert (names.count("up.test"), proxy.admin.stats()["cluster.up.update_attempt"]) == (asked, before), "no more"


@pytest.mark.parametrize("form", FORMS)
def test_answers_are_asked_for_again_at_the_rate(start, http_upstream, names, form):
    up = http_upstream("up")
    names.set("up.test", "127.0.0.1", ttl=3600)
    start(world(up.port, FORMS[form](cares(names), dns_refresh_rate="0.02s")))
    until(lambda: names.count("up.test") >= 5, "lookups one after the other")


@pytest.mark.weft_only
@pytest.mark.parametrize("jitter, times", [("0s", 30), ("600s", 1)], ids=["without", "with"])
def test_lookups_come_later_by_chance(start, http_upstream, names, jitter, times):
    """Ten minutes at most, of which less than a second comes up once in six hundred times."""
    up, other = http_upstream("up"), NameServer()
    with other:
        for server in (names, other):
            server.set("up.test", "127.0.0.1")
        made = world(up.port, by_type(cares(names), dns_refresh_rate="0.02s", dns_jitter=jitter))
        beside = cluster("often", **by_type(cares(other), dns_refresh_rate="0.02s"))
        beside["load_assignment"] = {**made["static_resources"]["clusters"][0]["load_assignment"], "cluster_name": "often"}
        made["static_resources"]["clusters"].append(beside)
        start(made)
        until(lambda: other.count("up.test") >= 40, "lookups of the cluster beside it")
        assert names.count("up.test") <= 2 if times == 1 else names.count("up.test") >= times


@pytest.mark.weft_only
@pytest.mark.parametrize(
    "resolver, seconds",
    [
        (lambda server: cares(server, query_timeout_seconds=1, query_tries=2), 2.0),
        (lambda server: hickory(server, query_timeout="0.3s", query_tries=3), 0.9),
        (lambda server: hickory(server, query_timeout="0.3s", query_tries=1), 0.3),
    ],
    ids=["twice-1s", "thrice-0.3s", "once-0.3s"],
)
def test_a_silent_server_is_waited_for_as_long_as_configured(start, http_upstream, names, resolver, seconds):
    """Times the tries; neither the defaults nor one setting alone come to that."""
    names.silent = True
    proxy = start(world(http_upstream("up").port, by_type(resolver(names), dns_refresh_rate="600s")), wait=False)
    until(lambda: names.asked, "the first query")
    begun = time.monotonic()
    until(lambda: proxy.admin.stats().get("cluster.up.update_failure") == 1, "the lookup to fail")
    assert seconds * 0.9 <= time.monotonic() - begun < seconds + 3


@pytest.mark.parametrize("rotates", [True, False])
@pytest.mark.weft_only
def test_servers_take_turns_where_asked_to(start, http_upstream, names, rotates):
    """The first two are asked at once, so that one that is silent costs nothing."""
    up = http_upstream("up")
    with NameServer() as second, NameServer() as third:
        for server in (names, second, third):
            server.set("up.test", "127.0.0.1")
        asked = cares(names, second, third, rotate_nameservers=rotates)
        start(world(up.port, by_type(asked, dns_refresh_rate="0.02s")))
        until(lambda: names.count("up.test") >= 20, "lookups at the first")
        assert (third.count("up.test") > 5) == rotates


def test_the_servers_of_the_other_resolver_are_asked(start, http_upstream, names):
    up = http_upstream("up")
    names.set("up.test", "127.0.0.1")
    proxy = start(world(up.port, by_type(hickory(names))))
    assert http1.request(proxy.port()).json()["upstream"] == "up"
