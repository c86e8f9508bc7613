"""What stands behind a proxy and beside it: upstreams, a name server, a folder of files."""

import json
import socket
from contextlib import ExitStack

from differential import settings
from harness.dns import CNAME, NameServer
from harness.rls import Service
from harness.upstream import Http, Tcp

# Of these a bootstrap is made where none is run.
NOWHERE = {"up": 1, "six": 1, "tcp": 1, "refused": 1, "rls": 1, "dns": 1, "pipe": "/nowhere/up.sock", "folder": "/nowhere"}


class Places:
    """Everything for one proxy; `ports` is what worlds are made of, `upstream` what cases look at."""

    def __init__(self, name, directory):
        self._open = ExitStack()
        enter = self._open.enter_context
        folder = directory / f"{name}-files"
        folder.mkdir()
        self.upstream = enter(Http(name, body="hello from the upstream"))
        held = enter(socket.socket())
        held.bind(("127.0.0.1", 0))
        dns = enter(NameServer())
        dns.set("up.test", "127.0.0.1")
        dns.zone["alias.test"] = [(CNAME, "up.test", 300)]
        pipe = self._also(name, str(folder / "up.sock"))
        six = self._also(name, ("::1", 0))
        tcp = enter(Tcp("tcp"))
        self.ports = {
            "up": self.upstream.port,
            "six": six.port,
            "tcp": tcp.port,
            "refused": held.getsockname()[1],
            "rls": enter(Service()).port,
            "dns": dns.port,
            "pipe": pipe.port,
            "folder": str(folder),
        }
        for name, content in settings.files(self.ports).items():
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / name).write_text(text)

    def _also(self, name, port):
        """Another way to the same upstream: what it saw counts there."""
        other = self._open.enter_context(Http(name, port, body="hello from the upstream"))
        other.seen = self.upstream.seen
        return other

    def stop(self):
        self._open.close()


def entrance(bootstrap):
    """The path that clients come by, where the listener is no port."""
    return bootstrap["static_resources"]["listeners"][0]["address"].get("pipe", {}).get("path")
