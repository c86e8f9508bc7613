"""A Gateway does in our proxy and in Envoy, with a control plane and without one, what its document says."""

import socket

import grpc
import pytest

from harness import http1
from harness import mesh as m
from harness.config import ads_bootstrap
from harness.control import ControlPlane, Sidecar
from harness.grpcs import Server as GrpcServer
from harness.grpcs import unary
from harness.process import Process, run
from harness.proxy import Admin, Proxy, binary
from harness.upstream import Tcp
from harness.waiting import until


class Ports:
    """Ports of 127.0.0.2, held at 127.0.0.1 so that the kernel gives them to nobody else."""

    def __init__(self, *names):
        self._held = {name: socket.create_server(("127.0.0.1", 0)) for name in names}

    def __getitem__(self, name):
        return self._held[name].getsockname()[1]

    def close(self):
        for held in self._held.values():
            held.close()


ADDRESS = "127.0.0.2"


@pytest.fixture
def ports():
    made = Ports("web", "database")
    yield made
    made.close()


def gateway(ports, **more):
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "edge"},
        "spec": {
            "gatewayClassName": "weft",
            "addresses": [{"type": "IPAddress", "value": ADDRESS}],
            "listeners": [
                {"name": "web", "port": ports["web"], "protocol": "HTTP", "hostname": "*.shop.test"},
                {"name": "api", "port": ports["web"], "protocol": "HTTP", "hostname": "api.shop.test"},
                {"name": "database", "port": ports["database"], "protocol": "TCP"},
            ],
            **more,
        },
    }


def attached(kind, name, rules, section=None, hostnames=()):
    route = m.http_route(name, "edge", *rules)
    route["kind"] = kind
    if kind == "TCPRoute":
        route["apiVersion"] = "gateway.networking.k8s.io/v1alpha2"
    route["spec"]["parentRefs"] = [{"name": "edge", **({"sectionName": section} if section else {})}]
    if hostnames:
        route["spec"]["hostnames"] = list(hostnames)
    return route


def ask(ports, host, path="/", headers=()):
    with http1.Connection(ports["web"], ADDRESS) as connection:
        return connection.request("GET", path, headers, host=host)


def status(ports, host):
    """The status of an answer; None while nothing listens."""
    try:
        return ask(ports, host).status
    except OSError:
        return None


def documents(ports, shop, other, database):
    return [
        gateway(ports),
        m.service("shop", shop.address),
        m.service("other", other.address),
        m.service("database", database.address, protocol="tcp", port=5432),
        attached("HTTPRoute", "shop", [m.rule("shop")], "web", ["www.shop.test"]),
        attached("HTTPRoute", "all", [m.rule("other", matches=[m.prefix("/all")])], "web"),
        attached("TCPRoute", "database", [{"backendRefs": [{"name": "database"}]}]),
    ]


@pytest.fixture(params=["weft", "envoy", "flag", "file"])
def started(request, ports, tmp_path, processes):
    """Starts a gateway: under a control plane by bootstrap or by flag, or from a file."""
    running = []

    def start(values):
        if request.param == "file":
            path, written = tmp_path / "mesh.yaml", tmp_path / "gateway.admin"
            path.write_text(m.documents(values))
            argv = [binary("weft-proxy"), "--mesh", path, "--gateway", "edge", "--admin", "127.0.0.1:0"]
            process = Process("gateway", [*argv, "--admin-address-path", written], tmp_path)
            until(lambda: process.require_alive() or (written.exists() and ":" in written.read_text()), "its admin")
            until(Admin(written.read_text().strip()).ready, "the gateway to be ready")
            return None
        control = ControlPlane(tmp_path)
        running.append(control)
        control.put(*values)
        if request.param == "flag":
            Sidecar(tmp_path, control, name="gateway", arguments=["--gateway", "edge"])
        else:
            config = ads_bootstrap(control.xds_port, "delta", metadata={"weft": {"gateway": "edge"}})
            Proxy(request.param, config, tmp_path, name="gateway").port(f"gateway/default/edge/{ADDRESS}:{ports['web']}")
        return control

    yield start
    for control in running:
        control.stop()


def test_requests_come_in_by_host_name(started, ports, http_upstream):
    shop, other = http_upstream("shop"), http_upstream("other")
    with Tcp("database") as database:
        started(documents(ports, shop, other, database))
        until(lambda: status(ports, "www.shop.test") == 200, "the route of the shop")
        answer = ask(ports, f"www.shop.test:{ports['web']}", headers=[("x-forwarded-for", "192.0.2.1")])
        assert answer.json()["upstream"] == "shop", "a port in the host changes nothing"
        assert ask(ports, "new.shop.test", "/all/of/it").json()["upstream"] == "other"
        assert ask(ports, "www.shop.test", "/all").json()["upstream"] == "shop", "the narrower name goes first"
        assert ask(ports, "new.shop.test").status == 404
        assert ask(ports, "api.shop.test", "/all").status == 404, "its own listener has no route"
        assert ask(ports, "elsewhere.test").status == 404

        def greeting():
            with http1.Connection(ports["database"], ADDRESS) as connection:
                connection.socket.shutdown(socket.SHUT_WR)
                return connection.read_to_end()

        assert until(greeting, "the database") == b"database\n"


@pytest.mark.parametrize("started", ["weft", "envoy", "flag"], indirect=True)
def test_a_gateway_follows_its_documents(started, ports, http_upstream):
    shop, other = http_upstream("shop"), http_upstream("other")
    with Tcp("database") as database:
        control = started(documents(ports, shop, other, database))
        until(lambda: status(ports, "api.shop.test") == 404, "the gateway")
        control.put(attached("HTTPRoute", "api", [m.rule("other")], "api"))
        answered = until(lambda: ask(ports, "api.shop.test").status == 200 and ask(ports, "api.shop.test"), "the route")
        assert answered.json()["upstream"] == "other"
        control.delete("HTTPRoute", "api")
        until(lambda: ask(ports, "api.shop.test").status == 404, "the route to be gone")
        assert ask(ports, "www.shop.test").json()["upstream"] == "shop"


def test_calls_come_in(started, ports):
    with GrpcServer("catalog") as catalog:
        route = attached("GRPCRoute", "catalog", [{"backendRefs": [{"name": "catalog"}]}], "api")
        started([gateway(ports), m.service("catalog", catalog.address, protocol="grpc"), route])
        options = [("grpc.default_authority", "api.shop.test")]
        with grpc.insecure_channel(f"{ADDRESS}:{ports['web']}", options) as channel:

            def reached():
                try:
                    return unary(channel)[1]
                except grpc.RpcError:
                    return None

            assert until(reached, "an answer") == "catalog"


def test_a_gateway_has_what_its_routes_lead_to_and_nothing_else(ports, http_upstream, tmp_path, processes):
    shop, other = http_upstream("shop"), http_upstream("other")
    with Tcp("database") as database, ControlPlane(tmp_path) as control:
        control.put(*documents(ports, shop, other, database), m.service("unrelated", shop.address))
        edge = Sidecar(tmp_path, control, name="gateway", arguments=["--gateway", "edge"])
        until(lambda: "shop.default:80" in str(edge.admin.json("/config_dump")), "the configuration")
        assert "unrelated" not in str(edge.admin.json("/config_dump"))
        assert "outbound" not in edge.admin.listeners()


def test_a_gateway_is_nothing_else(tmp_path):
    argv = [binary("weft-proxy"), "--mesh", "x.yaml", "--gateway", "edge", "--service", "shop", "--port", "1"]
    outcome = run(argv, tmp_path)
    assert outcome.returncode != 0
    assert "--gateway" in outcome.stderr
