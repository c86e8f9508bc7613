"""A control plane that is killed at any instant, and clients that mean it no good."""

import queue
import random
import socket
import threading
import time

import grpc
import pytest
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.protobuf import json_format

from harness import http1, mesh
from harness.control import ControlPlane, Sidecar
from harness.management import CDS, EDS
from harness.waiting import until

pytestmark = pytest.mark.weft_only

#: Which instants; another seed, others.
SEED = 20_261_122
ROUNDS = 8


class Load:
    """Requests without a pause, until stopped; whatever is no success is kept."""

    def __init__(self, port, host):
        self.port, self.host = port, host
        self.sent, self.failures = 0, []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stopping.is_set():
            try:
                status = http1.request(self.port, host=self.host).status
            except OSError as error:
                status = repr(error)
            self.sent += 1
            if status != 200:
                self.failures.append(status)

    def stop(self):
        self._stopping.set()
        self._thread.join(30)


def test_killed_at_any_instant_under_change_it_loses_no_request(tmp_path, processes, http_upstream):
    chance = random.Random(SEED)
    store, apps = tmp_path / "mesh.db", [http_upstream("one"), http_upstream("two")]
    control = ControlPlane(tmp_path, store=store)
    xds = control.xds
    control.put(mesh.service("catalog"), mesh.service("caller"))
    for number, app in enumerate(apps):
        Sidecar(tmp_path, control, "catalog", app.port, f"serving-{number}", ["--instance", f"i-{number}"])
    caller = Sidecar(tmp_path, control, "caller", name="calling")
    until(lambda: http1.request(caller.outbound, host="catalog").status == 200, "the catalog to be reached")
    load = Load(caller.outbound, "catalog")
    applied = []
    for turn in range(ROUNDS):
        # Changes follow one another from another thread, until the process is gone in the middle of one.
        changing = threading.Thread(target=change, args=(control, applied, turn), daemon=True)
        changing.start()
        instant = time.monotonic() + chance.uniform(0.0, 0.15)
        while time.monotonic() < instant:
            pass
        control.process.kill()
        changing.join(30)
        control = ControlPlane(tmp_path, store=store, xds=xds)
    known = {each["name"] for each in control.rest.json("/v1/resources")["resources"]}
    assert set(applied) <= known, "what was acknowledged is kept"
    control.put(mesh.service("last", apps[0].address))
    until(lambda: http1.request(caller.outbound, host="last").status == 200, "the last change", 40)
    until(lambda: all(proxy["converged"] for proxy in control.proxies()), "all to have everything", 40)
    until(lambda: {one["instance"] for one in control.workloads()} == {"i-0", "i-1"}, "both workloads", 40)
    load.stop()
    assert load.sent > 100 and not load.failures, (load.sent, load.failures[:5])


def change(control, applied, turn):
    for number in range(200):
        name = f"service-{turn}-{number}"
        try:
            answer = control.rest.put([mesh.service(name, "127.0.0.1:9")])
        except (OSError, AssertionError, ValueError):
            return
        if answer.status in (200, 201):
            applied.append(name)


def node(name):
    facts = {"id": name, "userAgentName": "test", "metadata": {"weft": {"outbound": "127.0.0.1:15001"}}}
    return json_format.ParseDict(facts, discovery_pb2.DiscoveryRequest().node)


def resident(process):
    """In MiB."""
    with open(f"/proc/{process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


class Hostile:
    """A stream to do anything with; a thread drops what it hears."""

    def __init__(self, control, reads=True):
        self.channel = grpc.insecure_channel(control.xds, [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)])
        self.out, self.error, self.heard = queue.Queue(), None, 0
        stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(self.channel)
        self._answers = stub.StreamAggregatedResources(iter(self.out.get, None))
        if reads:
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for _ in self._answers:
                self.heard += 1
        except grpc.RpcError as error:
            self.error = error

    def say(self, name="hostile", **fields):
        self.out.put(discovery_pb2.DiscoveryRequest(node=node(name), **fields))

    def ended(self, code):
        until(lambda: self.error is not None, "the stream to end")
        return self.error.code() == code

    def close(self):
        self.out.put(None)
        self._answers.cancel()
        self.channel.close()


def test_slow_silent_lying_and_flooding_clients_hold_up_nobody(tmp_path, processes, http_upstream):
    services = [mesh.service(f"service-{number}", "127.0.0.1:9") for number in range(300)]
    with ControlPlane(tmp_path, services) as control:
        well = Sidecar(tmp_path, control, name="well")
        before = resident(control.process)
        names = [f"service-{number}.default:80" for number in range(300)]
        hostile = []

        def new(**more):
            hostile.append(Hostile(control, **more))
            return hostile[-1]

        for _ in range(20):
            never_acknowledges = new()
            never_acknowledges.say(type_url=CDS)
            never_acknowledges.say(type_url=EDS, resource_names=names)
            never_reads = new(reads=False)
            never_reads.say(type_url=CDS)
            never_reads.say(type_url=EDS, resource_names=names)
            new()  # It never says anything.
        liar = new()
        liar.say(type_url=CDS)
        for number in range(5000):
            liar.say(type_url=CDS, response_nonce=f"lie-{number}", version_info="7")
            liar.say(type_url=EDS, response_nonce="", resource_names=names[number % 250 :][:50])
        refuser = new()
        refuser.say(type_url=CDS)
        huge = new()
        huge.say(type_url=EDS, resource_names=["x" * 1_000_000] * 9)
        greedy = new()
        greedy.say(type_url=EDS, resource_names=[f"n-{number}" for number in range(150_000)])
        nobody = new()
        nobody.out.put(discovery_pb2.DiscoveryRequest(type_url=CDS))
        garbage(control)
        assert huge.ended(grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert greedy.ended(grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert nobody.ended(grpc.StatusCode.INVALID_ARGUMENT)

        # All the while everybody else is served as ever.
        for number in range(5):
            name = f"new-{number}"
            control.put(mesh.service(name, http_upstream(name).address))
            began = time.monotonic()
            until(lambda: http1.request(well.outbound, host=name).status == 200, f"{name} to be reached", 10)
            assert time.monotonic() - began < 10
        until(lambda: liar.out.empty(), "the lies to be read", 30)
        grown = resident(control.process) - before
        assert grown < 150, f"{grown:.0f} MiB more"
        # A lie is answered with nothing but what is due.
        assert liar.heard < 2000, liar.heard
        for each in hostile:
            each.close()
        until(lambda: len(control.proxies()) == 1, "the others to be forgotten", 30)


def garbage(control):
    """Bytes that are no HTTP/2, and HTTP/2 that is no gRPC."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    address = ("127.0.0.1", control.xds_port)
    for sent in (b"\0" * 4096, b"GET / HTTP/1.1\r\n\r\n", preface + b"\xff" * 4096, preface + bytes(9) * 500):
        with socket.create_connection(address, timeout=10) as connection:
            connection.settimeout(10)
            try:
                connection.sendall(sent)
                while connection.recv(65536):
                    pass
            except (ConnectionError, TimeoutError):
                pass
