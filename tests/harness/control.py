"""Our control plane as a process, its REST interface, sidecars and registrations."""

import importlib
import json
import queue
import sys
import threading
from pathlib import Path

import grpc
from grpc_tools import protoc

from harness import http1, mesh
from harness.process import Process
from harness.proxy import ROOT, Admin, Proxy, binary
from harness.waiting import until


class ControlPlane:
    """A running control plane; `documents` are values of `harness.mesh`."""

    def __init__(self, directory, documents=(), name="control-plane", store=None, xds="127.0.0.1:0", arguments=()):
        self.directory = Path(directory)
        self.name = name
        self._address = self.directory / f"{name}.admin"
        self._address.unlink(missing_ok=True)
        argv = [binary("weft-control-plane"), "--xds", xds, "--admin", "127.0.0.1:0"]
        argv += ["--admin-address-path", self._address, "-l", "info"]
        if documents:
            path = self.directory / f"{name}.mesh.yaml"
            path.write_text(mesh.documents(documents))
            argv += ["--mesh", path]
        if store:
            argv += ["--store", store]
        argv += arguments
        self.process = Process(name, argv, self.directory)
        until(self._bound, "the control plane's admin address")
        self.rest = Rest(self._address.read_text().strip())
        until(lambda: self.rest.get("/readyz").status == 200, "the control plane to be ready")
        self.xds = self.rest.json("/v1/info")["xds"]

    def _bound(self):
        self.process.require_alive()
        return self._address.exists() and ":" in self._address.read_text()

    @property
    def xds_port(self):
        return int(self.xds.rpartition(":")[2])

    def put(self, *documents):
        """Applies documents; raises what the control plane said against them."""
        answer = self.rest.put(documents)
        assert answer.status in (200, 201), f"{answer.status}: {answer.text}"

    def delete(self, kind, name, namespace="default"):
        answer = self.rest.delete(f"/v1/resources/{kind}/{namespace}/{name}")
        assert answer.status in (200, 204), f"{answer.status}: {answer.text}"

    def workloads(self):
        """What `/v1/workloads` lists, whatever it is wrapped in."""
        return _list(self.rest.json("/v1/workloads"), "workloads")

    def proxies(self):
        return _list(self.rest.json("/v1/proxies"), "proxies")

    def stop(self):
        self.process.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def _list(answer, name):
    return answer if isinstance(answer, list) else answer.get(name, answer.get("items"))


class Rest(Admin):
    """The control plane's REST interface."""

    def put(self, documents, query=""):
        text = documents if isinstance(documents, str) else mesh.documents(documents)
        headers = [("connection", "close"), ("content-type", "application/yaml")]
        return http1.request(self.port, "PUT", f"/v1/resources{query}", headers, text, host="localhost")

    def delete(self, path):
        return http1.request(self.port, "DELETE", path, [("connection", "close")], host="localhost")


