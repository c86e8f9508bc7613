"""Sidecars by their own flags: registration, its end, and the way from caller to application."""

import signal

import pytest

from harness import http1, mesh
from harness.asking import Asking
from harness.control import ControlPlane, Sidecar
from harness.process import Process, run
from harness.proxy import ROOT, Admin, binary
from harness.waiting import until

pytestmark = pytest.mark.weft_only


@pytest.fixture
def control(tmp_path, processes):
    with ControlPlane(tmp_path, [mesh.service("catalog"), mesh.service("storefront")]) as running:
        yield running


def workload(control, instance):
    text = control.rest.get("/v1/workloads").text
    return next((w for w in control.workloads() if instance in str(w)), None) if instance in text else None


def test_a_request_goes_through_two_sidecars(control, tmp_path, http_upstream):
    app = http_upstream("app")
    Sidecar(tmp_path, control, "catalog", app.port)
    caller = Sidecar(tmp_path, control, "storefront")
    port = caller.outbound
    until(lambda: http1.request(port, host="catalog").status == 200, "the catalog to be reached")
    seen = http1.request(port, "GET", "/items?q=1", host="catalog").json()
    assert (seen["upstream"], seen["target"]) == ("app", "/items?q=1")


def test_a_workload_is_registered_drained_and_gone(control, tmp_path, http_upstream):
    app = http_upstream("app")
    arguments = ["--instance", "i-77", "--zone", "z3", "--label", "version=v9", "--drain-time-s", "20"]
    sidecar = Sidecar(tmp_path, control, "catalog", app.port, arguments=arguments)
    entry = until(lambda: workload(control, "i-77"), "the registration")
    assert "v9" in str(entry) and "z3" in str(entry)
    assert f"127.0.0.1:{sidecar.inbound}" in str(entry)
    with http1.Connection(sidecar.inbound) as connection:
        connection.send(http1.encode("GET", "/", [("x-respond", '{"gate": "later"}')], host="catalog"))
        until(lambda: app.seen, "the held request")
        sidecar.process.signal(signal.SIGTERM)
        until(lambda: "drain" in str(workload(control, "i-77")).lower(), "the workload to be draining")
        app.open_gate("later")
        assert connection.read().status == 200
    assert sidecar.process.wait() == 0
    until(lambda: workload(control, "i-77") is None, "the workload to be gone")


def test_a_killed_sidecar_is_gone_at_once(control, tmp_path, http_upstream):
    sidecar = Sidecar(tmp_path, control, "catalog", http_upstream("app").port, arguments=["--instance", "i-9"])
    until(lambda: workload(control, "i-9"), "the registration")
    sidecar.process.kill()
    until(lambda: workload(control, "i-9") is None, "the workload to be gone", 5)


def test_a_sidecar_registers_again_with_a_restarted_control_plane(tmp_path, processes, http_upstream):
    app = http_upstream("app")
    documents = [mesh.service("catalog")]
    with ControlPlane(tmp_path, documents) as control:
        xds = control.xds
        sidecar = Sidecar(tmp_path, control, "catalog", app.port, arguments=["--instance", "i-5"])
        until(lambda: workload(control, "i-5"), "the registration")
    assert http1.request(sidecar.inbound, host="catalog").status == 200
    with ControlPlane(tmp_path, documents, xds=xds) as control:
        until(lambda: workload(control, "i-5"), "the registration again", 40)


def test_a_sidecar_waits_for_a_control_plane_that_is_late(tmp_path, processes, http_upstream):
    app = http_upstream("app")
    with ControlPlane(tmp_path) as first:
        xds = first.xds

    class Late:
        pass

    late = Late()
    late.xds = xds
    sidecar = Sidecar(tmp_path, late, "catalog", app.port, wait=False)
    assert not sidecar.admin.ready()
    with ControlPlane(tmp_path, [mesh.service("catalog")], xds=xds):
        sidecar.wait_until_ready(40)
        assert http1.request(sidecar.inbound, host="catalog").status == 200


def test_flags_can_be_variables(control, tmp_path, http_upstream):
    app = http_upstream("app")
    written = tmp_path / "env.admin"
    env = {
        "WEFT_CONTROL_PLANE": f"http://{control.xds}",
        "WEFT_SERVICE": "catalog",
        "WEFT_PORT": str(app.port),
        "WEFT_INSTANCE": "i-env",
        "WEFT_INBOUND": "127.0.0.1:0",
        "WEFT_OUTBOUND": "127.0.0.1:0",
        "WEFT_ADMIN": "127.0.0.1:0",
    }
    Process("env", [binary("weft-proxy"), "--admin-address-path", written], tmp_path, env)
    until(lambda: workload(control, "i-env"), "the registration")


