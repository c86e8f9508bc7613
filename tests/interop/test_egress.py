"""Hosts outside of the mesh, called by the way of a real Envoy, old and new, and of our proxy alike."""

import pytest

from harness import http1
from harness.config import ads_bootstrap
from harness.mesh import mesh_config, service
from harness.proxy import Proxy
from harness.waiting import until


@pytest.fixture(params=["envoy", "envoy-older", "weft"])
def port(request, control, tmp_path, processes):
    """Where a sidecar without an application takes requests."""
    config = ads_bootstrap(control.xds_port, "delta", metadata={"weft": {"outbound": "127.0.0.1:0"}})
    return Proxy(request.param, config, tmp_path, name="sidecar").port("outbound")


def ask(port, host):
    return http1.request(port, "GET", "/", host=host)



def test_whatever_is_named_may_be_called_where_the_mesh_is_open(control, port, http_upstream):
    inside, outside = http_upstream("inside"), http_upstream("outside")
    control.put(service("app", inside.address))
    until(lambda: ask(port, "app").status == 200, "the Service")
    assert ask(port, f"localhost:{outside.port}").status == 404, "closed unless it is opened"
    control.put(mesh_config(egress={"policy": "Allow"}))
    until(lambda: ask(port, f"localhost:{outside.port}").status == 200, "the host outside")
    for host in (f"localhost:{outside.port}", f"LOCALHOST:{outside.port}", f"127.0.0.1:{outside.port}"):
        assert ask(port, host).json()["upstream"] == "outside"
    assert ask(port, "app").json()["upstream"] == "inside", "Services come first"
    control.put(mesh_config(egress={"policy": "Deny"}))
    until(lambda: ask(port, f"localhost:{outside.port}").status == 404, "the mesh to be closed")
    assert ask(port, "app").status == 200


def test_a_request_that_names_the_sidecar_itself_goes_nowhere(control, tmp_path, processes, http_upstream):
    config = ads_bootstrap(control.xds_port, "delta", metadata={"weft": {"outbound": "127.0.0.1:0"}})
    port = Proxy("weft", config, tmp_path, name="sidecar").port("outbound")
    control.put(service("app", http_upstream("app").address), mesh_config(egress={"policy": "Allow"}))
    until(lambda: ask(port, "app").status == 200, "the Service")
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        answer = ask(port, host)
        assert (answer.status, answer.text) == (503, "no healthy upstream"), host
