"""Faults and time limits of a TrafficPolicy are made and kept by a real Envoy, old and new, by our proxy, and by gRPC
clients, alike."""

import time

import pytest

from harness import grpcs, http1, mesh
from harness.config import ads_bootstrap
from harness.control import XdsClient
from harness.proxy import Proxy
from harness.waiting import until


@pytest.fixture(params=["envoy", "envoy-older", "weft"])
def outbound(request, control, tmp_path, processes):
    """The outbound port of a sidecar that was told these documents."""

    def start(*documents):
        control.put(*documents)
        config = ads_bootstrap(control.xds_port, "delta", metadata={"weft": {"outbound": "127.0.0.1:0"}})
        sidecar = Proxy(request.param, config, tmp_path, name="sidecar")
        until(lambda: "app.default" in sidecar.admin.get("/config_dump").text, "the routes to arrive")
        port = sidecar.port("outbound")
        until(lambda: ask(port, host="free").status == 200, "the Service without a policy")
        return port

    return start


def documents(app, route=None, protocol="http", **settings):
    made = [mesh.service("app", app.address, protocol=protocol), mesh.service("free", app.address, protocol=protocol)]
    return [*made, mesh.traffic_policy("app", "app", **settings), *([route] if route else [])]


def ask(port, path="/", host="app", headers=(), method="GET"):
    return http1.request(port, method, path, headers, host=host)


def test_requests_are_aborted(outbound, http_upstream):
    app = http_upstream("app")
    port = outbound(*documents(app, fault={"abort": {"status": 418}}))
    asked = len(app.seen)
    assert [ask(port).status for _ in range(5)] == [418] * 5
    assert len(app.seen) == asked, "what is aborted is not sent on"
    assert ask(port, host="free").status == 200


def test_calls_are_aborted_in_their_own_terms(outbound, http_upstream):
    port = outbound(*documents(http_upstream("app"), fault={"abort": {"grpcStatus": "DATA_LOSS"}}))
    answer = ask(port, "/a.B/C", headers=[("content-type", "application/grpc"), ("te", "trailers")], method="POST")
    assert (answer.status, answer.header("grpc-status")) == (200, "15")


def test_requests_wait(outbound, http_upstream):
    port = outbound(*documents(http_upstream("app"), fault={"delay": {"time": "300ms"}}))
    before = time.monotonic()
    assert ask(port).status == 200
    assert time.monotonic() - before >= 0.28  # Envoy rounds


def test_faults_are_for_some_requests_alone(outbound, http_upstream):
    """By what they are like, by every rule of a route, and by share."""
    like = {"method": "GET", "path": {"value": "/slow"}, "headers": [{"name": "x-tester", "value": "yes"}]}
    route = mesh.http_route("app", "app", mesh.rule(matches=[mesh.prefix("/slow")]), mesh.rule())
    port = outbound(*documents(http_upstream("app"), route, fault={"abort": {"status": 503}, "match": like}))
    tester = [("x-tester", "yes")]
    assert ask(port, "/slow/1?q", headers=tester).status == 503
    assert ask(port, "/slow", headers=tester, method="POST").status == 200
    assert ask(port, "/slower", headers=tester).status == 200
    assert ask(port, "/slow").status == 200


def test_a_share_of_the_requests_fails(outbound, http_upstream):
    port = outbound(*documents(http_upstream("app"), fault={"abort": {"status": 503, "percent": 30}}))
    failed = sum(ask(port).status == 503 for _ in range(400))
    assert 70 <= failed <= 170, failed  # five deviations from 120


def test_a_stream_ends_in_time(outbound, http_upstream):
    app = http_upstream("app")
    port = outbound(*documents(app, timeouts={"request": "0s", "maxStream": "300ms"}))
    app.script = [{"gate": "later"}]
    assert ask(port).status in (408, 504)
    app.open_gate("later")


def test_silence_ends_a_request(outbound, http_upstream):
    app = http_upstream("app")
    port = outbound(*documents(app, timeouts={"request": "0s", "streamIdle": "300ms"}))
    app.script = [{"gate": "later"}]
    assert ask(port).status in (408, 504)
    app.open_gate("later")


@pytest.mark.parametrize("kind", ["envoy", "envoy-older", "weft"])
def test_an_application_is_not_kept_waiting_for_a_head(control, kind, tmp_path, processes, http_upstream):
    """By the sidecar beside it."""
    app = http_upstream("app")
    control.put(mesh.service("app"), mesh.traffic_policy("app", "app", timeouts={"requestHeaders": "300ms"}))
    node = {"service": "app", "app": app.address, "inbound": "127.0.0.1:0"}
    sidecar = Proxy(kind, ads_bootstrap(control.xds_port, metadata={"weft": node}), tmp_path, name="sidecar")
    until(lambda: "request_headers_timeout" in sidecar.admin.get("/config_dump").text, "the policy to arrive")
    with http1.Connection(sidecar.port("inbound")) as connection:
        connection.send(b"GET / HTTP/1.1\r\nhost: app\r\n")
        assert connection.read().status == 408


@pytest.mark.parametrize("kind", ["envoy", "envoy-older", "weft"])
def test_a_call_ends_when_its_caller_no_longer_waits(control, kind, tmp_path, processes, http_upstream):
    app = http_upstream("app")
    control.put(mesh.service("app", app.address, protocol="grpc"))
    config = ads_bootstrap(control.xds_port, metadata={"weft": {"outbound": "127.0.0.1:0"}})
    port = Proxy(kind, config, tmp_path, name="sidecar").port("outbound")
    until(lambda: ask(port).status == 200, "the Service")
    app.script = [{"gate": "later"}]
    call = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "300m")]
    answer = ask(port, "/a.B/C", headers=call, method="POST")
    assert (answer.status, answer.header("grpc-status")) == (200, "4")
    app.open_gate("later")


def test_a_grpc_client_makes_faults_too(control, tmp_path, processes):
    with grpcs.Server("one") as server:
        fault = {"abort": {"grpcStatus": "DATA_LOSS"}}
        control.put(mesh.service("app", server.address, protocol="grpc"), mesh.traffic_policy("app", "app", fault=fault))
        with XdsClient(tmp_path, control, "xds:///app") as client:
            assert client.call()["code"] == "DATA_LOSS"
