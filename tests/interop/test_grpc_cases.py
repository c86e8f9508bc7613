"""gRPC's interoperability cases with grpcio as client and as server, and our proxy between them."""

import queue

import grpc
import pytest

from harness import grpc_cases, mesh, process
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.control import ControlPlane, Sidecar
from harness.grpc_cases import INITIAL, TRAILING, pack, payload, unpack
from harness.proxy import Proxy
from harness.waiting import until

LARGE = (271_828, 314_159)
REQUESTS = (27_182, 8, 1_828, 45_904)
RESPONSES = (31_415, 9, 2_653, 58_979)


@pytest.fixture(scope="module", params=["static", "mesh"])
def place(request, proxy_kind, tmp_path_factory):
    """Through one proxy with a bootstrap, or through two sidecars that our control plane configures."""
    before = list(process.LIVE)
    with grpc_cases.Server() as server:
        where, authority = PLACES[request.param](server.port, tmp_path_factory.mktemp("place"), proxy_kind)
        yield server, where, authority
    for child in [c for c in process.LIVE if c not in before]:
        child.stop()


@pytest.fixture
def server(place):
    return place[0]


@pytest.fixture
def client(place):
    with grpc_cases.Client(*place[1:]) as made:
        yield made


def static(port, directory, kind, name="proxy"):
    host = virtual_host("all", ["*"], route("/", {"cluster": "up", "timeout": "0s"}))
    made = bootstrap([listener("main", hcm(routes("main", host)))], [cluster("up", port, http2=True)])
    return Proxy(kind, made, directory, name=name).port(), None


def by_control_plane(port, directory, kind):
    if kind != "weft":
        pytest.skip("sidecars are ours alone")
    documents = [mesh.service("interop", protocol="grpc"), mesh.service("client")]
    control = ControlPlane(directory, documents)
    Sidecar(directory, control, "interop", port, name="serving")
    caller = Sidecar(directory, control, "client", name="calling")
    until(lambda: control.workloads(), "the workload")

    def reachable():
        with grpc_cases.Client(caller.outbound, "interop") as probe:
            try:
                return probe.call("Empty", "unary_unary", b"") == b""
            except grpc.RpcError:
                return False

    until(reachable, "a first call to get through", 30)
    return caller.outbound, "interop"


PLACES = {"static": static, "mesh": by_control_plane}


def refused(call):
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value


def test_empty_unary(client):
    assert client.call("Empty", "unary_unary", b"") == b""


def test_large_unary(client):
    asked, wanted = LARGE
    answer, _ = client.unary({"payload": payload(asked), "size": wanted})
    assert (answer["got"], len(answer["payload"])) == (asked, wanted)


def test_client_streaming(client):
    sent = (pack(payload=payload(size)) for size in REQUESTS)
    assert unpack(client.call("Sum", "stream_unary", sent)) == {"total": sum(REQUESTS)}


def test_server_streaming(client):
    got = client.call("Sizes", "unary_stream", pack(sizes=RESPONSES))
    assert [len(unpack(data)["payload"]) for data in got] == list(RESPONSES)


def test_ping_pong(client):
    """Each message goes only after the answer to the one before: nothing may be held back."""
    out = queue.Queue()
    answers = client.call("Duplex", "stream_stream", iter(out.get, None))
    for asked, wanted in zip(REQUESTS, RESPONSES, strict=True):
        out.put(pack(payload=payload(asked), size=wanted))
        answer = unpack(next(answers))
        assert (answer["got"], len(answer["payload"])) == (asked, wanted)
    out.put(None)
    assert list(answers) == []
    assert answers.code() is grpc.StatusCode.OK


def test_both_sides_stream_at_once(client):
    sent = (pack(payload=payload(1000), size=1000) for _ in range(200))
    got = client.call("Duplex", "stream_stream", sent)
    assert sum(len(unpack(data)["payload"]) for data in got) == 200_000


def test_empty_stream(client):
    answers = client.call("Duplex", "stream_stream", iter(()))
    assert list(answers) == []
    assert answers.code() is grpc.StatusCode.OK


