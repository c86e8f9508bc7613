"""How listening sockets are bound."""

import os
import subprocess

from differential.connections import chain, listener
from harness.config import bootstrap
from harness.raw import connect, read_to_end

# Of a network for documentation: no machine has it.
FOREIGN = {"socket_address": {"address": "192.0.2.1", "port_value": 0}}


def test_sockets_are_bound_as_the_listener_says(start):
    few = listener("few", [chain("few")], tcp_backlog_size=7)
    foreign = listener("foreign", [chain("foreign")], freebind=True) | {"address": FOREIGN}
    listeners = [few, foreign]
    if os.geteuid() == 0:
        listeners.append(listener("transparent", [chain("transparent")], transparent=True) | {"address": FOREIGN})
    proxy = start(bootstrap(listeners))
    with connect(proxy.port("few")) as client:
        assert read_to_end(client).data == b"few"
    # Where nobody can connect to, the kernel says who listens.
    sockets = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    by_port = {line.split()[3].rpartition(":")[2]: line.split() for line in sockets.splitlines()}
    backlogs = {item["name"]: by_port[str(proxy.port(item["name"]))][2] for item in listeners}
    assert backlogs["few"] == "7"
    assert all(by_port[str(proxy.port(item["name"]))][3].startswith("192.0.2.1:") for item in listeners[1:])
