"""TCP proxy: bytes through, half-closes kept, refusals seen."""

import contextlib
import queue
import socket
import struct
import threading

import pytest

from differential.connections import listener_filter
from harness import http1
from harness.config import bootstrap, cluster, listener, tcp_proxy
from harness.raw import connect, hello, proxy_v1, proxy_v2, read_to_end
from harness.upstream import Server, Tcp
from harness.waiting import until


@pytest.fixture
def tunnel(start):
    with Tcp("echo") as up:
        proxy = start(bootstrap([listener("main", tcp_proxy("up"))], [cluster("up", up.port)]))
        yield proxy


def test_bytes_go_both_ways_and_a_half_close_is_passed_on(tunnel):
    with http1.Connection(tunnel.port()) as connection:
        connection.send(b"across")
        connection.socket.shutdown(1)
        assert connection.read_to_end() == b"echo\nacross"


def test_a_megabyte_arrives_whole(tunnel):
    data = bytes(range(256)) * 4096
    with http1.Connection(tunnel.port()) as connection:
        def write():
            connection.send(data)
            connection.socket.shutdown(1)

        writer = threading.Thread(target=write)
        writer.start()
        assert connection.read_to_end() == b"echo\n" + data
        writer.join()


def test_the_connection_closes_when_nobody_is_behind_it(start):
    proxy = start(bootstrap([listener("main", tcp_proxy("up"))], [cluster("up")]))
    with http1.Connection(proxy.port()) as connection:
        assert connection.at_end()


def test_connections_are_counted(tunnel):
    for _ in range(3):
        with http1.Connection(tunnel.port()) as connection:
            connection.socket.shutdown(1)
            connection.read_to_end()
    stats = tunnel.admin.stats()
    assert stats["tcp.tcp.downstream_cx_total"] == 3
    assert stats["cluster.up.upstream_cx_total"] == 3


class Scripted(Server):
    """A TCP upstream that does with each connection what the test says."""

    def __init__(self, script):
        self.script = script
        self.said = queue.Queue()
        super().__init__("scripted")

    def serve(self, connection, _):
        self.said.put(self.script(connection))


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.fixture
def between(start):
    """A proxy before a scripted upstream; more settings for the filter, the cluster and the listener."""
    with contextlib.ExitStack() as open_servers:

        def launch(script, filters=(), cluster_more=None, listener_more=None, **more):
            up = open_servers.enter_context(Scripted(script))
            chain = {"filters": [*filters, tcp_proxy("up", **more)]}
            main = listener("main", None, **(listener_more or {})) | {"filter_chains": [chain]}
            return start(bootstrap([main], [cluster("up", up.port, **(cluster_more or {}))])), up

        yield launch


def test_an_answer_after_the_end_of_the_question_arrives_whole(between):
    answer = bytes(range(256)) * 8192

    def script(connection):
        asked = read_to_end(connection).data
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        return asked

    proxy, up = between(script)
    question = answer[::-1]
    with connect(proxy.port()) as client:
        sender = threading.Thread(target=lambda: (client.sendall(question), client.shutdown(socket.SHUT_WR)))
        sender.start()
        assert up.said.get(timeout=10) == question
        got = read_to_end(client)
        sender.join()
    assert (got.how, got.data == answer) == ("closed", True)


def test_a_question_after_the_end_of_the_answer_arrives_whole(between):
    def script(connection):
        connection.sendall(b"greeting")
        connection.shutdown(socket.SHUT_WR)
        return read_to_end(connection).data

    proxy, up = between(script)
    with connect(proxy.port()) as client:
        assert read_to_end(client).data == b"greeting"
        client.sendall(b"late" * 50_000)
        client.shutdown(socket.SHUT_WR)
        assert up.said.get(timeout=10) == b"late" * 50_000


@pytest.mark.parametrize("who", ["upstream", "client"])
def test_a_reset_arrives_as_a_reset(between, who):
    def script(connection):
        if who == "upstream":
            connection.recv(1)
            reset(connection)
            return None
        return read_to_end(connection).how

    proxy, up = between(script)
    client = connect(proxy.port())
    client.sendall(b"x")
    if who == "upstream":
        assert read_to_end(client).how == "reset"
    else:
        until(lambda: proxy.admin.stats()["cluster.up.upstream_cx_total"] == 1, "the connection to the upstream")
        reset(client)
        assert up.said.get(timeout=10) == "reset"


