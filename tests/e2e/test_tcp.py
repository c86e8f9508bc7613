"""TCP proxy: bytes through, half-closes kept, refusals seen."""

import pytest

from harness import http1
from harness.config import bootstrap, cluster, listener, tcp_proxy
from harness.upstream import Tcp


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
        import threading

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
