"""More than the process may hold: what comes is turned away, and it recovers when that ends."""

import pytest

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.waiting import until

pytestmark = pytest.mark.weft_only

MIB = 1 << 20
#: Connections that each leave so many bytes of a head with the proxy.
CLIENTS, HEAD = 1500, b"GET / HTTP/1.1\r\nhost: weft.test\r\nx-a: " + b"a" * 40_000


def held(proxy):
    return proxy.admin.stats()["overload.memory_bytes"]


def test_memory_stays_within_its_bounds_and_service_returns(start, http_upstream):
    up = http_upstream("up", body="fine")
    table = routes("main", virtual_host("all", ["*"], route("/", "up")))
    config = bootstrap([listener("main", hcm(table))], [cluster("up", up.port)])

    def launch(name, shed, most):
        flags = ["--shed-memory-mib", str(shed), "--max-memory-mib", str(most)]
        proxy = start(config, name=name, arguments=flags)
        assert http1.request(proxy.port()).status == 200
        until(lambda: held(proxy) > 0, "the guard to look")
        return proxy

    rest = held(launch("idle", 10_000, 10_000)) // MIB
    proxy = launch("guarded", rest + 8, rest + 12)
    clients = []
    for _ in range(CLIENTS):
        client = http1.Connection(proxy.port())
        clients.append(client)
        try:
            client.socket.sendall(HEAD)
        except OSError:
            pass
        if len(clients) % 100 == 0:
            assert proxy.admin.ready(), "the admin is not for clients"
            assert held(proxy) < (rest + 24) * MIB
    until(lambda: proxy.admin.stats()["overload.sheds_connections"] == 1, "connections to be refused")
    refused = [count for name, count in proxy.admin.stats().items() if name.endswith("downstream_cx_overload_reject")]
    assert sum(refused) > 0
    for client in clients:
        client.close()
    until(lambda: http1.request(proxy.port()).status == 200, "service to return", 30)
