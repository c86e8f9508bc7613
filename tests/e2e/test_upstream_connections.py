"""Upstream connections: where they come from, how long they are kept, and when they are not used again."""

import socket
import struct
import threading

import pytest

from harness import http1, sockets
from harness.config import HTTP_OPTIONS, bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.upstream import Server
from harness.waiting import until


def to(made):
    main = routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up"})))
    return bootstrap([listener("main", hcm(main))], [made])


def common(**settings):
    """`common_http_protocol_options` of a cluster."""
    options = {
        "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
        "common_http_protocol_options": settings,
        "explicit_http_config": {"http_protocol_options": {}},
    }
    return {"typed_extension_protocol_options": {HTTP_OPTIONS: options}}


class Scripted(Server):
    """Answers every request with 200; `after` says what becomes of a connection then."""

    def __init__(self, after=None, headers=()):
        self._after = after
        self._headers = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers)
        self.requests = []
        self.peers = []
        super().__init__("up")

    def serve(self, connection, number):
        self.peers.append(connection.getpeername())
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                data = connection.recv(65536)
                if not data:
                    return
                buffer += data
            head, buffer = buffer.split(b"\r\n\r\n", 1)
            self.requests.append((number, head.split(b"\r\n")[0].decode()))
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + self._headers + b"content-length: 0\r\n\r\n")
            if self._after is not None:
                self._after(connection)


@pytest.fixture
def scripted():
    made = []

    def make(*arguments, **more):
        made.append(Scripted(*arguments, **more))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def test_connections_come_from_the_source_address(start, scripted):
    up = scripted()
    source = {"source_address": {"address": "127.0.0.9", "port_value": 0}}
    proxy = start(to(cluster("up", up.port, upstream_bind_config=source)))
    assert http1.request(proxy.port()).status == 200
    assert up.peers[0][0] == "127.0.0.9"


def test_connections_are_kept_alive_by_the_system(start, scripted):
    up = scripted()
    keepalive = {"keepalive_probes": 5, "keepalive_time": 77, "keepalive_interval": 11}
    made = cluster("up", up.port, upstream_connection_options={"tcp_keepalive": keepalive})
    proxy = start(to(made))
    assert http1.request(proxy.port()).status == 200
    # The timer of the socket as the kernel shows it: 02 is keep-alive, then when it is due.
    port = f"{up.port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [row.split() for row in table if row.split()[2].endswith(f":{port}")]
    timers = [row[5].split(":") for row in rows if row[3] == "01"]
    assert timers and all(kind == "02" for kind, _ in timers), rows
    assert all(70_00 <= int(due, 16) <= 77_00 for _, due in timers), timers


def test_sockets_of_connections_are_as_the_cluster_says(start, scripted):
    """Options for all addresses, and in their place those of one."""
    up = scripted()
    mark = {"level": socket.SOL_SOCKET, "name": socket.SO_RCVBUF, "int_value": 40_000}
    own = {"level": socket.SOL_SOCKET, "name": socket.SO_RCVBUF, "int_value": 50_000}
    extra = {"address": {"address": "127.0.0.9", "port_value": 0}, "socket_options": {"socket_options": [own]}}
    main = {"address": "::1", "port_value": 0}
    binds = {
        "without-a-source": {"socket_options": [mark]},
        "extra": {"source_address": main, "extra_source_addresses": [extra], "socket_options": [mark]},
    }
    sizes = {}
    for name, bind in binds.items():
        proxy = start(to(cluster("up", up.port, upstream_bind_config=bind)), name=name)
        assert http1.request(proxy.port()).status == 200
        with sockets.of(proxy.process) as found:
            sizes[name] = [each.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for each in sockets.connected(found, up.port)]
    assert sizes == {"without-a-source": [80_000], "extra": [100_000]}


