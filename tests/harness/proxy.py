"""A proxy under test, ours or Envoy: the same bootstrap, the same admin endpoints."""

import json
import os
import sysconfig
from pathlib import Path

from harness import http1
from harness.process import Process
from harness.waiting import until

ROOT = Path(__file__).resolve().parents[2]


def binaries():
    """The folder of our binaries."""
    chosen = os.environ.get("WEFT_BIN")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return Path(chosen) if chosen else target / "debug"


def binary(kind):
    """The program of that kind: `weft`, `weft-proxy`, `weft-control-plane`, `envoy` or `envoy-older`."""
    envoys = {"envoy": Path(sysconfig.get_paths()["purelib"]), "envoy-older": ROOT / ".cache/envoy-older"}
    path = envoys[kind] / "envoy/_bin/envoy" if kind in envoys else binaries() / kind
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: build it, or set WEFT_BIN")
    return path


class Admin:
    """The admin endpoints of a proxy."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.host, self.port = host, int(port)

    def get(self, path):
        return self._send("GET", path)

    def post(self, path):
        return self._send("POST", path)

    def json(self, path):
        answer = self.get(path)
        assert answer.status == 200, f"{path}: {answer.status} {answer.text[:300]}"
        return answer.json()

    def _send(self, method, path):
        body = b"" if method == "POST" else None
        return http1.request(self.port, method, path, [("connection", "close")], body, host="localhost")

    def stats(self):
        """Counters and gauges by name."""
        lines = (line.rpartition(": ") for line in self.get("/stats").text.splitlines())
        return {name: int(value) for name, _, value in lines if value.isdigit()}

    def listeners(self):
        """Port of each listener, by name."""
        statuses = self.json("/listeners?format=json").get("listener_statuses", [])
        return {s["name"]: s["local_address"]["socket_address"]["port_value"] for s in statuses}

    def ready(self):
        return self.get("/ready").status == 200


class Proxy:
    """A running proxy. Its bootstrap is a value, or the text of a YAML file."""

    def __init__(self, kind, bootstrap, directory, name=None, arguments=(), wait=True, workers=1):
        self.kind = kind
        self._workers = str(workers)
        name = name or f"proxy-{kind}"
        directory = Path(directory)
        self._address = directory / f"{name}.admin"
        self._address.unlink(missing_ok=True)
        is_text = isinstance(bootstrap, str)
        config = directory / f"{name}.{'yaml' if is_text else 'json'}"
        config.write_text(bootstrap if is_text else json.dumps(bootstrap, indent=1))
        self.process = Process(name, self._argv(config, arguments), directory)
        if wait:
            self.wait_until_ready()

    def _argv(self, config, arguments):
        is_envoy = self.kind.startswith("envoy")
        program = binary(self.kind if is_envoy else "weft-proxy")
        level = "warning" if is_envoy else "info"
        common = ["-c", config, "--concurrency", self._workers, "--disable-hot-restart"]
        common += [] if "--log-level" in arguments else ["-l", level]
        return [program, *common, "--admin-address-path", self._address, *arguments]

    @property
    def admin(self):
        """Where its admin listener is, once it has written that down."""
        until(self._bound, f"the admin address of {self.process.name}")
        return Admin(self._address.read_text().strip())

    def _bound(self):
        self.process.require_alive()
        return self._address.exists() and ":" in self._address.read_text()

    def wait_until_ready(self, deadline=20.0):
        admin = self.admin

        def ready():
            self.process.require_alive()
            return admin.ready()

        until(ready, f"{self.process.name} to be ready", deadline)

    def port(self, listener="main", deadline=15.0):
        """The bound port of a listener."""
        return until(lambda: self.admin.listeners().get(listener), f"listener {listener}", deadline)

    def stop(self):
        self.process.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