class Sidecar:
    """weft-proxy beside an application, as its own flags say it."""

    def __init__(self, directory, control, service=None, app_port=None, name=None, arguments=(), wait=True, server=()):
        name = name or f"sidecar-{service}"
        self._address = Path(directory) / f"{name}.admin"
        self._address.unlink(missing_ok=True)
        argv = [binary("weft-proxy"), *(server or ["--control-plane", f"http://{control.xds}"])]
        argv += ["--inbound", "127.0.0.1:0", "--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        argv += ["--admin-address-path", self._address, "--concurrency", "1", "-l", "info"]
        if service:
            argv += ["--service", service]
        if app_port:
            argv += ["--port", str(app_port)]
        self.process = Process(name, [*argv, *arguments], directory)
        self.kind = "weft"
        if wait:
            self.wait_until_ready()

    admin = Proxy.admin
    _bound = Proxy._bound
    wait_until_ready = Proxy.wait_until_ready
    port = Proxy.port
    stop = Proxy.stop
    __enter__ = Proxy.__enter__
    __exit__ = Proxy.__exit__

    @property
    def outbound(self):
        return self.port("outbound")

    @property
    def inbound(self):
        return self.port("inbound")


_PROTO = Path("weft/registry/v1/registry.proto")


def registry(directory):
    """The registry's messages, compiled by Google's own compiler from our `.proto`."""
    module = "weft.registry.v1.registry_pb2"
    if module not in sys.modules:
        source = ROOT / "proto"
        failed = protoc.main(["protoc", f"-I{source}", f"--python_out={directory}", str(source / _PROTO)])
        assert not failed, "registry.proto does not compile"
        sys.path.insert(0, str(directory))
        importlib.import_module(module)
    return sys.modules[module]


class Registration:
    """A workload that registers itself, as a sidecar in another language would."""

    def __init__(self, directory, control, service, address, instance, labels=None, wait=True):
        self._pb = registry(directory)
        self._state = self._pb.WorkloadState(
            service=service,
            namespace="default",
            instance=instance,
            address=address,
            labels=labels or {},
            phase=self._pb.PHASE_SERVING,
        )
        self._out = queue.Queue()
        self.revisions = []
        self.error = None
        self._channel = grpc.insecure_channel(control.xds)
        call = self._channel.stream_stream(
            "/weft.registry.v1.WorkloadRegistry/Register",
            request_serializer=self._pb.WorkloadState.SerializeToString,
            response_deserializer=self._pb.Acknowledgement.FromString,
        )
        self._answers = call(iter(self._out.get, None))
        threading.Thread(target=self._read, daemon=True).start()
        if wait:
            self.send()
        else:
            self._say()

    def _read(self):
        try:
            for answer in self._answers:
                self.revisions.append(answer.revision)
        except grpc.RpcError as error:
            self.error = error

    def _say(self, **changes):
        for name, value in changes.items():
            setattr(self._state, name, value)
        state = self._pb.WorkloadState()
        state.CopyFrom(self._state)
        self._out.put(state)

    def send(self, **changes):
        """Sends the state with changes and waits for its acknowledgement."""
        before = len(self.revisions)
        self._say(**changes)
        until(lambda: len(self.revisions) > before or self.error, "an acknowledgement")

    def drain(self):
        self.send(phase=self._pb.PHASE_DRAINING)

    def start_draining(self):
        """Says so and waits for nothing."""
        self._say(phase=self._pb.PHASE_DRAINING)

    def leave(self):
        """Ends the stream in good order."""
        self._out.put(None)

    def vanish(self):
        """Ends the stream as a crash does."""
        self._answers.cancel()
        self._channel.close()


#: How the channel of each gRPC library is driven: they take the same arguments.
GRPC_CLIENTS = {
    "grpcio": [sys.executable, "-m", "harness.grpc_client"],
    "grpc-js": ["node", ROOT / "tests" / "harness" / "grpc_client.js"],
}


class XdsClient:
    """A gRPC channel on an `xds:///` target, in a process of its own as its bootstrap is per process."""

    def __init__(self, directory, control, target, name="grpc-client", bootstrap=None, library="grpcio"):
        bootstrap = bootstrap or {
            "xds_servers": [
                {
                    "server_uri": control.xds,
                    "channel_creds": [{"type": "insecure"}],
                    "server_features": ["xds_v3"],
                }
            ],
            "node": {"id": name, "cluster": "tests", "locality": {"region": "r1", "zone": "z1"}},
        }
        self._replies = Path(directory) / f"{name}.replies"
        self._replies.touch()
        self._commands = Path(directory) / f"{name}.commands"
        self._commands.touch()
        argv = [*GRPC_CLIENTS[library], target, self._commands, self._replies]
        env = {
            "GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(bootstrap),
            "PYTHONPATH": str(ROOT / "tests"),
            "NODE_PATH": str(ROOT / ".cache" / "node" / "node_modules"),
        }
        self.process = Process(name, argv, directory, env)
        self._asked = 0

    def call(self, method="/weft.test.Echo/Unary", body="hello", metadata=()):
        """One call; its outcome as a dictionary with `code`, `upstream`, `body` and `details`."""
        self._asked += 1
        with self._commands.open("a") as out:
            out.write(json.dumps({"method": method, "body": body, "metadata": list(metadata)}) + "\n")

        def answered():
            self.process.require_alive()
            lines = self._replies.read_text().splitlines()
            return lines[self._asked - 1] if len(lines) >= self._asked else None

        return json.loads(until(answered, "the outcome of a call", 40))

    def stop(self):
        self.process.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
