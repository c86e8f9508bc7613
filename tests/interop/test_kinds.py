"""Each kind of the mesh model does in a real Envoy, in our proxy and in a gRPC client what it says."""

import collections
import contextlib
import socket
import ssl
import subprocess
import threading

import grpc
import pytest

from harness import http1
from harness.config import ads_bootstrap
from harness.control import XdsClient
from harness.grpcs import Server as GrpcServer
from harness.grpcs import unary
from harness.mesh import (
    grpc_route,
    mesh_config,
    method,
    rule,
    service,
    stream_route,
    subset,
    traffic_policy,
)
from harness.proxy import Proxy
from harness.upstream import Tcp
from harness.waiting import until

SHARE = 200


@pytest.fixture(params=["envoy", "envoy-older", "weft"])
def outbound(request, control, tmp_path, processes):
    """Starts a sidecar without an application; the port where it takes requests."""

    def start():
        config = ads_bootstrap(control.xds_port, "delta", metadata={"weft": {"outbound": "127.0.0.1:0"}})
        return Proxy(request.param, config, tmp_path, name="sidecar").port("outbound")

    return start


@contextlib.contextmanager
def held_port():
    """An address of 127.0.0.2 whose port nobody else gets: the kernel's choice on 127.0.0.1 keeps it."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield "127.0.0.2", held.getsockname()[1]


@pytest.fixture
def versions(control):
    """A gRPC Service in two versions with a Subset each."""
    with GrpcServer("one") as one, GrpcServer("two") as two:
        control.put(
            service("catalog", (one.address, {"version": "v1"}), (two.address, {"version": "v2"}), protocol="grpc"),
            subset("v1", "catalog", version="v1"),
            subset("v2", "catalog", version="v2"),
        )
        yield


BY_METHOD = grpc_route(
    "catalog",
    "catalog",
    rule(("v2", 1), matches=[method("weft.test.Echo", "Other")]),
    rule(("v1", 1), matches=[method("weft.test.Echo")]),
)


def reached(channel):
    """The upstream of a call; None before the proxy knows any."""
    try:
        return unary(channel)[1]
    except grpc.RpcError:
        return None


def test_calls_are_routed_by_method(control, outbound, versions):
    control.put(BY_METHOD)
    options = [("grpc.default_authority", "catalog")]
    with grpc.insecure_channel(f"127.0.0.1:{outbound()}", options) as channel:
        assert until(lambda: reached(channel), "an answer") == "one"
        # The other version is asked, does not know the method, and says so itself.
        with pytest.raises(grpc.RpcError) as refused:
            unary(channel, method="/weft.test.Echo/Other")
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_grpc_client_routes_by_method(control, versions, tmp_path):
    control.put(BY_METHOD)
    with XdsClient(tmp_path, control, "xds:///catalog") as client:
        assert client.call()["upstream"] == "one"
        assert client.call("/weft.test.Echo/Other")["code"] == "UNIMPLEMENTED"
        assert client.call("/weft.test.Nobody/Unary")["code"] == "UNAVAILABLE"


def test_connections_are_shared_by_weight(control, outbound):
    with Tcp("old") as old, Tcp("new") as new, held_port() as listen:
        control.put(
            service("database", old.address, protocol="tcp", port=5432, listen="%s:%d" % listen),
            service("next", new.address, protocol="tcp", port=5432),
            stream_route("TCPRoute", "database", "database", ("database", 3), ("next", 1)),
        )
        outbound()

        def reached():
            with http1.Connection(listen[1], listen[0]) as connection:
                connection.socket.shutdown(socket.SHUT_WR)
                return connection.read_to_end()

        until(lambda: reached() in (b"old\n", b"new\n"), "a connection through the listener")
        counted = collections.Counter(reached() for _ in range(SHARE))
        assert counted[b"old\n"] + counted[b"new\n"] == SHARE
        # Three quarters; five standard deviations of a fair choice are about 31.
        assert abs(counted[b"old\n"] - SHARE * 3 // 4) <= 31, counted


class TlsServer:
    """Answers each TLS connection with its own name."""

    def __init__(self, name, directory):
        key, certificate = directory / f"{name}.key", directory / f"{name}.crt"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
            + ["-days", "1", "-subj", f"/CN={name}", "-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
            timeout=30,
        )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._name = name
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), self._context.wrap_socket(connection, server_side=True) as tls:
                tls.sendall(self._name.encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def greeting(listen, server_name):
    """What a TLS server answers that is asked for by this name; None when there is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection(listen, timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname=server_name) as tls:
                return tls.recv(100).decode()
    except OSError:
        return None


def test_tls_passes_through_by_server_name(control, outbound, tmp_path):
    with TlsServer("vault", tmp_path) as vault, TlsServer("other", tmp_path) as other, held_port() as listen:
        control.put(
            service("vault", vault.address, protocol="tls", port=443, listen="%s:%d" % listen),
            service("other", other.address, protocol="tls", port=443),
            stream_route("TLSRoute", "vault", "vault", ("vault", 1), hostnames=["vault.example.com"]),
            stream_route("TLSRoute", "rest", "vault", ("other", 1), hostnames=["*.example.com"]),
        )
        outbound()
        until(lambda: greeting(listen, "vault.example.com") == "vault", "TLS through the listener")
        assert greeting(listen, "deep.down.example.com") == "other"
        assert greeting(listen, "stranger.test") is None


def test_policies_limit_and_time_requests(control, outbound, http_upstream):
    app = http_upstream("app")
    control.put(
        service("slow", app.address),
        traffic_policy("slow", "slow", timeouts={"request": "300ms"}, loadBalancer={"policy": "LeastRequest"}),
        service("patient", app.address),
        mesh_config(defaults={"timeouts": {"request": "600ms"}}),
    )
    port = outbound()
    until(lambda: http1.request(port, "GET", "/", host="slow").status == 200, "the service")
    # The gate opens when both requests have ended at their limits.
    held = [("x-respond", '{"gate": "later"}')]
    for host in ("slow", "patient"):
        assert http1.request(port, "GET", "/", held, host=host).status == 504, host
    app.open_gate("later")


def test_names_are_looked_up(control, outbound, http_upstream):
    app = http_upstream("app")
    host, _, port_number = app.address.rpartition(":")
    found = service("found")
    found["spec"]["endpoints"] = [{"dns": {"host": "localhost", "port": int(port_number)}}]
    found["spec"]["hostnames"] = ["found.example.com"]
    allowed = [{"host": "localhost", "port": int(port_number)}]
    # A host outside of the mesh has a dot in its name.
    answer = control.rest.put([mesh_config(egress={"policy": "AllowList", "hosts": allowed})])
    assert answer.status in (400, 422), answer.text
    control.put(found)
    port = outbound()
    for name in ("found", "found.example.com"):
        until(lambda: http1.request(port, "GET", "/", host=name).status == 200, f"{name}")
    assert http1.request(port, "GET", "/", host="stranger.example.com").status == 404
