"""What lives long lives through updates; what dies of its own accord costs no request."""

import queue
import socket
import threading

import pytest

from harness import grpc_cases, http1
from harness.config import (
    ads_bootstrap,
    assignment,
    bootstrap,
    cluster,
    eds_cluster,
    hcm,
    listener,
    route,
    routes,
    tcp_proxy,
    virtual_host,
)
from harness.grpc_cases import pack, payload, unpack
from harness.load import Load
from harness.management import CDS, EDS, RDS, ManagementServer
from harness.upstream import Server, Tcp
from harness.waiting import until

UPDATES = 100


@pytest.fixture
def server():
    with ManagementServer() as running:
        yield running


def to(name, turn):
    option = {"header": {"key": "x-turn", "value": str(turn)}}
    host = virtual_host("all", ["*"], route("/", {"cluster": name, "timeout": "0s"}), response_headers_to_add=[option])
    return routes("main", host)


def test_streams_live_through_a_hundred_updates(start, server, http_upstream):
    """A gRPC stream, a TCP connection and a held answer see nothing of what changes around them."""
    slow = http_upstream("slow")
    with grpc_cases.Server() as grpc_server, Tcp("tcp") as tcp_server:
        server.put(
            clusters=[eds_cluster("grpc", http2=True), eds_cluster("slow"), cluster("tcp", tcp_server.port)],
            assignments=[assignment("grpc", grpc_server.port), assignment("slow", slow.port)],
            listeners=[listener("main", hcm(rds="main")), listener("tcp", tcp_proxy("tcp"))],
            routes=[to("grpc", 0)],
        )
        proxy = start(ads_bootstrap(server.port))
        port = proxy.port("main")
        raw = http1.Connection(proxy.port("tcp"))
        assert raw.socket.recv(100) == b"tcp\n"
        with grpc_cases.Client(port) as client:
            out = queue.Queue()
            answers = client.call("Duplex", "stream_stream", iter(out.get, None), timeout=120)
            for turn in range(1, UPDATES + 1):
                other = "slow" if turn % 10 == 0 else "grpc"
                extra = eds_cluster(f"extra{turn}")
                server.put(clusters=[extra], assignments=[assignment(f"extra{turn}", slow.port)])
                server.put(routes=[to(other, turn)])
                server.remove(CDS, f"extra{turn}")
                server.wait_settled(CDS, EDS, RDS)
                out.put(pack(payload=payload(turn), size=turn))
                assert unpack(next(answers))["got"] == turn
                raw.send(b"%d\n" % turn)
                assert raw.socket.recv(100) == b"%d\n" % turn
            out.put(None)
            assert list(answers) == []
        raw.close()


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_answers_under_way_end_as_they_began(start, server, http_upstream, protocol):
    """Requests held by their upstream while their route, cluster and endpoint go."""
    up, other = http_upstream("up"), http_upstream("other")
    server.put(
        clusters=[eds_cluster("up"), eds_cluster("other")],
        assignments=[assignment("up", up.port), assignment("other", other.port)],
        listeners=[listener("main", hcm(rds="main"))],
        routes=[to("up", 0)],
    )
    proxy = start(ads_bootstrap(server.port))
    port = proxy.port("main")
    answers, headers = [], [("x-respond", '{"gate": "update", "body": "as it began"}')]

    def ask():
        from harness import http2

        client = http2 if protocol == "h2" else http1
        answers.append(client.request(port, "GET", "/held", headers).text)

    callers = [threading.Thread(target=ask) for _ in range(20)]
    for caller in callers:
        caller.start()
    until(lambda: len(up.seen) == 20, "all requests to be held")
    server.put(routes=[to("other", 1)])
    server.wait_settled(RDS)
    server.remove(CDS, "up")
    server.wait_settled(CDS)
    until(lambda: http1.request(port).header("x-upstream") == "other", "the update to be in force")
    up.open_gate("update")
    for caller in callers:
        caller.join(20)
    assert answers == ["as it began"] * 20


class Impatient(Server):
    """Answers each request, and closes a connection that said nothing for a moment, or after some requests."""

    def __init__(self, idle, most):
        self.idle, self.most = idle, most
        super().__init__("impatient")

    def serve(self, connection, number):
        connection.settimeout(self.idle)
        buffer = b""
        for _ in range(self.most):
            while b"\r\n\r\n" not in buffer:
                try:
                    data = connection.recv(65536)
                except TimeoutError:
                    return
                if not data:
                    return
                buffer += data
            _, _, buffer = buffer.partition(b"\r\n\r\n")
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


@pytest.mark.parametrize("idle, most", [(0.05, 1000), (5.0, 3), (0.02, 2)])
def test_upstreams_that_close_idle_connections_cost_no_request(start, idle, most):
    """Requests as far apart as the upstream's patience meet its closing again and again."""
    host = virtual_host("all", ["*"], route("/", "up"))
    with Impatient(idle, most) as upstream:
        proxy = start(bootstrap([listener("main", hcm(routes("main", host)))], [cluster("up", upstream.port)]))
        with Load(proxy.port(), callers=3, rate=max(15, 0.9 / idle)) as load:
            until(load.more(300), "300 requests", 60)
        load.require_no_loss()


def test_waiting_for_a_connection_costs_no_request(start, http_upstream):
    """Two connections for sixteen callers: the others wait, and are served in turn."""
    up = http_upstream("up")
    limits = {"circuit_breakers": {"thresholds": [{"max_connections": 2}]}}
    host = virtual_host("all", ["*"], route("/", "up"))
    proxy = start(bootstrap([listener("main", hcm(routes("main", host)))], [cluster("up", up.port, **limits)]))
    with Load(proxy.port(), callers=16, rate=25) as load:
        until(load.more(600), "600 requests", 60)
    load.require_no_loss()
    assert up.connections <= 2


def test_half_closed_connections_carry_on_in_the_other_direction(start, server):
    """A client that has said all it will say still hears, whatever is updated meanwhile."""
    with Tcp("tcp") as upstream:
        server.put(
            clusters=[cluster("tcp", upstream.port), eds_cluster("extra")],
            assignments=[assignment("extra", upstream.port)],
            listeners=[listener("tcp", tcp_proxy("tcp"))],
        )
        proxy = start(ads_bootstrap(server.port))
        with http1.Connection(proxy.port("tcp")) as connection:
            assert connection.socket.recv(100) == b"tcp\n"
            connection.send(b"x" * 3_000_000)
            connection.socket.shutdown(socket.SHUT_WR)
            server.remove(CDS, "extra")
            server.wait_settled(CDS)
            assert connection.read_to_end() == b"x" * 3_000_000
