"""What a TrafficPolicy says of dropped requests, and of endpoints that are not well is done by a real
Envoy, old and new, and by our proxy alike."""

import collections

import pytest

from harness import http1, mesh
from harness.config import ads_bootstrap
from harness.proxy import Proxy
from harness.waiting import until


@pytest.fixture(params=["envoy", "envoy-older", "weft"])
def sidecar(request, control, tmp_path, processes):
    """A sidecar that was told these documents, of which one is the Service `app`."""

    def start(*documents):
        control.put(*documents)
        config = ads_bootstrap(control.xds_port, "delta", metadata={"weft": {"outbound": "127.0.0.1:0"}})
        started = Proxy(request.param, config, tmp_path, name="sidecar")
        until(lambda: "app.default" in started.admin.get("/config_dump").text, "the routes to arrive")
        return started

    return start


def answers(sidecar, times):
    port = sidecar.port("outbound")
    return collections.Counter(http1.request(port, host="app").status for _ in range(times))


@pytest.mark.parametrize("source", ["written down", "found by name"])
def test_a_share_is_dropped(sidecar, http_upstream, source):
    app = http_upstream("app")
    service = mesh.service("app", app.address)
    if source == "found by name":
        service["spec"]["endpoints"] = [{"dns": {"host": "localhost", "port": app.port}}]
    told = sidecar(service, mesh.traffic_policy("app", "app", drop={"percent": 40}))
    until(lambda: answers(told, 1)[200], "the Service")
    found = answers(told, 400)
    assert set(found) == {200, 503}
    assert 110 <= found[503] <= 210, found  # five deviations from 160


def well(up, *others, panic):
    """One endpoint that is well among others that are not, and how it is found out."""
    check = {"tcp": {}, "interval": "100ms", "healthyThreshold": 1, "unhealthyThreshold": 1}
    policy = mesh.traffic_policy("app", "app", healthCheck=check, loadBalancer={"panicThreshold": panic})
    return mesh.service("app", up.address, *others), policy


def test_those_that_are_well_take_everything(sidecar, http_upstream):
    told = sidecar(*well(http_upstream("app"), "127.0.0.1:1", "127.0.0.1:2", panic=0))
    until(lambda: answers(told, 20) == {200: 20}, "the others to be left alone")
    assert answers(told, 60) == {200: 60}
    assert panics(told) == 0


def test_all_are_asked_when_too_few_are_well(sidecar, http_upstream):
    """A third is fewer than half, so none is left alone."""
    told = sidecar(*well(http_upstream("app"), "127.0.0.1:1", "127.0.0.1:2", panic=50))
    until(lambda: answers(told, 1)[200], "the Service")
    before = panics(told)
    answers(told, 20)
    assert panics(told) >= before + 20


def panics(sidecar):
    """How often the Service was in panic; Envoy writes names of statistics without colons."""
    counts = sidecar.admin.stats().items()
    return next(count for name, count in counts if name.startswith("cluster.app.default") and name.endswith(".lb_healthy_panic"))
