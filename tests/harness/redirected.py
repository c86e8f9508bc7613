"""Redirected connections in a network namespace of their own: `unshare -n python -m harness.redirected KIND`.

Prints, as JSON, what a client that connects to each address is told.
"""

import json
import subprocess
import sys
import tempfile

from differential.connections import chain, listener, listener_filter
from harness.config import bootstrap
from harness.proxy import Proxy
from harness.raw import connect, read_to_end

RULES = """
table inet redirects {
  chain output {
    type nat hook output priority -100;
    tcp dport 9000-9003 redirect to :15001
    tcp dport 9004 redirect to :15002
  }
}
"""


def at(host, port):
    return {"socket_address": {"address": host, "port_value": port}}


def listeners():
    """One that takes what was redirected, and others that are only reached through it."""
    for number, (name, address) in enumerate({"four": "127.0.0.1", "six": "::1"}.items()):
        to_9002 = chain(f"{name} for 9002", {"destination_port": 9002})
        yield listener(f"outer-{name}", [to_9002, chain(f"{name} outer")], use_original_dst=True) | {
            "address": at(address, 15001)
        }
        every = "0.0.0.0" if name == "four" else "::"
        for inner, host, port in ((f"{name} exact", address, 9000), (f"{name} wild", every, 9001)):
            chains = [chain(inner, {"destination_port": port}), chain("wrong")]
            yield listener(inner, chains, bind_to_port=False) | {"address": at(host, port)}
    told = [chain("told 9004", {"destination_port": 9004}), chain("own address")]
    yield listener("told", told, [listener_filter("original_dst")]) | {"address": at("127.0.0.1", 15002)}


def main(kind):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["nft", "-f", "-"], input=RULES, text=True, check=True)
    with tempfile.TemporaryDirectory() as directory, Proxy(kind, bootstrap(listeners()), directory):
        told = {}
        for host, port in ((h, p) for h in ("127.0.0.1", "127.0.0.2", "::1") for p in (9000, 9001, 9002, 9003)):
            with connect(port, source=host, host=host) as connection:
                told[f"{host} {port}"] = read_to_end(connection).data.decode()
        for name, port in (("original_dst alone", 9004), ("not redirected", 15002)):
            with connect(port) as connection:
                told[name] = read_to_end(connection).data.decode()
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
