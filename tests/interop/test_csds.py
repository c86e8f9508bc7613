"""CSDS on the admin port, asked by grpcio: what the proxy says of each resource it subscribed to."""

import grpc
import pytest
from envoy.admin.v3 import config_dump_shared_pb2
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc
from google.protobuf.json_format import ParseDict

from harness import http1
from harness.config import ads_bootstrap, assignment, eds_cluster, hcm, listener, route, routes, virtual_host
from harness.management import CDS, EDS, LDS, MESSAGES, RDS
from harness.waiting import until

pytestmark = pytest.mark.weft_only


@pytest.fixture
def driven(start, server, mode):
    def launch(metadata=None):
        return start(ads_bootstrap(server.port, mode, metadata=metadata), wait=False)

    return launch


def put_world(server, port):
    server.put(
        clusters=[eds_cluster("up")],
        assignments=[assignment("up", port)],
        listeners=[listener("main", hcm(rds="main"))],
        routes=[routes("main", virtual_host("all", ["*"], route("/", "up")))],
    )


class Client:
    """A caller of the service; `ask` sees each resource as (state, the rest)."""

    def __init__(self, proxy, host="127.0.0.1"):
        self.channel = grpc.insecure_channel(
            f"{host}:{proxy.admin.port}", options=[("grpc.enable_http_proxy", 0)]
        )
        self.stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(self.channel)

    def fetch(self, **request):
        return self.stub.FetchClientStatus(ParseDict(request, csds_pb2.ClientStatusRequest()), timeout=10)

    def configs(self, **request):
        (config,) = self.fetch(**request).config
        return {(each.type_url, each.name): each for each in config.generic_xds_configs}

    def state(self, type_url, name):
        config = self.configs().get((type_url, name))
        return config and config_dump_shared_pb2.ClientResourceStatus.Name(config.client_status)

    def until(self, type_url, name, state):
        until(lambda: self.state(type_url, name) == state, f"{name} to be {state}")
        return self.configs()[type_url, name]


def test_everything_accepted_is_shown_with_its_content(driven, server, http_upstream):
    put_world(server, http_upstream("up").port)
    proxy = driven()
    proxy.wait_until_ready()
    client = Client(proxy)
    server.wait_settled(CDS, EDS, LDS, RDS)
    for type_url, name in [(CDS, "up"), (EDS, "up"), (LDS, "main"), (RDS, "main")]:
        shown = client.until(type_url, name, "ACKED")
        assert shown.version_info == "1"
        assert shown.last_updated.seconds > 1_700_000_000
        assert not shown.HasField("error_state") and not shown.is_static_resource
        message = MESSAGES[type_url]()
        assert shown.xds_config.Unpack(message)
        assert getattr(message, "cluster_name" if type_url == EDS else "name") == name
    static = client.configs()[CDS, "xds"]
    assert static.is_static_resource and static.HasField("xds_config")
    assert not any(each.HasField("xds_config") for each in client.configs(exclude_resource_contents=True).values())


def test_a_refused_resource_is_shown_with_the_reason(driven, server, http_upstream):
    put_world(server, http_upstream("up").port)
    proxy = driven()
    proxy.wait_until_ready()
    server.put(clusters=[{**eds_cluster("up"), "connect_timeout": "0s"}])
    server.wait_nack(CDS)
    shown = Client(proxy).until(CDS, "up", "NACKED")
    assert shown.version_info == "1", "the last good version is in use"
    error = shown.error_state
    assert "connect_timeout" in error.details and error.version_info == "2"
    assert error.last_update_attempt.seconds > 1_700_000_000
    failed = MESSAGES[CDS]()
    assert error.failed_configuration.Unpack(failed) and failed.connect_timeout.seconds == 0


def test_what_does_not_come_is_requested_and_then_given_up(driven, server):
    slow = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "2s"}
    server.mute(RDS)
    server.put(listeners=[listener("main", hcm(rds="main", source=slow))])
    proxy = driven()
    client = Client(proxy)
    client.until(RDS, "main", "REQUESTED")
    client.until(RDS, "main", "TIMEOUT")
    assert http1.request(proxy.port()).status == 404


def test_what_the_server_does_not_have_does_not_exist(driven, server, mode):
    server.put(clusters=[eds_cluster("up")])
    if mode == "delta":
        server.remove_unknown(EDS, "up")
        state = "DOES_NOT_EXIST"
    else:
        server.error(EDS, "up", "no such service")
        state = "RECEIVED_ERROR"
    proxy = driven()
    shown = Client(proxy).until(EDS, "up", state)
    if mode == "sotw":
        assert shown.error_state.details == "no such service"


def test_a_stream_is_answered_again_and_again(driven, server, http_upstream):
    put_world(server, http_upstream("up").port)
    proxy = driven()
    proxy.wait_until_ready()
    requests = iter([csds_pb2.ClientStatusRequest()] * 3)
    answers = list(Client(proxy).stub.StreamClientStatus(requests, timeout=10))
    assert len(answers) == 3 and all(answer.config[0].node.id == "test" for answer in answers)


def test_only_the_node_that_is_meant_answers(driven, server):
    proxy = driven(metadata={"team": "cart"})
    client = Client(proxy)
    team = {"path": [{"key": "team"}], "value": {"string_match": {"exact": "cart"}}}
    for matcher, meant in [
        ({"node_id": {"exact": "test"}}, True),
        ({"node_id": {"prefix": "other"}}, False),
        ({"node_id": {"exact": "test"}, "node_metadatas": [team]}, True),
        ({"node_id": {"exact": "other"}, "node_metadatas": [team]}, False),
    ]:
        assert bool(client.fetch(node_matchers=[matcher]).config) == meant, matcher
    with pytest.raises(grpc.RpcError) as caught:
        client.fetch(node_matchers=[{"node_id": {"safe_regex": {"regex": "("}}}])
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_web_page_cannot_call_it(driven, server):
    proxy = driven()
    path = "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus"
    body = b"\0\0\0\0\0"
    grpc_type = ("content-type", "application/grpc")

    def post(*headers, host="localhost"):
        return http1.request(proxy.admin.port, "POST", path, [*headers, ("connection", "close")], body, host=host)

    assert post(grpc_type, host="evil.example").status == 403
    assert post(grpc_type, ("origin", "https://evil.example")).status == 403
    assert post(("content-type", "text/plain")).status == 415
    with grpc.insecure_channel(
        f"127.0.0.1:{proxy.admin.port}",
        options=[("grpc.default_authority", "evil.example"), ("grpc.enable_http_proxy", 0)],
    ) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel).FetchClientStatus(
                csds_pb2.ClientStatusRequest(), timeout=10
            )
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