def test_cancel_after_begin(client, server):
    out = queue.Queue()
    call = client.channel.stream_unary(grpc_cases.PREFIX + "Sum").future(iter(out.get, None))
    call.cancel()
    out.put(None)
    assert call.code() is grpc.StatusCode.CANCELLED


def test_cancel_after_first_response_reaches_the_server(client, server):
    out = queue.Queue()
    mark = (("x-call", "cancel"),)
    answers = client.call("Duplex", "stream_stream", iter(out.get, None), metadata=mark)
    out.put(pack(payload=payload(REQUESTS[0]), size=RESPONSES[0]))
    next(answers)
    answers.cancel()
    assert answers.code() is grpc.StatusCode.CANCELLED
    until(lambda: "cancel" in server.service.cancelled, "the server to be told")
    out.put(None)


def test_timeout_on_a_sleeping_server(client, server):
    mark = (("x-call", "timeout"),)
    error = refused(lambda: client.call("Unary", "unary_unary", pack(sleep=True), timeout=0.3, metadata=mark))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    until(lambda: "timeout" in server.service.cancelled, "the server to be told")


def test_status_code_and_message(client):
    error = refused(lambda: client.unary({"status": (2, "test status message")}))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, "test status message")
    answers = client.call("Duplex", "stream_stream", iter([pack(status=(2, "test status message"))]))
    error = refused(lambda: list(answers))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, "test status message")


def test_every_status_code(client):
    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue
        error = refused(lambda code=code: client.unary({"status": (code.value[0], "as asked")}))
        assert (error.code(), error.details()) == (code, "as asked")


def test_special_status_message(client):
    words = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    error = refused(lambda: client.unary({"status": (2, words)}))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, words)


def test_custom_metadata(client):
    binary = bytes(range(256))
    sent = ((INITIAL, "test_initial_metadata_value"), (TRAILING, binary))
    answer, call = client.unary({"size": 3}, metadata=sent)
    assert len(answer["payload"]) == 3
    assert dict(call.initial_metadata())[INITIAL] == "test_initial_metadata_value"
    assert dict(call.trailing_metadata())[TRAILING] == binary
    answers = client.call("Duplex", "stream_stream", iter([pack(size=1)]), metadata=sent)
    assert len(list(answers)) == 1
    assert dict(answers.initial_metadata())[INITIAL] == "test_initial_metadata_value"
    assert dict(answers.trailing_metadata())[TRAILING] == binary


def test_metadata_with_an_error(client):
    error = refused(lambda: client.unary({"status": (5, "gone")}, metadata=((TRAILING, b"\x00\xff"),)))
    assert dict(error.trailing_metadata())[TRAILING] == b"\x00\xff"


def test_unimplemented_method_and_service(client):
    for method in ("Nothing", "/weft.test.Unknown/Nothing"):
        error = refused(lambda method=method: client.call(method, "unary_unary", b""))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_server_that_is_gone_is_unavailable(proxy_kind, processes, tmp_path):
    with grpc_cases.Server() as server, grpc_cases.Client(*static(server.port, tmp_path, proxy_kind)) as client:
        assert client.call("Empty", "unary_unary", b"") == b""
        server.stop()
        error = refused(lambda: client.call("Empty", "unary_unary", b""))
        assert error.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("kind", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compression_both_ways(proxy_kind, processes, tmp_path, kind):
    with grpc_cases.Server(compression=kind) as server:
        where, authority = static(server.port, tmp_path, proxy_kind)
        with grpc_cases.Client(where, authority, compression=kind) as client:
            asked, wanted = LARGE
            answer, _ = client.unary({"payload": payload(asked), "size": wanted})
            assert (answer["got"], len(answer["payload"])) == (asked, wanted)
            got = client.call("Sizes", "unary_stream", pack(sizes=RESPONSES))
            assert [len(unpack(data)["payload"]) for data in got] == list(RESPONSES)


def test_many_calls_over_one_channel_end_each_for_itself(client):
    made = client.channel.unary_unary(grpc_cases.PREFIX + "Unary")
    calls = [made.future(pack(payload=payload(size), size=size), timeout=30) for size in range(0, 4000, 20)]
    assert [unpack(call.result())["got"] for call in calls] == list(range(0, 4000, 20))
