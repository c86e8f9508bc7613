"""Raw connections that are meant to exhaust: what nobody takes stays in the kernel, and little of it."""

import os
from itertools import repeat

import pytest

from harness import frames as wire
from harness import http1
from harness.config import bootstrap, cluster, listener, tcp_proxy
from harness.upstream import Server, Tcp
from harness.waiting import until

MIB = 1 << 20
STALLED = 200


class Pouring(Server):
    """Says more than anybody takes."""

    def serve(self, connection, number):
        for piece in repeat(b"x" * MIB, 64):
            connection.sendall(piece)


def files(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


@pytest.mark.weft_only  # Its pipes are counted here, of which Envoy has none.
def test_readers_that_stall_cost_no_buffers_and_few_files(start):
    with Pouring("pouring") as pouring, Tcp("echo") as echo:
        clusters = [cluster("pouring", pouring.port), cluster("echo", echo.port)]
        listeners = [listener("main", tcp_proxy("pouring")), listener("other", tcp_proxy("echo"))]
        proxy = start(bootstrap(listeners, clusters))
        stats = proxy.admin.stats
        before, opened = wire.resident_kib(proxy.process), files(proxy.process)
        clients = [http1.Connection(proxy.port("main")) for _ in range(STALLED)]
        for client in clients:
            assert client.socket.recv(1) == b"x"
        with http1.Connection(proxy.port("other")) as other:
            other.send(b"alive")
            other.socket.shutdown(1)
            assert other.read_to_end() == b"echo\nalive"
        assert wire.resident_kib(proxy.process) - before <= 24 * 1024
        # A socket on each side, and a pipe's two ends for a bounded number of them.
        workers = stats()["server.concurrency"]
        assert files(proxy.process) - opened <= 2 * STALLED + workers * 2 * 64 + 20
        for client in clients:
            client.close()
        until(lambda: stats()["cluster.pouring.upstream_cx_active"] == 0, "the connections to end")
        until(lambda: files(proxy.process) - opened <= workers * 2 * 64 + 20, "their files to be closed")


@pytest.mark.weft_only
def test_a_reader_that_stalls_is_given_up(start):
    """By `idle_timeout`, which is counted."""
    with Pouring("pouring") as pouring:
        front = listener("main", tcp_proxy("pouring", idle_timeout="0.5s"))
        proxy = start(bootstrap([front], [cluster("pouring", pouring.port)]))
        with http1.Connection(proxy.port()) as client:
            assert client.socket.recv(1) == b"x"
            until(lambda: proxy.admin.stats()["tcp.tcp.idle_timeout"] == 1, "the connection to be given up")
