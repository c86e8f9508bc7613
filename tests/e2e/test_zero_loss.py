"""Steady load while the mesh changes under it: not one request may fail that was not due to."""

import signal

import pytest

from harness import grpcs, mesh
from harness.config import (
    ads_bootstrap,
    assignment,
    eds_cluster,
    hcm,
    listener,
    route,
    routes,
    virtual_host,
)
from harness.control import ControlPlane, Sidecar
from harness.load import Load
from harness.management import CDS, EDS, LDS, RDS, ManagementServer
from harness.upstream import Http
from harness.waiting import until

STEP = 40


@pytest.fixture(params=["sotw", "delta"])
def mode(request):
    return request.param


@pytest.fixture(params=["h1", "h2"])
def protocol(request):
    return request.param


@pytest.fixture
def server():
    with ManagementServer() as running:
        yield running


def world(name, *ports):
    return {
        "clusters": [eds_cluster(name)],
        "assignments": [assignment(name, *ports)],
        "listeners": [listener("main", hcm(rds="main"))],
        "routes": [to(name)],
    }


def to(name, **more):
    return routes("main", virtual_host("all", ["*"], route("/", name), **more))


def after(load, count=STEP):
    """Lets some more requests through before the next change."""
    until(load.more(count), "more requests", 30)


def test_routes_endpoints_and_clusters_change_under_load(start, server, http_upstream, mode, protocol):
    ups = [http_upstream(name) for name in ("a", "b", "c")]
    ports = [up.port for up in ups]
    server.put(**world("c0", ports[0]))
    proxy = start(ads_bootstrap(server.port, mode))
    with Load(proxy.port(), protocol=protocol) as load:
        after(load)
        for turn in range(1, 9):
            server.put(assignments=[assignment(f"c{turn - 1}", *ports[: turn % 3 + 1])])
            after(load, 10)
            server.put(clusters=[eds_cluster(f"c{turn}")], assignments=[assignment(f"c{turn}", ports[turn % 3])])
            server.wait_settled(CDS, EDS)
            server.put(routes=[to(f"c{turn}", response_headers_to_add=[turn_header(turn)])])
            server.wait_settled(RDS)
            after(load, 10)
            server.remove(CDS, f"c{turn - 1}")
            after(load, 10)
            changed = eds_cluster(f"c{turn}", lb_policy="LEAST_REQUEST" if turn % 2 else "ROUND_ROBIN")
            server.put(clusters=[changed], assignments=[assignment(f"c{turn}", ports[turn % 3])])
            after(load, 10)
        server.wait_settled(CDS, EDS, RDS)
    load.require_no_loss()
    assert set(load.upstreams) == {"a", "b", "c"}


def turn_header(turn):
    return {"header": {"key": "x-turn", "value": str(turn)}}


def test_a_changed_listener_lets_its_connections_finish(start, server, http_upstream, mode, protocol):
    up = http_upstream("up")
    server.put(**world("up", up.port))
    proxy = start(ads_bootstrap(server.port, mode), arguments=["--drain-time-s", "5"])
    held = proxy.port()
    with Load(held, protocol=protocol) as load:
        after(load)
        for turn in range(4):
            changed = hcm(rds="main", stat_prefix=f"turn{turn}")
            server.put(listeners=[listener("main", changed, port=held), listener(f"extra{turn}", changed)])
            server.wait_settled(LDS)
            proxy.port(f"extra{turn}")
            after(load)
            server.remove(LDS, f"extra{turn}")
            after(load)
    load.require_no_loss()


def test_cut_streams_and_a_lost_server_cost_no_request(start, server, http_upstream, mode):
    up = http_upstream("up")
    server.put(**world("up", up.port))
    proxy = start(ads_bootstrap(server.port, mode))
    with Load(proxy.port()) as load:
        after(load)
        server.cut()
        after(load)
        server.stop()
        after(load)
        server.start()
        until(lambda: server.streams() == 1, "the proxy to come back", 40)
        after(load)
    load.require_no_loss()


@pytest.fixture
def control(tmp_path, processes):
    documents = [mesh.service("catalog"), mesh.service("client")]
    with ControlPlane(tmp_path, documents) as running:
        yield running


