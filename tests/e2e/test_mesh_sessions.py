"""Stickiness in our own model: a client keeps its endpoint, and its version."""

import pytest

from harness import http1, mesh
from harness.control import ControlPlane, Sidecar
from harness.waiting import until

pytestmark = pytest.mark.weft_only


@pytest.fixture
def caller(tmp_path, processes, http_upstream):
    """Starts a sidecar that only calls, in a mesh with a catalog of four endpoints of two versions."""
    running = []
    ups = {f"up-{number}": http_upstream(f"up-{number}", body="") for number in range(4)}

    def make(*documents, protocol="http"):
        places = [(f"127.0.0.1:{up.port}", {"version": f"v{number % 2}"}) for number, up in enumerate(ups.values())]
        catalog = mesh.service("catalog", *places, registered=False, protocol=protocol)
        subsets = [mesh.subset(f"catalog-{version}", "catalog", version=version) for version in ("v0", "v1")]
        running.append(ControlPlane(tmp_path, [catalog, *subsets, *documents]))
        sidecar = Sidecar(tmp_path, running[0].__enter__(), name="caller")
        until(lambda: http1.request(sidecar.outbound, host="catalog").status == 200, "the catalog to be reached")
        return sidecar, ups

    yield make
    for control in running:
        control.__exit__(None, None, None)


def policy(**settings):
    target = {"targetRef": {"kind": "Service", "name": "catalog"}}
    return {"apiVersion": "weft.dev/v1", "kind": "TrafficPolicy", "metadata": {"name": "catalog"}, "spec": {**target, **settings}}


def answered(sidecar, *headers):
    return http1.request(sidecar.outbound, host="catalog", headers=list(headers))


def brought(answer):
    return ("cookie", answer.header("set-cookie").split(";")[0])


@pytest.mark.parametrize("balancer", ["RoundRobin", "LeastRequest", "PeakEWMA", "Random"])
def test_a_client_keeps_its_endpoint_by_a_cookie(caller, balancer):
    sidecar, ups = caller(policy(stickiness={"cookie": {"name": "at", "ttl": "1h"}}, loadBalancer={"policy": balancer}))
    first = answered(sidecar)
    assert first.header("set-cookie").startswith('at="')
    assert "; Max-Age=3600; Path=/; HttpOnly" in first.header("set-cookie")
    rest = [answered(sidecar, brought(first)) for _ in range(20)]
    assert {answer.header("x-upstream") for answer in rest} == {first.header("x-upstream")}
    ups[first.header("x-upstream")].stop()
    moved = answered(sidecar, brought(first))
    assert moved.status == 200
    assert moved.header("x-upstream") != first.header("x-upstream")
    assert answered(sidecar, brought(moved)).header("x-upstream") == moved.header("x-upstream")


def test_or_by_a_header(caller):
    sidecar, _ = caller(policy(stickiness={"header": "x-at"}))
    first = answered(sidecar)
    rest = [answered(sidecar, ("x-at", first.header("x-at"))) for _ in range(20)]
    assert {answer.header("x-upstream") for answer in rest} == {first.header("x-upstream")}


@pytest.mark.parametrize(("route", "protocol"), [(mesh.http_route, "http"), (mesh.grpc_route, "http2")])
def test_a_client_keeps_its_version(caller, route, protocol):
    """By a cookie that it is given with its first answer; its endpoints of that version take turns."""
    backends = [{"group": "weft.dev", "kind": "Subset", "name": f"catalog-{version}", "weight": 50} for version in ("v0", "v1")]
    rule = {"backendRefs": backends, "splitOn": [{"cookie": {"name": "version", "ttl": "0s", "path": "/"}}]}
    sidecar, _ = caller(route("catalog", "catalog", rule), protocol=protocol)
    versions = set()
    for _ in range(30):
        first = answered(sidecar)
        seen = {answered(sidecar, brought(first)).header("x-upstream") for _ in range(4)}
        version = {int(name[-1]) % 2 for name in seen | {first.header("x-upstream")}}
        assert len(version) == 1 and len(seen) == 2
        versions |= version
    assert versions == {0, 1}
