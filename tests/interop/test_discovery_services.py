"""Our control plane to whoever speaks the bare protocol: a service for each type, errors by name, and CSDS."""

import queue

import grpc
import pytest
from envoy.service.cluster.v3 import cds_pb2_grpc
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from envoy.service.endpoint.v3 import eds_pb2_grpc
from envoy.service.extension.v3 import config_discovery_pb2_grpc
from envoy.service.listener.v3 import lds_pb2_grpc
from envoy.service.route.v3 import rds_pb2_grpc, srds_pb2_grpc
from envoy.service.runtime.v3 import rtds_pb2_grpc
from envoy.service.secret.v3 import sds_pb2_grpc
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc
from google.protobuf import json_format

from harness.config import ads_bootstrap
from harness.control import ControlPlane, XdsClient
from harness.grpcs import Server as GrpcServer
from harness.management import CDS, EDS, LDS, RDS
from harness.mesh import service
from harness.proxy import Proxy
from harness.waiting import until

SERVED = {
    "cds": (cds_pb2_grpc.ClusterDiscoveryServiceStub, "Clusters", CDS),
    "eds": (eds_pb2_grpc.EndpointDiscoveryServiceStub, "Endpoints", EDS),
    "lds": (lds_pb2_grpc.ListenerDiscoveryServiceStub, "Listeners", LDS),
    "rds": (rds_pb2_grpc.RouteDiscoveryServiceStub, "Routes", RDS),
}
EMPTY = {
    "sds": (sds_pb2_grpc.SecretDiscoveryServiceStub, "Secrets"),
    "srds": (srds_pb2_grpc.ScopedRoutesDiscoveryServiceStub, "ScopedRoutes"),
    "ecds": (config_discovery_pb2_grpc.ExtensionConfigDiscoveryServiceStub, "ExtensionConfigs"),
    "rtds": (rtds_pb2_grpc.RuntimeDiscoveryServiceStub, "Runtime"),
}
NAMES = {"cds": [], "lds": [], "eds": ["catalog.default:80"], "rds": ["outbound"]}


@pytest.fixture
def control(tmp_path, processes, http_upstream):
    with ControlPlane(tmp_path, [service("catalog", http_upstream("up").address)]) as running:
        yield running


@pytest.fixture
def channel(control):
    with grpc.insecure_channel(control.xds) as made:
        yield made


def node(name="bare"):
    return json_format.ParseDict(
        {"id": name, "userAgentName": "test", "metadata": {"weft": {"outbound": "127.0.0.1:15001"}}},
        discovery_pb2.DiscoveryRequest().node,
    )


class Stream:
    """One stream of either variant."""

    def __init__(self, method, delta):
        self.delta = delta
        self._out = queue.Queue()
        self._answers = method(iter(self._out.get, None), timeout=20)

    def ask(self, names=(), type_url="", nonce="", name="bare", error=None):
        if self.delta:
            request = discovery_pb2.DeltaDiscoveryRequest(resource_names_subscribe=names)
        else:
            request = discovery_pb2.DiscoveryRequest(resource_names=names)
        request.node.CopyFrom(node(name))
        request.type_url, request.response_nonce = type_url, nonce
        if error:
            request.error_detail.message = error
        self._out.put(request)

    def hear(self):
        return next(self._answers)

    def close(self):
        self._out.put(None)
        self._answers.cancel()


def opened(channel, stub, what, delta):
    made = stub(channel)
    return Stream(getattr(made, ("Delta" if delta else "Stream") + what), delta)


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
@pytest.mark.parametrize("kind", SERVED)
def test_each_type_has_a_service(channel, kind, delta):
    stub, what, type_url = SERVED[kind]
    stream = opened(channel, stub, what, delta)
    # The service says the type; requests need not.
    stream.ask(NAMES[kind])
    answer = stream.hear()
    assert answer.type_url == type_url and len(answer.resources) == 1
    stream.ask(NAMES[kind], type_url="type.googleapis.com/some.other.Type")
    stream.close()


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
@pytest.mark.parametrize("kind", EMPTY)
def test_where_there_is_nothing_that_is_said_at_once(channel, kind, delta):
    stub, what = EMPTY[kind]
    stream = opened(channel, stub, what, delta)
    stream.ask(["missing"])
    answer = stream.hear()
    if delta:
        assert list(answer.removed_resources) == ["missing"]
    else:
        [error] = answer.resource_errors
        assert error.resource_name.name == "missing" and error.error_detail.code == 5
        assert "missing" in error.error_detail.message
    stream.close()


