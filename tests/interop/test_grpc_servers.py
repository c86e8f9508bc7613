"""grpcio as an xDS server and as its client, no proxy at all: both configured by our control plane."""

import json
import socket
import sys

import grpc
import pytest

from harness.control import ControlPlane, Registration, XdsClient
from harness.mesh import service
from harness.process import Process, run
from harness.proxy import ROOT, binary
from harness.waiting import until


@pytest.fixture
def control(tmp_path, processes):
    with ControlPlane(tmp_path, [service("echo", protocol="grpc")]) as running:
        yield running


@pytest.fixture
def address():
    """An address of 127.0.0.2 whose port nobody else gets: the kernel's choice on 127.0.0.1 keeps it."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield f"127.0.0.2:{held.getsockname()[1]}"


def bootstrap(control, directory, *arguments):
    asked = [binary("weft"), "bootstrap", "--for", "grpc", "--control-plane", control.xds, *arguments]
    made = run(asked, directory)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def start(directory, made, address, name="server"):
    ready = directory / f"{name}.ready"
    argv = [sys.executable, "-m", "harness.grpc_xds_server", address, name, ready]
    env = {"GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(made), "PYTHONPATH": str(ROOT / "tests")}
    process = Process(name, argv, directory, env)
    until(lambda: process.require_alive() or ready.exists(), "the server to start", 30)
    return process


def called(address):
    """Whether somebody takes calls there."""
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/weft.test.Echo/Unary")
        try:
            return call(b"ping", timeout=2)
        except grpc.RpcError:
            return None


def test_a_server_serves_what_it_is_told_and_clients_find_it(control, tmp_path, address):
    made = bootstrap(control, tmp_path, "--node", "server", "--service", "echo", "--app", address)
    start(tmp_path, made, address)
    until(lambda: called(address) == b"ping", "the server to take calls", 30)
    registration = Registration(tmp_path, control, "echo", address, "i-1")
    with XdsClient(tmp_path, control, "xds:///echo") as client:
        until(lambda: client.call()["upstream"] == "server", "a call by name")
    registration.leave()
    [server] = [each for each in control.proxies() if each["node"] == "server"]
    assert server["converged"] and not server.get("quarantined")


def test_a_server_whose_address_the_control_plane_does_not_know_takes_no_calls(control, tmp_path, address):
    made = bootstrap(control, tmp_path, "--node", "stranger")
    start(tmp_path, made, address)
    until(lambda: any(each["node"] == "stranger" for each in control.proxies()), "the server to have asked")
    assert called(address) is None


def test_a_server_goes_on_while_the_control_plane_is_gone(control, tmp_path, address):
    made = bootstrap(control, tmp_path, "--node", "server", "--service", "echo", "--app", address)
    start(tmp_path, made, address)
    until(lambda: called(address) == b"ping", "the server to take calls", 30)
    control.process.kill()
    assert called(address) == b"ping"
