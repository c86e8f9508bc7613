"""Our control plane configures a real Envoy, and our proxy through the same bootstrap, in both variants."""

import collections
import socket

import grpc
import pytest

from harness import grpcs, http1
from harness.config import ads_bootstrap
from harness.control import ControlPlane, Registration
from harness.grpcs import Server as GrpcServer
from harness.load import Load
from harness.mesh import documents, exact, http_route, prefix, rule, service, subset, traffic_policy, with_header
from harness.process import run
from harness.proxy import Proxy, binary
from harness.upstream import Tcp
from harness.waiting import until

KINDS = [(kind, mode) for kind in ("envoy", "envoy-older", "weft") for mode in ("sotw", "delta")]


@pytest.fixture(params=KINDS, ids=["-".join(kind) for kind in KINDS])
def side(request):
    """Which proxy, and which variant of ADS."""
    return request.param


@pytest.fixture
def sidecar(side, control, tmp_path, processes):
    """Starts the proxy with the way to the control plane and its own metadata."""
    kind, mode = side

    def launch(metadata=None, name="sidecar"):
        metadata = metadata or {"outbound": "127.0.0.1:0"}
        config = ads_bootstrap(control.xds_port, mode, node=f"{name}-{kind}-{mode}", metadata={"weft": metadata})
        return Proxy(kind, config, tmp_path, name=name)

    return launch


def ask(port, host, path="/", headers=()):
    return http1.request(port, "GET", path, headers, host=host)


def upstream(port, host, path="/", headers=()):
    answer = ask(port, host, path, headers)
    assert answer.status == 200, (answer.status, answer.text)
    return answer.json()["upstream"]


def reaches(port, host, name, path="/", headers=()):
    until(lambda: upstream(port, host, path, headers) == name, f"{host}{path} to reach {name}")


def test_a_service_is_reached_by_each_of_its_names(control, sidecar, http_upstream):
    control.put(service("catalog", http_upstream("catalog").address))
    port = sidecar().port("outbound")
    for host in ("catalog", "catalog:80", "catalog.default", "catalog.default:80"):
        reaches(port, host, "catalog")
    assert ask(port, "stranger").status == 404


def test_services_come_and_go(control, sidecar, http_upstream):
    one, two = http_upstream("one"), http_upstream("two")
    control.put(service("one", one.address))
    port = sidecar().port("outbound")
    reaches(port, "one", "one")
    control.put(service("two", two.address))
    reaches(port, "two", "two")
    control.delete("Service", "two")
    until(lambda: ask(port, "two").status == 404, "the deleted service to be unknown")
    assert upstream(port, "one") == "one"


def test_static_endpoints_move(control, sidecar, http_upstream):
    one, two = http_upstream("one"), http_upstream("two")
    control.put(service("catalog", one.address))
    port = sidecar().port("outbound")
    reaches(port, "catalog", "one")
    control.put(service("catalog", two.address))
    reaches(port, "catalog", "two")


def versions_of(one, two):
    return (one.address, {"version": "v1"}), (two.address, {"version": "v2"})


def versions(one, two):
    return [
        service("inventory", *versions_of(one, two)),
        subset("v1", "inventory", version="v1"),
        subset("v2", "inventory", version="v2"),
    ]


def test_a_route_change_moves_the_traffic(control, sidecar, http_upstream):
    one, two = http_upstream("one"), http_upstream("two")
    control.put(*versions(one, two), http_route("inventory", "inventory", rule(("v1", 100), ("v2", 0))))
    port = sidecar().port("outbound")
    reaches(port, "inventory", "one")
    assert {upstream(port, "inventory") for _ in range(20)} == {"one"}
    control.put(http_route("inventory", "inventory", rule(("v1", 0), ("v2", 100))))
    reaches(port, "inventory", "two")
    assert {upstream(port, "inventory") for _ in range(20)} == {"two"}
    control.put(http_route("inventory", "inventory", rule(("v1", 50), ("v2", 50))))
    until(lambda: upstream(port, "inventory") == "one", "the first version again")
    counts = collections.Counter(upstream(port, "inventory") for _ in range(200))
    assert 60 <= counts["one"] <= 140, counts