def test_standalone_needs_no_control_plane(tmp_path, processes, http_upstream):
    app, other = http_upstream("app"), http_upstream("other")
    path = tmp_path / "mesh.yaml"
    path.write_text(mesh.documents([mesh.service("storefront"), mesh.service("catalog", other.address)]))
    written = tmp_path / "standalone.admin"
    argv = [binary("weft-proxy"), "--mesh", path, "--service", "storefront", "--port", app.port]
    argv += ["--inbound", "127.0.0.1:0", "--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    process = Process("standalone", [*argv, "--admin-address-path", written], tmp_path)
    until(lambda: process.require_alive() or (written.exists() and ":" in written.read_text()), "the admin address")
    admin = Admin(written.read_text().strip())
    until(admin.ready, "the proxy to be ready")
    ports = until(lambda: {"inbound", "outbound"} <= set(admin.listeners()) and admin.listeners(), "both listeners")
    assert http1.request(ports["outbound"], host="catalog").json()["upstream"] == "other"
    assert http1.request(ports["inbound"], host="storefront").json()["upstream"] == "app"


def test_standalone_runs_the_example(tmp_path, processes):
    written = tmp_path / "example.admin"
    argv = [binary("weft-proxy"), "--mesh", ROOT / "config/examples/shop.yaml", "--service", "storefront"]
    argv += ["--port", "1", "--inbound", "127.0.0.1:0", "--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    process = Process("example", [*argv, "--admin-address-path", written], tmp_path)
    until(lambda: process.require_alive() or (written.exists() and ":" in written.read_text()), "the admin address")
    admin = Admin(written.read_text().strip())
    until(admin.ready, "the proxy to be ready")
    port = until(lambda: admin.listeners().get("outbound"), "the outbound listener")
    assert http1.request(port, host="inventory").status == 503, "known, with nobody behind it"
    assert http1.request(port, host="stranger").status == 404


def test_a_mesh_file_with_an_error_is_refused_with_its_place(tmp_path):
    path = tmp_path / "mesh.yaml"
    path.write_text(mesh.documents([mesh.http_route("inventory", "nobody", mesh.rule("nobody"))]))
    outcome = run([binary("weft-proxy"), "--mesh", path, "--service", "storefront"], tmp_path)
    assert outcome.returncode not in (0, 101)
    assert "mesh.yaml:" in outcome.stderr and "nobody" in outcome.stderr


def test_what_is_left_of_the_time_is_all_that_the_next_sidecar_has(control, tmp_path, http_upstream):
    app = http_upstream("app")
    sidecar = Sidecar(tmp_path, control, "catalog", app.port)
    never = ("x-respond", '{"gate": "never"}')
    got = http1.request(sidecar.inbound, headers=[never, ("x-envoy-expected-rq-timeout-ms", "50")], host="catalog")
    assert got.status == 504
    assert "x-envoy-expected-rq-timeout-ms of the request" in got.header("proxy-status")


def test_the_deadline_of_a_call_holds_on_its_whole_way(control, tmp_path, http_upstream):
    app = http_upstream("app")
    Sidecar(tmp_path, control, "catalog", app.port)
    caller = Sidecar(tmp_path, control, "storefront")
    until(lambda: http1.request(caller.outbound, host="catalog").status == 200, "the catalog to be reached")
    call = [("content-type", "application/grpc"), ("te", "trailers"), ("x-respond", '{"gate": "never"}')]
    got = http1.request(caller.outbound, "POST", headers=[*call, ("grpc-timeout", "200m")], host="catalog")
    assert got.header("grpc-status") == "4"
    assert "grpc-timeout of the request" in got.header("proxy-status")
    assert int(dict(app.seen[-1]["headers"])["grpc-timeout"].rstrip("m")) <= 200


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("PUT", [], 200),
        ("POST", [], 503),
        ("POST", [("idempotency-key", '"order-7"')], 200),
    ],
)
def test_what_may_have_been_done_is_repeated_where_that_does_no_harm(control, tmp_path, http_upstream, method, headers, status):
    app = http_upstream("app")
    control.put(mesh.traffic_policy("catalog", "catalog", retries={"on": ["5xx"], "backoff": "1ms"}))
    Sidecar(tmp_path, control, "catalog", app.port)
    caller = Sidecar(tmp_path, control, "storefront")
    until(lambda: http1.request(caller.outbound, host="catalog").status == 200, "the catalog to be reached")
    app.script = [{"status": 503}]
    assert http1.request(caller.outbound, method, headers=headers, body="an order", host="catalog").status == status


@pytest.mark.parametrize("more", [{}, {"maxStream": "1h"}], ids=["alone", "with a bound of streams"])
def test_the_time_of_a_policy_ends_a_request(control, tmp_path, http_upstream, more):
    app = http_upstream("app")
    control.put(mesh.traffic_policy("catalog", "catalog", timeouts={"request": "100ms", **more}))
    Sidecar(tmp_path, control, "catalog", app.port)
    caller = Sidecar(tmp_path, control, "storefront")
    until(lambda: http1.request(caller.outbound, host="catalog").status == 200, "the catalog to be reached")
    never = ("x-respond", '{"gate": "never"}')
    got = http1.request(caller.outbound, headers=[never], host="catalog")
    assert got.status == 504
    # The sidecar beside the service was told how long its caller waits, and may see it pass in the same millisecond.
    assert any(setting in got.header("proxy-status") for setting in ["of the route", "x-envoy-expected-rq-timeout-ms"])
    call = [never, ("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "1H")]
    assert http1.request(caller.outbound, "POST", headers=call, host="catalog").header("grpc-status") in ("4", "14")


def test_only_so_many_requests_at_once_come_to_an_application(control, tmp_path, http_upstream):
    app = http_upstream("app", body="fine")
    few = {"adaptiveConcurrency": {"minConcurrent": 1, "maxConcurrent": 1}}
    control.put(mesh.traffic_policy("catalog", "catalog", highPriority=[{"path": {"value": "/pay"}}], **few))
    Sidecar(tmp_path, control, "catalog", app.port)
    caller = Sidecar(tmp_path, control, "storefront")
    until(lambda: http1.request(caller.outbound, host="catalog").status == 200, "the catalog to be reached")
    held = Asking(caller.outbound, host="catalog", headers=[("x-respond", '{"gate": "held"}')])
    until(lambda: "x-respond" in dict(app.seen[-1]["headers"]), "it to be there")
    assert http1.request(caller.outbound, host="catalog").status == 503
    assert http1.request(caller.outbound, target="/pay/now", host="catalog").status == 200
    app.open_gate("held")
    assert held.answer().status == 200
    until(lambda: http1.request(caller.outbound, host="catalog").status == 200, "its place to be free")
