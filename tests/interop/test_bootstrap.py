"""`weft bootstrap` writes what each client starts with, unchanged."""

import json
import subprocess

import pytest

from harness import http1
from harness.control import GRPC_CLIENTS, XdsClient
from harness.grpcs import Server as GrpcServer
from harness.mesh import service
from harness.proxy import Proxy, binary
from harness.waiting import until


def bootstrap(client, control, *arguments):
    argv = [binary("weft"), "bootstrap", "--for", client, "--control-plane", control.xds, *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout


@pytest.mark.parametrize("arguments", [(), ("--state-of-the-world",)], ids=["delta", "sotw"])
@pytest.mark.parametrize("kind", ["envoy", "weft"])
def test_proxies_start_with_it(control, http_upstream, tmp_path, kind, arguments):
    control.put(service("catalog", http_upstream("catalog").address))
    text = bootstrap(kind, control, "--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0", *arguments)
    with Proxy(kind, text, tmp_path) as proxy:
        port = proxy.port("outbound")
        answer = until(lambda: http1.request(port, "GET", "/", host="catalog"), "an answer")
        assert (answer.status, answer.json()["upstream"]) == (200, "catalog")


@pytest.mark.parametrize("library", GRPC_CLIENTS)
def test_grpc_clients_start_with_it(control, tmp_path, library):
    server = GrpcServer("one")
    try:
        control.put(service("catalog", server.address, protocol="grpc"))
        made = json.loads(bootstrap("grpc", control))
        with XdsClient(tmp_path, control, "xds:///catalog", bootstrap=made, library=library) as client:
            assert client.call()["upstream"] == "one"
    finally:
        server.stop()