def test_nothing_is_lost_while_the_mesh_changes(control, sidecar, http_upstream):
    """A Service is routed, moved and given policies, others come and go, and requests notice nothing."""
    one, two = http_upstream("one"), http_upstream("two")
    control.put(*versions(one, two))
    port = sidecar().port("outbound")
    until(lambda: ask(port, "inventory").status == 200, "the Service")
    with Load(port, host="inventory", callers=2, rate=50) as load:
        for turn in range(6):
            weights = (1, 0) if turn % 2 else (0, 1)
            control.put(http_route("inventory", "inventory", rule(("v1", weights[0]), ("v2", weights[1]))))
            until(load.more(10), "requests by the route")
            moved = [(one.address, {"version": "v2"}), (two.address, {"version": "v1"})]
            control.put(service("inventory", *(moved if turn % 3 else versions_of(one, two))))
            control.put(service(f"other-{turn}", one.address), traffic_policy("inventory", "inventory", timeouts={"request": f"{turn + 5}s"}))
            until(load.more(10), "requests to where it moved")
            control.delete("Service", f"other-{turn}")
            control.delete("TrafficPolicy", "inventory")
            control.delete("HTTPRoute", "inventory")
            until(load.more(10), "requests without a route")
    load.require_no_loss()
    assert set(load.upstreams) == {"one", "two"}


def test_rules_match_by_path_and_header(control, sidecar, http_upstream):
    one, two = http_upstream("one"), http_upstream("two")
    control.put(
        *versions(one, two),
        http_route(
            "inventory",
            "inventory",
            rule(("v2", 1), matches=[exact("/exact"), with_header("x-canary", "yes")]),
            rule(("v2", 1), matches=[prefix("/v2")]),
            rule(("v1", 1), matches=[prefix("/")]),
        ),
    )
    port = sidecar().port("outbound")
    reaches(port, "inventory", "one")
    for path, headers, expected in [
        ("/exact", [], "two"),
        ("/exact/", [], "one"),
        ("/v2", [], "two"),
        ("/v2/deep", [], "two"),
        ("/v22", [], "one"),
        ("/any", [("x-canary", "yes")], "two"),
        ("/any", [("x-canary", "no")], "one"),
    ]:
        assert upstream(port, "inventory", path, headers) == expected, (path, headers)


def test_registered_workloads_take_traffic_until_they_drain(control, sidecar, http_upstream, tmp_path):
    one, two = http_upstream("one"), http_upstream("two")
    control.put(service("catalog"))
    port = sidecar().port("outbound")
    until(lambda: ask(port, "catalog").status == 503, "a service without endpoints")
    first = Registration(tmp_path, control, "catalog", one.address, "i1")
    reaches(port, "catalog", "one")
    second = Registration(tmp_path, control, "catalog", two.address, "i2")
    reaches(port, "catalog", "two")
    first.drain()
    until(lambda: {upstream(port, "catalog") for _ in range(10)} == {"two"}, "only the second to serve")
    first.leave()
    third = Registration(tmp_path, control, "catalog", one.address, "i3")
    reaches(port, "catalog", "one")
    second.vanish()
    until(lambda: {upstream(port, "catalog") for _ in range(10)} == {"one"}, "the vanished one to be gone")
    third.leave()
    until(lambda: ask(port, "catalog").status == 503, "nobody to be left")


def test_grpc_services_are_called_over_h2(control, sidecar):
    with GrpcServer("grpc") as up:
        control.put(service("catalog", up.address, protocol="grpc"))
        port = sidecar().port("outbound")
        def called():
            options = [("grpc.default_authority", "catalog")]
            with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
                try:
                    return grpcs.unary(channel, b"ping")
                except grpc.RpcError as error:
                    raise AssertionError(error.details()) from error

        assert until(called, "a gRPC call") == (b"ping", "grpc")


def test_a_tcp_service_has_a_listener_of_its_own(control, sidecar, processes):
    # The model wants a port that callers know; the kernel gives one that is held on another
    # loopback address meanwhile, so nobody else gets it.
    with Tcp("bytes") as up, socket.create_server(("127.0.0.1", 0)) as held:
        listen = ("127.0.0.2", held.getsockname()[1])
        control.put(service("database", up.address, protocol="tcp", port=5432, listen="%s:%d" % listen))
        sidecar()

        def echoed():
            with http1.Connection(listen[1], listen[0]) as connection:
                connection.socket.shutdown(1)
                return connection.read_to_end() == b"bytes\n"

        until(echoed, "bytes through the listener of the service")


