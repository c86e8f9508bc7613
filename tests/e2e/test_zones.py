"""Zone-aware routing: requests stay in their zone as far as it can carry them."""

import pytest

from harness import http1
from harness.config import bootstrap, cluster, endpoint, hcm, listener, route, routes, virtual_host

HERE, THERE = ({"region": "r", "zone": zone} for zone in ("here", "there"))
POLICIES = "type.googleapis.com/envoy.extensions.load_balancing_policies"


def group(locality, *ports):
    return {"locality": locality, "lb_endpoints": [endpoint(port) for port in ports]}


def spread(name, *groups, **more):
    made = cluster(name, **more)
    made["load_assignment"] = {"cluster_name": name, "endpoints": list(groups)}
    return made


@pytest.fixture
def place(start, http_upstream):
    """Starts a proxy in the zone `here` with so many peers, before so many endpoints, here and there."""

    def make(peers, endpoints, **more):
        ups = [[http_upstream(f"{zone}-{index}", body=zone) for index in range(count)] for zone, count in zip(("here", "there"), endpoints)]
        fleet = [[20_000 + 100 * at + index for index in range(count)] for at, count in enumerate(peers)]
        chosen = spread("up", *[group(at, *[up.port for up in some]) for at, some in zip((HERE, THERE), ups)], **more)
        own = spread("fleet", *[group(at, *ports) for at, ports in zip((HERE, THERE), fleet)])
        front = listener("main", hcm(routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up"})))))
        config = bootstrap([front], [own, chosen], cluster_manager={"local_cluster_name": "fleet"})
        config["node"]["locality"] = HERE
        return start(config)

    return make


def aware(**more):
    return {"common_lb_config": {"zone_aware_lb_config": {"min_cluster_size": 1, **more}}}


def stay(proxy, requests=200):
    return sum(http1.request(proxy.port()).body == b"here" for _ in range(requests)) / requests


def counted(proxy, name):
    return int(proxy.admin.stats().get(f"cluster.up.lb_zone_routing_{name}", 0))


@pytest.mark.parametrize(
    ("peers", "endpoints", "share"),
    [
        ((1, 1), (1, 1), (1.0, 1.0)),
        ((1, 3), (1, 1), (1.0, 1.0)),
        # A quarter of the endpoints for half of the requests: half of those stay.
        ((2, 2), (1, 3), (0.38, 0.62)),
        ((3, 1), (1, 2), (0.33, 0.57)),
        # Nobody knows where the peers are.
        ((0, 2), (1, 3), (0.15, 0.35)),
    ],
)
def test_requests_stay_in_their_zone_as_far_as_it_can_carry_them(place, peers, endpoints, share):
    proxy = place(peers, endpoints, **aware())
    least, most = share
    assert least <= stay(proxy) <= most
    if least == 1.0:
        assert counted(proxy, "all_directly") == 200
    elif peers[0]:
        assert counted(proxy, "sampled") + counted(proxy, "cross_zone") == 200


def test_a_share_of_the_requests_prefers_its_zone(place):
    proxy = place((1, 1), (1, 1), **aware(routing_enabled={"value": 50}))
    assert 0.63 <= stay(proxy) <= 0.87


def test_few_endpoints_are_all_alike(place):
    proxy = place((1, 1), (1, 1), **aware(min_cluster_size=3))
    assert 0.35 <= stay(proxy) <= 0.65


def test_a_zone_may_take_everything(place):
    zone = {"min_cluster_size": 1, "force_locality_direct_routing": True}
    typed = {"@type": f"{POLICIES}.round_robin.v3.RoundRobin", "locality_lb_config": {"zone_aware_lb_config": zone}}
    policy = {"policies": [{"typed_extension_config": {"name": "round_robin", "typed_config": typed}}]}
    proxy = place((3, 1), (1, 3), load_balancing_policy=policy)
    assert stay(proxy) == 1.0
