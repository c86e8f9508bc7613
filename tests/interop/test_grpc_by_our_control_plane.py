"""Real gRPC clients (grpcio and grpc-js, `xds:///`), no proxy at all, configured by our control plane."""

import collections

import pytest

from harness.control import GRPC_CLIENTS, ControlPlane, Registration, XdsClient
from harness.grpcs import Server as GrpcServer
from harness.mesh import http_route, rule, service, subset
from harness.waiting import until


@pytest.fixture
def backend():
    made = []

    def make(name):
        made.append(GrpcServer(name))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture(params=GRPC_CLIENTS)
def dial(request, tmp_path):
    """Opens a channel of either library to a name."""

    def open_channel(control, name):
        return XdsClient(tmp_path, control, f"xds:///{name}", library=request.param)

    return open_channel


@pytest.mark.parametrize("target", ["catalog", "catalog:80", "catalog.default", "catalog.default:80"])
def test_a_client_calls_a_service_by_name(control, backend, dial, target):
    control.put(service("catalog", backend("one").address, protocol="grpc"))
    with dial(control, target) as client:
        outcome = client.call(body="ping")
        assert (outcome["code"], outcome["body"], outcome["upstream"]) == ("OK", "ping", "one"), outcome


def test_registered_workloads_are_called_until_they_drain(control, backend, dial, tmp_path):
    one, two = backend("one"), backend("two")
    control.put(service("catalog", protocol="grpc"))
    first = Registration(tmp_path, control, "catalog", one.address, "i1")
    with dial(control, "catalog") as client:
        until(lambda: client.call()["upstream"] == "one", "the first workload")
        second = Registration(tmp_path, control, "catalog", two.address, "i2")
        until(lambda: client.call()["upstream"] == "two", "the second workload")
        first.drain()
        until(lambda: {client.call()["upstream"] for _ in range(6)} == {"two"}, "only the second")
        first.leave()
        second.leave()


def test_routes_split_the_calls_and_follow_changes(control, backend, dial):
    one, two = backend("one"), backend("two")
    control.put(
        service("catalog", (one.address, {"version": "v1"}), (two.address, {"version": "v2"}), protocol="grpc"),
        subset("v1", "catalog", version="v1"),
        subset("v2", "catalog", version="v2"),
        http_route("catalog", "catalog", rule(("v1", 100), ("v2", 0))),
    )
    with dial(control, "catalog") as client:
        assert {client.call()["upstream"] for _ in range(5)} == {"one"}
        control.put(http_route("catalog", "catalog", rule(("v1", 50), ("v2", 50))))
        until(lambda: client.call()["upstream"] == "two", "the second version")
        counts = collections.Counter(client.call()["upstream"] for _ in range(60))
        assert min(counts["one"], counts["two"]) >= 10, counts


def test_the_applications_own_refusal_arrives(control, backend, dial):
    control.put(service("catalog", backend("one").address, protocol="grpc"))
    with dial(control, "catalog") as client:
        metadata = [("x-refuse", "FAILED_PRECONDITION")]
        outcome = client.call("/weft.test.Echo/Refuse", metadata=metadata)
        assert (outcome["code"], outcome["details"]) == ("FAILED_PRECONDITION", "as asked")


def test_calls_go_on_while_the_control_plane_restarts(tmp_path, processes, backend, dial):
    one, two = backend("one"), backend("two")
    store = tmp_path / "store.db"
    with ControlPlane(tmp_path, store=store) as control:
        control.put(service("catalog", one.address, protocol="grpc"))
        client = dial(control, "catalog")
        assert client.call()["upstream"] == "one"
        xds = control.xds
    assert client.call()["upstream"] == "one"
    with ControlPlane(tmp_path, store=store, xds=xds) as control:
        control.put(service("catalog", two.address, protocol="grpc"))
        until(lambda: client.call()["upstream"] == "two", "the change after the restart", 40)
    client.stop()