def test_inbound_traffic_reaches_the_application(control, sidecar, http_upstream):
    app = http_upstream("app")
    control.put(service("catalog"))
    proxy = sidecar({"service": "catalog", "app": app.address, "inbound": "127.0.0.1:0", "outbound": "127.0.0.1:0"})
    reaches(proxy.port("inbound"), "catalog", "app")


def test_traffic_goes_on_while_the_control_plane_restarts(side, tmp_path, processes, http_upstream):
    kind, mode = side
    one, two = http_upstream("one"), http_upstream("two")
    store = tmp_path / "store.db"
    with ControlPlane(tmp_path, store=store) as control:
        control.put(service("catalog", one.address))
        xds = control.xds
        config = ads_bootstrap(control.xds_port, mode, metadata={"weft": {"outbound": "127.0.0.1:0"}})
        port = Proxy(kind, config, tmp_path, name="sidecar").port("outbound")
        reaches(port, "catalog", "one")
    assert upstream(port, "catalog") == "one"
    with ControlPlane(tmp_path, store=store, xds=xds) as control:
        until(lambda: control.proxies(), "the sidecar to come back", 40)
        assert upstream(port, "catalog") == "one"
        control.put(service("catalog", two.address))
        reaches(port, "catalog", "two")


def test_every_answer_is_acknowledged_and_told(control, sidecar, side, http_upstream):
    control.put(service("catalog", http_upstream("catalog").address))
    proxy = sidecar()
    reaches(proxy.port("outbound"), "catalog", "catalog")
    text = until(lambda: control.rest.get("/v1/proxies").text, "the list of proxies")
    assert f"sidecar-{side[0]}-{side[1]}" in text
    stats = proxy.admin.stats()
    refused = {name: value for name, value in stats.items() if name.endswith("update_rejected") and value}
    assert not refused


def test_what_no_proxy_would_take_is_refused_at_the_door(control, sidecar, http_upstream):
    up = http_upstream("up")
    control.put(service("catalog", up.address))
    port = sidecar().port("outbound")
    reaches(port, "catalog", "up")
    answer = control.rest.put([http_route("catalog", "catalog", rule(("nowhere", 1)))])
    assert 400 <= answer.status < 500, answer.text
    assert "nowhere" in answer.text and "backendRefs" in answer.text
    assert upstream(port, "catalog") == "up"


def test_a_dry_run_changes_nothing(control, http_upstream):
    answer = control.rest.put([service("catalog", http_upstream("up").address)], "?dryRun=true")
    assert answer.status == 200, answer.text
    assert "catalog" not in control.rest.get("/v1/resources").text


def test_documents_are_applied_all_or_none(control):
    broken = service("broken")
    broken["spec"]["ports"] = []
    answer = control.rest.put([service("fine"), broken])
    assert 400 <= answer.status < 500
    assert "broken" in answer.text
    assert "fine" not in control.rest.get("/v1/resources").text


def test_the_files_of_the_model_are_read_at_the_start(tmp_path, processes, http_upstream, side):
    up = http_upstream("up")
    with ControlPlane(tmp_path, [service("catalog", up.address)]) as control:
        config = ads_bootstrap(control.xds_port, side[1], metadata={"weft": {"outbound": "127.0.0.1:0"}})
        reaches(Proxy(side[0], config, tmp_path, name="sidecar").port("outbound"), "catalog", "up")


def test_a_broken_file_is_refused_with_its_place(tmp_path):
    path = tmp_path / "mesh.yaml"
    text = documents([http_route("inventory", "nobody", rule("nobody"))])
    path.write_text(text)
    outcome = run([binary("weft-control-plane"), "--mesh", path, "--xds", "127.0.0.1:0"], tmp_path)
    assert outcome.returncode not in (0, 101)
    assert "mesh.yaml:" in outcome.stderr and "nobody" in outcome.stderr