def test_a_sender_is_held_back_by_a_reader_that_does_not_read(between):
    go_on = threading.Event()

    def script(connection):
        go_on.wait(20)
        return len(read_to_end(connection).data)

    proxy, up = between(script)
    sent, piece = 0, b"x" * 65536
    with connect(proxy.port()) as client:
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while sent < 1 << 30:
                sent += client.send(piece)
        go_on.set()
        client.settimeout(20)
        client.shutdown(socket.SHUT_WR)
        assert up.said.get(timeout=20) == sent


def test_a_connection_ends_after_its_longest_time(between):
    proxy, up = between(lambda c: read_to_end(c).how, max_downstream_connection_duration="0.3s")
    with connect(proxy.port()) as client:
        client.sendall(b"x")
        assert read_to_end(client).how == "closed"
    assert up.said.get(timeout=10) == "closed"
    assert proxy.admin.stats()["tcp.tcp.max_downstream_connection_duration"] == 1


def test_another_endpoint_is_tried_when_one_refuses(start):
    with socket.socket() as held, Tcp("up") as up:
        held.bind(("127.0.0.1", 0))
        refusing = held.getsockname()[1]
        more = {"max_connect_attempts": 2, "backoff_options": {"base_interval": "0.01s"}}
        proxy = start(bootstrap([listener("main", tcp_proxy("up", **more))], [cluster("up", refusing, up.port)]))
        for _ in range(6):
            with connect(proxy.port()) as client:
                client.shutdown(socket.SHUT_WR)
                assert read_to_end(client).data == b"up\n"
        assert proxy.admin.stats()["cluster.up.upstream_cx_connect_fail"] >= 1


RAW = {"name": "raw", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}


def told(**config):
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
    return {"transport_socket": {"name": "told", "typed_config": {"@type": kind, "config": config, "transport_socket": RAW}}}


def until_payload(connection):
    got = b""
    while not got.endswith(b"payload"):
        piece = connection.recv(65536)
        if not piece:
            break
        got += piece
    return got


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_an_upstream_is_told_who_the_client_is(between, version):
    everything = {"pass_through_tlvs": {}}
    inside = {"listener_filters": [listener_filter("proxy_protocol", **everything)]}
    only = {"pass_through_tlvs": {"match_type": "INCLUDE", "tlv_type": [0xE0]}}
    proxy, up = between(until_payload, cluster_more=told(version=version, **only), listener_more=inside)
    source, destination = ("10.1.2.3", 5), ("10.0.0.1", 443)
    with connect(proxy.port()) as client:
        client.sendall(proxy_v2(source, destination, tlvs=[(0xE0, b"kept"), (0xE1, b"not")]) + b"payload")
        expected = {
            "V1": proxy_v1(source, destination),
            "V2": proxy_v2(source, destination, tlvs=[(0xE0, b"kept")]),
        }[version]
        assert up.said.get(timeout=10) == expected + b"payload"


MERGED = {
    "ADD_IF_ABSENT": [(0xE0, b"of the client")],
    "OVERWRITE_BY_TYPE_IF_EXISTS_OR_ADD": [(0xE0, b"own"), (0xE2, b"own")],
    "APPEND_IF_EXISTS_OR_ADD": [(0xE0, b"of the client"), (0xE0, b"own"), (0xE2, b"own")],
}


@pytest.mark.parametrize("policy", MERGED)
@pytest.mark.parametrize("has_header", [True, False])
def test_an_upstream_is_told_what_the_filter_adds(between, policy, has_header):
    inside = {"pass_through_tlvs": {}, "allow_requests_without_proxy_protocol": True}
    added = [{"type": kind, "value": "b3du"} for kind in (0xE0, 0xE2)]
    proxy, up = between(
        until_payload,
        cluster_more=told(version="V2", pass_through_tlvs={}),
        listener_more={"listener_filters": [listener_filter("proxy_protocol", **inside)]},
        proxy_protocol_tlvs=added,
        proxy_protocol_tlv_merge_policy=policy,
    )
    source, destination = ("10.1.2.3", 5), ("10.0.0.1", 443)
    with connect(proxy.port()) as client:
        tlvs = MERGED[policy]
        if has_header:
            client.sendall(proxy_v2(source, destination, tlvs=[(0xE0, b"of the client")]))
        else:
            source, destination = client.getsockname(), ("127.0.0.1", proxy.port())
            tlvs = [(0xE0, b"own"), (0xE2, b"own")]
        client.sendall(b"payload")
        assert up.said.get(timeout=10) == proxy_v2(source, destination, tlvs=tlvs) + b"payload"