@pytest.mark.weft_only
def test_a_sidecar_restarts_under_load(control, tmp_path, http_upstream, protocol):
    one, two = http_upstream("one"), http_upstream("two")
    drain = ["--drain-time-s", "5", "--instance"]
    first = Sidecar(tmp_path, control, "catalog", one.port, name="first", arguments=[*drain, "i1"])
    Sidecar(tmp_path, control, "catalog", two.port, name="second", arguments=[*drain, "i2"])
    caller = Sidecar(tmp_path, control, "client", name="caller")
    until(lambda: len(control.workloads()) >= 2, "both workloads")
    with Load(caller.outbound, host="catalog", protocol=protocol) as load:
        until(lambda: {"one", "two"} <= set(load.upstreams), "both to serve", 30)
        for turn in range(2):
            first.process.signal(signal.SIGTERM)
            assert first.process.wait(20) == 0
            after(load)
            load.upstreams.clear()
            first = Sidecar(
                tmp_path, control, "catalog", one.port, name=f"first-{turn}", arguments=[*drain, "i1"]
            )
            until(lambda: "one" in load.upstreams, "the restarted one to serve", 30)
    load.require_no_loss()


@pytest.mark.weft_only
@pytest.mark.parametrize("body", [None, b"an order"], ids=["GET", "POST"])
def test_every_instance_is_replaced_under_load(control, tmp_path, protocol, body):
    _roll_out(control, tmp_path, Http, lambda port: Load(port, host="catalog", protocol=protocol, body=body))


@pytest.mark.weft_only
def test_every_server_of_calls_is_replaced_under_load(tmp_path, processes):
    with ControlPlane(tmp_path, [mesh.service("catalog", protocol="grpc"), mesh.service("client")]) as control:
        _roll_out(control, tmp_path, grpcs.Server, lambda port: grpcs.Calls(port, host="catalog"))


def _roll_out(control, tmp_path, start_app, start_load):
    """One after the other goes, application and sidecar, and another comes in its place."""
    drain = ["--drain-time-s", "5", "--instance"]

    def begin(name):
        app = start_app(name)
        return app, Sidecar(tmp_path, control, "catalog", app.port, name=f"sidecar-{name}", arguments=[*drain, name])

    running = [begin(f"old-{index}") for index in range(3)]
    caller = Sidecar(tmp_path, control, "client", name="caller")
    until(lambda: len(control.workloads()) >= 3, "all workloads")
    with start_load(caller.outbound) as load:
        until(lambda: {"old-0", "old-1", "old-2"} <= set(load.upstreams), "all to serve", 30)
        for index in range(3):
            app, sidecar = running[index]
            sidecar.process.signal(signal.SIGTERM)
            assert sidecar.process.wait(20) == 0
            app.stop()
            running[index] = begin(f"new-{index}")
            until(lambda: f"new-{index}" in load.upstreams, "the new one to serve", 30)
        load.upstreams.clear()
        until(lambda: set(load.upstreams) == {"new-0", "new-1", "new-2"}, "the new ones to serve", 30)
    load.require_no_loss()
    for app, _ in running:
        app.stop()


@pytest.mark.weft_only
def test_the_mesh_changes_by_rest_under_load(control, tmp_path, http_upstream):
    one, two = http_upstream("one"), http_upstream("two")
    label = ["--label", "version=v1"], ["--label", "version=v2"]
    Sidecar(tmp_path, control, "catalog", one.port, name="first", arguments=label[0])
    Sidecar(tmp_path, control, "catalog", two.port, name="second", arguments=label[1])
    caller = Sidecar(tmp_path, control, "client", name="caller")
    until(lambda: len(control.workloads()) >= 2, "both workloads")
    with Load(caller.outbound, host="catalog") as load:
        until(lambda: {"one", "two"} <= set(load.upstreams), "both to serve", 30)
        control.put(mesh.subset("v1", "catalog", version="v1"), mesh.subset("v2", "catalog", version="v2"))
        for weight in (100, 50, 0, 10, 90):
            backends = mesh.rule(("v1", weight), ("v2", 100 - weight))
            control.put(mesh.http_route("catalog", "catalog", backends))
            after(load)
        control.delete("HTTPRoute", "catalog")
        after(load)
        control.put(mesh.service("unrelated", one.address))
        after(load)
        control.delete("Service", "unrelated")
        after(load)
    load.require_no_loss()
