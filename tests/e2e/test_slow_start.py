"""Slow start: endpoints that are new take less at first."""

import time

import pytest

from harness import http1
from harness.config import ads_bootstrap, assignment, eds_cluster, hcm, listener, route, routes, virtual_host
from harness.management import ManagementServer
from harness.waiting import until

POLICIES = "type.googleapis.com/envoy.extensions.load_balancing_policies"
WINDOW = 5


def extension(name, message, config):
    typed = {"@type": f"{POLICIES}.{name}.v3.{message}", "slow_start_config": config}
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": name, "typed_config": typed}}]}}


def by(kind, config):
    return {
        "round robin": {"round_robin_lb_config": {"slow_start_config": config}},
        "least request": {"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"slow_start_config": config}},
        "round robin by extension": extension("round_robin", "RoundRobin", config),
        "least request by extension": extension("least_request", "LeastRequest", config),
    }[kind]


@pytest.fixture
def mesh(start, http_upstream):
    """Starts a proxy with some endpoints, to which others can be added."""
    ups = [http_upstream(f"up-{index}", body=f"up-{index}") for index in range(3)]
    with ManagementServer() as server:

        def serve(*chosen):
            server.put(assignments=[assignment("up", *[up.port for up in chosen])])

        def make(config, first=2):
            main = routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up"})))
            server.put(clusters=[eds_cluster("up", **config)], listeners=[listener("main", hcm(main))])
            serve(*ups[:first])
            return start(ads_bootstrap(server.port)), ups, serve

        yield make


def taken(proxy, requests):
    bodies = [http1.request(proxy.port()).body.decode() for _ in range(requests)]
    return {name: bodies.count(name) for name in ("up-0", "up-1", "up-2")}


@pytest.mark.parametrize(
    "kind",
    ["round robin", "least request", "round robin by extension", "least request by extension"],
)
def test_a_new_endpoint_takes_less_at_first(mesh, kind):
    proxy, ups, serve = mesh(by(kind, {"slow_start_window": f"{WINDOW}s", "min_weight_percent": {"value": 5}}))
    assert taken(proxy, 20)["up-2"] == 0
    # The first two begin together; it is time alone that makes them old.
    old = time.monotonic() + WINDOW + 0.5
    until(lambda: time.monotonic() >= old, "the end of their slow start", deadline=WINDOW * 3)
    serve(*ups)
    shares = until(lambda: (got := taken(proxy, 60))["up-2"] and got, "the third one")
    assert shares["up-2"] < 15
    until(lambda: taken(proxy, 60)["up-2"] >= 15, "a whole part", deadline=60)


def test_it_ends(mesh):
    proxy, ups, serve = mesh(by("round robin", {"slow_start_window": "0.5s"}))
    serve(*ups)
    until(lambda: taken(proxy, 60)["up-2"] >= 18, "a whole part")
