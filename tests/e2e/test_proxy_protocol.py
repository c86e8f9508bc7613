"""HTTP upstreams that are told who the client is: connections are never shared by different clients."""

import socket
import struct

import pytest

from differential.connections import listener_filter
from harness import http1
from harness.config import aggregate, bootstrap, cluster, hcm, http2_options, listener, route, routes, virtual_host
from harness.raw import V2, proxy_v2
from harness.upstream import Http
from harness.waiting import until

KIND = "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
RAW = {"name": "raw", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}


class Told(Http):
    """An HTTP upstream behind the PROXY protocol; `told` has a header for each connection."""

    def __init__(self, name):
        self.told = []
        super().__init__(name)

    def serve(self, connection, number):
        self.told.append(header(connection))
        super().serve(connection, number)


def exactly(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("closed in the header")
        data += piece
    return data


def header(connection):
    """Reads a header: source, destination, and extensions of version 2."""
    first = exactly(connection, 12)
    if first == V2:
        command, family, length = struct.unpack("!BBH", exactly(connection, 4))
        body = exactly(connection, length)
        if command == 0x20:
            return None, None, []
        size, version = (4, socket.AF_INET) if family == 0x11 else (16, socket.AF_INET6)
        ports = struct.unpack("!HH", body[2 * size : 2 * size + 4])
        source, destination = (socket.inet_ntop(version, body[at : at + size]) for at in (0, size))
        rest, tlvs = body[2 * size + 4 :], []
        while rest:
            kind, length = struct.unpack("!BH", rest[:3])
            tlvs.append((kind, rest[3 : 3 + length]))
            rest = rest[3 + length :]
        return (source, ports[0]), (destination, ports[1]), tlvs
    while not first.endswith(b"\r\n"):
        first += exactly(connection, 1)
    _, family, *fields = first.decode().split()
    if family == "UNKNOWN":
        return None, None, []
    return (fields[0], int(fields[2])), (fields[1], int(fields[3])), []


@pytest.fixture
def told():
    with Told("up") as up:
        yield up


def made(up, config=None, filters=(), cluster_more=None, **more):
    socket_config = {"@type": KIND, "config": config or {}, "transport_socket": RAW}
    transport = {"name": "told", "typed_config": socket_config}
    main = routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up"})))
    entry = listener("main", hcm(main, **more), listener_filters=list(filters))
    return bootstrap([entry], [cluster("up", up.port, transport_socket=transport, **(cluster_more or {}))])


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_each_client_has_connections_of_its_own(start, told, version):
    proxy = start(made(told, {"version": version}))
    port = proxy.port()
    clients = [http1.Connection(port) for _ in range(3)]
    for _ in range(4):
        for client in clients:
            assert client.request("GET", "/").status == 200
    here = [client.socket.getsockname()[:2] for client in clients]
    assert sorted(source for source, _, _ in told.told) == sorted(here)
    assert {destination for _, destination, _ in told.told} == {("127.0.0.1", port)}
    if proxy.kind == "weft":
        # When a client goes, nobody else can use what was its own.
        for client in clients:
            client.close()
        until(lambda: proxy.admin.stats()["cluster.up.upstream_cx_active"] == 0, "its connections to be closed")


def test_streams_of_a_client_share_its_connection(start, told):
    proxy = start(made(told, {"version": "V2"}, cluster_more=http2_options()))
    for _ in range(2):
        with http1.Connection(proxy.port()) as client:
            for _ in range(3):
                assert client.request("GET", "/").status == 200
    assert len(told.told) == 2
    assert len({source for source, _, _ in told.told}) == 2


def test_copies_begin_as_the_member_of_an_aggregate_asks(start, told, http_upstream):
    """The aggregate says nothing of the PROXY protocol; the cluster that is chosen of it does."""
    main = http_upstream("main")
    entry = route("/", {"cluster": "main", "request_mirror_policies": [{"cluster": "all"}]})
    socket_config = {"@type": KIND, "config": {"version": "V2"}, "transport_socket": RAW}
    up = cluster("up", told.port, transport_socket={"name": "told", "typed_config": socket_config}, **http2_options())
    clusters = [cluster("main", main.port), up, aggregate("all", "up")]
    proxy = start(bootstrap([listener("main", hcm(routes("main", virtual_host("all", ["*"], entry))))], clusters))
    with http1.Connection(proxy.port()) as client:
        for _ in range(3):
            assert client.request("GET", "/").header("x-upstream") == "main"
        until(lambda: len(told.seen) == 3, "the copies")
        here = client.socket.getsockname()[:2]
    assert [source for source, _, _ in told.told] == [here]


TLVS = [(0xE0, b"kept"), (0xE1, b"not kept"), (0xE2, b"replaced")]


def test_what_a_proxy_in_front_told_is_passed_on(start, told):
    filters = [listener_filter("proxy_protocol", pass_through_tlvs={"match_type": "INCLUDE_ALL"})]
    config = {
        "version": "V2",
        "pass_through_tlvs": {"match_type": "INCLUDE", "tlv_type": [0xE0, 0xE2]},
        "added_tlvs": [{"type": 0xE2, "value": "bmV3"}, {"type": 0xE3, "value": "b3du"}],
    }
    proxy = start(made(told, config, filters))
    source, destination = ("10.1.2.3", 4321), ("10.9.9.9", 80)
    with http1.Connection(proxy.port()) as client:
        client.send(proxy_v2(source, destination, TLVS))
        for _ in range(2):
            assert client.request("GET", "/").status == 200
    (came,) = told.told
    assert came[:2] == (source, destination)
    assert sorted(came[2]) == [(0xE0, b"kept"), (0xE2, b"new"), (0xE3, b"own")]


def test_the_client_is_who_connected_whatever_headers_say(start, told):
    proxy = start(made(told, {"version": "V1"}, use_remote_address=True, xff_num_trusted_hops=1))
    with http1.Connection(proxy.port()) as client:
        for address in ("10.1.1.1", "10.2.2.2"):
            assert client.request("GET", "/", [("x-forwarded-for", f"{address}")]).status == 200
        here = client.socket.getsockname()[:2]
    assert [source for source, _, _ in told.told] == [here]


def test_extensions_become_metadata(start, told):
    """By rules, in the namespace they name or that of the filter; formats of headers and of extensions read it."""
    rules = [
        {"tlv_type": 0xE0, "on_tlv_present": {"key": "first"}},
        {"tlv_type": 0xE1, "on_tlv_present": {"metadata_namespace": "own", "key": "second"}},
        {"tlv_type": 0xEE, "on_tlv_present": {"key": "never"}},
    ]
    by_format = lambda text: {"text_format_source": {"inline_string": text}}
    config = {
        "version": "V2",
        "pass_through_tlvs": {"match_type": "INCLUDE_ALL"},
        "added_tlvs": [{"type": 0xE9, "format_string": by_format("%DYNAMIC_METADATA(own:second)% at %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")}],
    }
    bootstrap = made(told, config, [listener_filter("proxy_protocol", rules=rules)])
    (host,) = virtual_hosts(bootstrap)
    namespace = "envoy.filters.listener.proxy_protocol"
    shown = {"x-first": f"{namespace}:first", "x-second": "own:second", "x-never": f"{namespace}:never", "x-all": namespace}
    host["response_headers_to_add"] = [
        {"header": {"key": name, "value": f"[%DYNAMIC_METADATA({asked})%]"}} for name, asked in shown.items()
    ]
    proxy = start(bootstrap)
    with http1.Connection(proxy.port()) as client:
        client.send(proxy_v2(("10.1.2.3", 4321), ("10.9.9.9", 80), [(0xE0, b"bad \xff"), (0xE1, b"two"), (0xE0, b"one\xff")]))
        answer = client.request("GET", "/")
    seen = {name: answer.header(name) for name in shown}
    assert seen == {"x-first": "[one!]", "x-second": "[two]", "x-never": "[]", "x-all": '[{"first":"one!"}]'}
    # What is only read is not passed on.
    assert told.told[0][2] == [(0xE9, b"two at 10.1.2.3")]


def virtual_hosts(bootstrap):
    """Of its only listener."""
    chain = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]
    return chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
