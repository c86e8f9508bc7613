"""Zone-aware routing: as many requests stay in the zone as with Envoy, and in the same places."""

from collections import Counter
from contextlib import ExitStack

import pytest

from differential.balancing import policy
from harness import http1
from harness.config import bootstrap, cluster, endpoint, hcm, listener, route, routes, virtual_host
from harness.proxy import Proxy
from harness.upstream import Http

HERE, THERE, BEYOND = ({"region": "r", "zone": zone} for zone in ("here", "there", "beyond"))
REQUESTS = 400
# Seven standard deviations of a difference between two shares of a half of that many.
TOLERANCE = 7 * (2 * 0.25 / REQUESTS) ** 0.5


def group(locality, ports):
    return {"locality": locality, "lb_endpoints": [endpoint(port) for port in ports]}


def spread(name, counts, ports, **more):
    """A cluster with so many endpoints here, there and beyond, of those that are there."""
    made = cluster(name, **more)
    groups = [group(at, some[:count]) for at, count, some in zip((HERE, THERE, BEYOND), counts, ports) if count]
    made["load_assignment"] = {"cluster_name": name, "endpoints": groups}
    return made


def aware(**more):
    return {"common_lb_config": {"zone_aware_lb_config": {"min_cluster_size": 1, **more}}}


LEAST = {"lb_policy": "LEAST_REQUEST"}
# The peers by zone, the endpoints by zone, and what the cluster says.
CASES = {
    "alike": ((1, 1), (1, 1), aware()),
    "fewer peers here": ((1, 3), (1, 1), aware()),
    "fewer endpoints here": ((2, 2), (1, 3), aware()),
    "most peers here": ((3, 1), (1, 2), aware()),
    "three zones": ((2, 1, 1), (1, 2, 1), aware()),
    "a zone without peers": ((1, 0), (1, 2), aware()),
    "nobody here": ((1, 1), (0, 3), aware()),
    "no peers here": ((0, 2), (1, 3), aware()),
    "too few": ((1, 1), (1, 1), aware(min_cluster_size=3)),
    "for a part": ((1, 1), (1, 1), aware(routing_enabled={"value": 50})),
    "by load": ((2, 2), (1, 3), {**aware(), **LEAST}),
    "by chance": ((2, 2), (1, 3), {**aware(), "lb_policy": "RANDOM"}),
    "by extension": (
        (2, 2),
        (1, 3),
        policy("round_robin", "RoundRobin", locality_lb_config={"zone_aware_lb_config": {"min_cluster_size": 1}}),
    ),
}


@pytest.fixture(scope="module")
def ups():
    """Three upstreams in each zone, which say where they are."""
    with ExitStack() as enter:
        made = [[enter.enter_context(Http(at["zone"], body="")) for _ in range(3)] for at in (HERE, THERE, BEYOND)]
        yield [[up.port for up in some] for some in made]


def world(case, ups):
    peers, endpoints, more = CASES[case]
    fleet = [[20_000 + 100 * at + index for index in range(count)] for at, count in enumerate(peers)]
    front = listener("main", hcm(routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up"})))))
    clusters = [spread("fleet", peers, fleet), spread("up", endpoints, ups, **more)]
    made = bootstrap([front], clusters, cluster_manager={"local_cluster_name": "fleet"})
    made["node"]["locality"] = HERE
    return made


@pytest.mark.parametrize("case", CASES)
def test_as_many_requests_stay_in_the_zone(proxy_kind, ups, case, tmp_path):
    shares = []
    for name, kind in (("reference", "envoy"), ("tested", proxy_kind)):
        with Proxy(kind, world(case, ups), tmp_path, name=name) as proxy, http1.Connection(proxy.port()) as client:
            seen = Counter(client.request("GET", "/").header("x-upstream") for _ in range(REQUESTS))
            shares.append({zone: count / REQUESTS for zone, count in seen.items()})
    envoy, weft = shares
    assert weft.keys() == envoy.keys()
    different = {zone: (envoy[zone], weft[zone]) for zone in envoy if abs(envoy[zone] - weft[zone]) > TOLERANCE}
    assert not different