def test_a_name_that_appears_later_is_sent_then(channel, control, http_upstream):
    stub, what, _ = SERVED["eds"]
    stream = opened(channel, stub, what, False)
    stream.ask(["later.default:80"])
    missing = stream.hear()
    assert missing.resource_errors[0].resource_name.name == "later.default:80"
    stream.ask(["later.default:80"], nonce=missing.nonce)
    control.put(service("later", http_upstream("later").address))
    assert len(stream.hear().resources) == 1
    stream.close()


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_nothing_expires(channel, delta):
    for kind, (stub, what, _) in SERVED.items():
        stream = opened(channel, stub, what, delta)
        stream.ask(NAMES[kind])
        for resource in stream.hear().resources:
            if delta:
                assert not resource.HasField("ttl"), kind
            else:
                assert not resource.type_url.endswith("/envoy.service.discovery.v3.Resource"), kind
        stream.close()


def test_the_order_of_parameters_of_a_name_does_not_count(channel):
    """Told once that there is no such resource, a client that asks by the other order is asking for the same."""
    stub, what, _ = SERVED["eds"]
    one, other = (f"xdstp://mesh/envoy.config.endpoint.v3.ClusterLoadAssignment/x?{order}" for order in ("a=1&b=2", "b=2&a=1"))
    for name in (one, other):
        stream = opened(channel, stub, what, True)
        stream.ask([name])
        assert list(stream.hear().removed_resources) == [one]
        stream.close()


class Status:
    """CSDS of the control plane."""

    def __init__(self, channel):
        self._stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel)

    def of(self, name, **request):
        matcher = {"nodeMatchers": [{"nodeId": {"exact": name}}], **request}
        message = json_format.ParseDict(matcher, csds_pb2.ClientStatusRequest())
        configs = self._stub.FetchClientStatus(message, timeout=10).config
        assert all(config.node.id == name for config in configs)
        return {(each.type_url, each.name): each for config in configs for each in config.generic_xds_configs}

    def state(self, name, type_url, resource):
        config = self.of(name).get((type_url, resource))
        return config and csds_pb2.ConfigStatus.Name(config.config_status)


@pytest.mark.parametrize("kind", ["weft", "envoy", "envoy-older"])
@pytest.mark.parametrize("mode", ["sotw", "delta"])
def test_csds_shows_what_a_proxy_has(channel, control, kind, mode, tmp_path):
    config = ads_bootstrap(control.xds_port, mode, node="seen", metadata={"weft": {"outbound": "127.0.0.1:0"}})
    Proxy(kind, config, tmp_path, name="sidecar").wait_until_ready()
    status = Status(channel)
    for type_url, name in [(CDS, "catalog.default:80"), (EDS, "catalog.default:80"), (LDS, "outbound"), (RDS, "outbound")]:
        until(lambda: status.state("seen", type_url, name) == "SYNCED", f"{name} to be synced")
        shown = status.of("seen")[type_url, name]
        assert shown.version_info and shown.xds_config.type_url == type_url and shown.xds_config.value
    without = status.of("seen", excludeResourceContents=True)
    assert without and not any(each.HasField("xds_config") for each in without.values())


def test_csds_shows_what_a_client_refuses_and_the_status_api_too(channel, control):
    stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
    stream = Stream(stub.DeltaAggregatedResources, True)
    stream.ask(NAMES["eds"], EDS, name="picky")
    answer = stream.hear()
    status = Status(channel)
    assert status.state("picky", EDS, NAMES["eds"][0]) == "STALE", "no verdict so far"
    stream.ask((), EDS, answer.nonce, error="not for me")
    until(lambda: status.state("picky", EDS, NAMES["eds"][0]) == "ERROR", "the refusal")
    error = status.of("picky")[EDS, NAMES["eds"][0]].error_state
    assert error.details == "not for me" and error.version_info
    [proxy] = [each for each in control.proxies() if each["node"] == "picky"]
    [held] = proxy["quarantined"]
    assert (held["type"], held["name"], held["reason"]) == ("EDS", NAMES["eds"][0], "not for me")
    stream.close()


def test_csds_shows_a_grpc_client(channel, control, tmp_path):
    with GrpcServer("one") as up:
        control.put(service("echo", up.address, protocol="grpc"))
        with XdsClient(tmp_path, control, "xds:///echo", name="grpc-seen") as client:
            assert client.call()["code"] == "OK"
            status = Status(channel)
            until(lambda: status.state("grpc-seen", LDS, "echo") == "SYNCED", "the listener to be synced")


def test_a_question_that_makes_no_sense_is_refused(channel):
    matcher = {"nodeMatchers": [{"nodeId": {"safeRegex": {"regex": "("}}}]}
    stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.FetchClientStatus(json_format.ParseDict(matcher, csds_pb2.ClientStatusRequest()), timeout=10)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