def test_an_upstream_may_be_left_alone_until_the_client_speaks(between):
    late = {"upstream_connect_mode": "ON_DOWNSTREAM_DATA", "max_early_data_bytes": 1024}
    proxy, up = between(lambda c: read_to_end(c).data, **late)
    with connect(proxy.port()) as silent, connect(proxy.port()) as client:
        until(lambda: proxy.admin.stats()["tcp.tcp.downstream_cx_total"] == 2, "both clients")
        assert up.connections == 0
        client.sendall(b"spoken")
        client.shutdown(socket.SHUT_WR)
        assert up.said.get(timeout=10) == b"spoken"
        assert up.connections == 1
        silent.close()


def test_a_connection_on_which_nothing_moves_is_closed(between):
    proxy, up = between(lambda c: read_to_end(c).how, idle_timeout="0.3s")
    with connect(proxy.port()) as client:
        client.sendall(b"x")
        assert read_to_end(client).how == "closed"
    assert up.said.get(timeout=10) == "closed"
    assert proxy.admin.stats()["tcp.tcp.idle_timeout"] == 1


def test_clusters_share_connections_by_weight(start):
    with Tcp("a") as a, Tcp("b") as b, Tcp("never") as never:
        shares = [{"name": "a", "weight": 3}, {"name": "b", "weight": 1}]
        filter_config = tcp_proxy("a")
        del filter_config["typed_config"]["cluster"]
        filter_config["typed_config"]["weighted_clusters"] = {"clusters": shares}
        proxy = start(bootstrap([listener("main", filter_config)], [cluster(up.name, up.port) for up in (a, b, never)]))
        port, got = proxy.port(), {b"a\n": 0, b"b\n": 0}
        for _ in range(200):
            with connect(port) as client:
                client.shutdown(socket.SHUT_WR)
                got[read_to_end(client).data] += 1
        # Six standard deviations of a binomial distribution around 150.
        assert 113 <= got[b"a\n"] <= 187 and never.connections == 0


def test_clients_of_an_address_go_to_the_same_endpoint(start):
    with contextlib.ExitStack() as opened:
        ups = [opened.enter_context(Tcp(f"up-{number}")) for number in range(4)]
        made = cluster("up", *(up.port for up in ups), lb_policy="RING_HASH")
        proxy = start(bootstrap([listener("main", tcp_proxy("up", hash_policy=[{"source_ip": {}}]))], [made]))

        def chosen(source):
            with connect(proxy.port(), source) as client:
                client.shutdown(socket.SHUT_WR)
                return read_to_end(client).data

        sources = [f"127.0.0.{last}" for last in range(2, 34)]
        first = [chosen(source) for source in sources]
        assert first == [chosen(source) for source in sources]
        assert len(set(first)) > 1


def test_an_upstream_is_told_the_addresses_of_the_connection_itself(between):
    proxy, up = between(lambda c: read_to_end(c).data, cluster_more=told(version="V1"))
    with connect(proxy.port(), "127.0.0.2") as client:
        own = client.getsockname()
        client.shutdown(socket.SHUT_WR)
        read_to_end(client)
    assert up.said.get(timeout=10) == proxy_v1(own, ("127.0.0.1", proxy.port()))


def network(kind, message, **config):
    return {"name": kind, "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.filters.network.{kind}.v3.{message}", **config}}


def test_connections_above_the_limit_are_closed(between):
    limit = network("connection_limit", "ConnectionLimit", stat_prefix="few", max_connections=2)
    proxy, _ = between(lambda c: c.sendall(b"in") or read_to_end(c).how, filters=[limit])
    port = proxy.port()
    first, second = connect(port), connect(port)
    assert first.recv(2) == second.recv(2) == b"in"
    assert read_to_end(connect(port)).data == b""
    assert proxy.admin.stats()["connection_limit.few.limited_connections"] == 1
    first.close()
    until(lambda: proxy.admin.stats()["connection_limit.few.active_connections"] == 1, "a place to be free")
    assert connect(port).recv(2) == b"in"


def test_tls_passes_through_to_the_cluster_it_asks_for(start):
    with Tcp("a") as a, Tcp("b") as b:
        chain = {"filters": [network("sni_cluster", "SniCluster"), tcp_proxy("a.test")]}
        main = {**listener("main", None), "filter_chains": [chain], "listener_filters": [listener_filter("tls_inspector")]}
        proxy = start(bootstrap([main], [cluster("a.test", a.port), cluster("b.test", b.port)]))
        for name, up in (("a.test", b"a\n"), ("b.test", b"b\n"), ("c.test", b""), (None, b"a\n")):
            flight = hello(name)
            expected = up + flight if up else b""
            with connect(proxy.port()) as client:
                client.sendall(flight)
                got = b""
                while len(got) < len(expected):
                    piece = client.recv(65536)
                    assert piece, name
                    got += piece
                assert got == expected, name
                if not up:
                    assert read_to_end(client).data == b""
