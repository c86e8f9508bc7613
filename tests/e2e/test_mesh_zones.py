"""Zones in our own model: requests stay in theirs by default, spill what it cannot carry, and bytes beyond it are counted."""

from collections import Counter

import pytest

from harness import http1, mesh
from harness.control import ControlPlane, Sidecar
from harness.waiting import until

pytestmark = pytest.mark.weft_only

CLUSTER = "cluster.catalog.default:80"


@pytest.fixture
def shop(tmp_path, processes, http_upstream):
    """Starts a catalog in each of two zones, and a storefront for each zone that is named; the first one's sidecar."""
    running = []

    def make(storefronts, *documents):
        running.append(ControlPlane(tmp_path, [mesh.service("catalog"), mesh.service("storefront"), *documents]))
        control = running[0].__enter__()

        def instance(service, number, zone):
            app = http_upstream(f"{service}-{zone}", body=zone)
            name = f"{service}-{number}"
            return Sidecar(tmp_path, control, service, app.port, name=name, arguments=["--instance", name, "--zone", zone])

        for number, zone in enumerate("ab"):
            instance("catalog", number, zone)
        caller, *_ = [instance("storefront", number, zone) for number, zone in enumerate(storefronts)]

        def knows_all():
            stats = caller.admin.stats()
            told = [stats.get(f"{name}.membership_healthy") for name in (CLUSTER, "cluster.peers")]
            return told == [2, len(storefronts)]

        until(knows_all, "the sidecar to know of its peers and of the catalog")
        return caller

    yield make
    for control in running:
        control.__exit__(None, None, None)


def answers(caller, requests=200):
    with http1.Connection(caller.outbound) as client:
        return Counter(client.request("GET", "/", host="catalog").body.decode() for _ in range(requests))


def moved(caller, direction, which):
    return caller.admin.stats()[f"{CLUSTER}.upstream_cx_{direction}_bytes_{which}_zone"]


def test_requests_stay_in_their_zone_and_no_byte_leaves_it(shop):
    caller = shop("ab")
    assert answers(caller) == {"a": 200}
    # A request and its answer have more than a hundred bytes each.
    assert min(moved(caller, "tx", "same"), moved(caller, "rx", "same")) > 200 * 100
    assert moved(caller, "tx", "cross") == moved(caller, "rx", "cross") == 0


def test_only_what_a_zone_cannot_carry_leaves_it(shop):
    """Two of three storefronts are here, and half of the catalog: a quarter of the requests is too much."""
    caller = shop("aab")
    seen = answers(caller, 400)
    # Six standard deviations around a quarter.
    assert 48 <= seen["b"] <= 152
    assert moved(caller, "rx", "cross") > seen["b"] * 100
    assert moved(caller, "tx", "same") > seen["a"] * 100


def policy(**balancer):
    spec = {"targetRef": {"kind": "Service", "name": "catalog"}, "loadBalancer": balancer}
    return {"apiVersion": "weft.dev/v1", "kind": "TrafficPolicy", "metadata": {"name": "catalog"}, "spec": spec}


def test_zones_may_mean_nothing(shop):
    assert answers(shop("ab", policy(zones="Any"))) == {"a": 100, "b": 100}


def test_zones_may_have_weights(shop):
    seen = answers(shop("ab", policy(zoneWeights=[{"zone": "b", "weight": 3}])))
    assert abs(seen["a"] - 50) <= 4 and abs(seen["b"] - 150) <= 4, seen