def test_connections_that_are_old_take_no_more_requests(start, scripted):
    up = scripted()
    made = cluster("up", up.port, **common(max_connection_duration="0.3s"))
    proxy = start(to(made))
    port = proxy.port()
    for _ in range(3):
        assert http1.request(port).status == 200

    def replaced():
        assert http1.request(port).status == 200
        return up.connections >= 2

    until(replaced, "a new connection")
    until(lambda: proxy.admin.stats()["cluster.up.upstream_cx_max_duration_reached"] >= 1, "the old one to be counted")


def test_connections_carry_no_more_requests_than_they_may(start, scripted):
    up = scripted()
    proxy = start(to(cluster("up", up.port, **common(max_requests_per_connection=3))))
    for _ in range(9):
        assert http1.request(proxy.port()).status == 200
    assert [number for number, _ in up.requests] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert proxy.admin.stats()["cluster.up.upstream_cx_max_requests"] == 3


@pytest.mark.weft_only
def test_an_announced_idle_limit_is_undercut(start, scripted):
    """An upstream that says it keeps connections for no time at all gets each only once."""
    up = scripted(headers=[("keep-alive", "timeout=0")])
    proxy = start(to(cluster("up", up.port)))
    for _ in range(5):
        assert http1.request(proxy.port()).status == 200
    assert up.connections == 5


@pytest.mark.weft_only
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_closed_after_its_answer_never_fails_the_next_request(start, scripted, method):
    """Each connection is closed as soon as the answer is out, without a word: what was not sent is not lost."""
    closed = threading.Event()

    def close(connection):
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    up = scripted(after=close)
    port = start(to(cluster("up", up.port))).port()
    body = "x" if method == "POST" else None
    for number in range(200):
        answer = http1.request(port, method, f"/{number}", body=body)
        assert answer.status == 200, (number, answer.text)
        assert closed.wait(5)
        closed.clear()
    assert len(up.requests) == 200, "nothing was sent twice"


@pytest.mark.weft_only
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_was_reset_never_fails_the_next_request(start, scripted, method):
    gone = threading.Event()

    def reset(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        gone.set()

    up = scripted(after=reset)
    port = start(to(cluster("up", up.port))).port()
    for number in range(100):
        with http1.Connection(port) as connection:
            assert connection.request(method, f"/{number}", body="x" if method == "POST" else None).status == 200
        assert gone.wait(5)
        gone.clear()
    assert len(up.requests) == 100


def test_heads_of_responses_are_bounded(start, scripted):
    """In bytes and in fields, as the cluster says: what is beyond is no answer."""
    up = scripted(headers=[(f"x-{number}", "a" * 100) for number in range(20)])
    statuses = {}
    for name, bounds in {
        "default": {},
        "fields": {"max_headers_count": 10},
        "many-fields": {"max_headers_count": 1000},
        "bytes": {"max_response_headers_kb": 2},
    }.items():
        proxy = start(to(cluster("up", up.port, **common(**bounds))), name=name)
        statuses[name] = http1.request(proxy.port()).status
    assert statuses == {"default": 200, "fields": 502, "many-fields": 200, "bytes": 502}


def test_a_request_lasts_no_longer_than_its_cluster_allows(start, http_upstream):
    up = http_upstream("up")
    proxy = start(to(cluster("up", up.port, **common(max_stream_duration="0.2s"))))
    held = [("x-respond", '{"gate": "never"}')]
    answer = http1.request(proxy.port(), headers=held)
    assert (answer.status, answer.text) == (504, "upstream max stream duration reached")
    assert proxy.admin.stats()["cluster.up.upstream_rq_max_duration_reached"] == 1
    assert http1.request(proxy.port()).status == 200
    # Where the request has not come as a whole, the client was too slow.
    with http1.Connection(proxy.port()) as slow:
        slow.send(b"POST / HTTP/1.1\r\nhost: weft.test\r\ncontent-length: 5\r\n\r\nhal")
        assert slow.read().status == 408
