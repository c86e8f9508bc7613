"""Tunnels by HTTP/2 and between the versions of HTTP (RFC 8441, RFC 9113 §8.5), through Envoy and through weft-proxy.

Left out of what is compared, because Envoy does otherwise and weft-proxy is meant not to:

* the end of a client's half of a tunnel does not come to upstreams of HTTP/1.1 behind Envoy;
* Envoy asks upstreams of h2 for tunnels whether they take extended CONNECT or not, which RFC 8441 §3 forbids;
* a WebSocket client of HTTP/1.1 gets no `sec-websocket-accept` from Envoy where the upstream speaks h2, and takes
  the answer for a failure;
* Envoy closes connections of HTTP/1.1 after an upgrade that was refused, and with the client's half of a tunnel.
"""

from contextlib import ExitStack

import pytest

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.proxy import Proxy
from harness.tunnels import Tunnel, Tunnels, extended, plain
from harness.upstream import Switch, Tcp

#: What differs from run to run, or is each proxy's own to say.
OWN = {"proxy-status", "date", "server", "x-request-id", "sec-websocket-key", "x-forwarded-proto", "sec-websocket-accept", "connection"}
VERSION = ("sec-websocket-version", "13")
KEY = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")

#: What clients of h2 ask for, by name; a path says who is behind it.
ASKED = {
    "websocket to http1": extended("websocket", "/switch/a?b=c", VERSION),
    "own protocol to http1": extended("own/1", "/switch"),
    "own protocol to h2": extended("own/1", "/tunnels", ("x-more", "1")),
    "websocket to h2": extended("websocket", "/tunnels", VERSION, ("origin", "http://weft.test")),
    "protocol in capitals": extended("WebSocket", "/tunnels", VERSION),
    "to h2 that refuses": extended("websocket", "/refuses", VERSION),
    "to what is not there": extended("websocket", "/nobody", VERSION),
    "to no route": extended("websocket", "/nowhere", VERSION),
    "another protocol": extended("other/1", "/tunnels"),
    "with a length": extended("websocket", "/tunnels", ("content-length", "3")),
    "with expectations": extended("websocket", "/tunnels", ("te", "trailers")),
    "with an upgrade": extended("websocket", "/tunnels", ("upgrade", "websocket")),
    "a path and no scheme": [field for field in extended("websocket", "/tunnels") if field[0] != ":scheme"],
    "a scheme and no path": [field for field in extended("websocket", "/tunnels") if field[0] != ":path"],
    "GET with a protocol": [(":method", "GET"), *extended("websocket", "/tunnels")[1:]],
    "a protocol twice": [*extended("websocket", "/tunnels")[:2], *extended("websocket", "/tunnels")[1:]],
    "CONNECT": plain("any.test:9"),
    "CONNECT without a port": plain("any.test"),
    "CONNECT with a path": [*plain("any.test:9"), (":path", "/")],
    "CONNECT with a scheme and a path": [*plain("any.test:9"), (":scheme", "http"), (":path", "/tunnels")],
    "CONNECT with a length": [*plain("any.test:9"), ("content-length", "3")],
    "CONNECT that ends here": plain("ends.test:9"),
}

#: What is no request: it may be answered or be broken off (RFC 9113 §8.1.1).
MALFORMED = {
    "a protocol without a name": extended("", "/tunnels"),
    "no authority": extended("websocket", "/tunnels")[:-1],
}

#: Targets of HTTP/1.1 clients that ask for an upgrade.
UPGRADED = ["/switch", "/tunnels", "/refuses", "/nobody"]


class Side:
    """A proxy, and those who agree to tunnels, or do not."""

    def __init__(self, kind, name, directory):
        self._open = ExitStack()
        enter = self._open.enter_context
        self.switch, self.tunnels = enter(Switch("switch")), enter(Tunnels())
        others = {"refuses": enter(Tunnels(status=418))}
        ends = {"cluster": "tcp", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
        here = virtual_host("ends", ["ends.test:9"], route({"connect_matcher": {}}, ends))
        paths = [route(f"/{name}", name) for name in ("switch", "tunnels", *others, "nobody")]
        host = virtual_host("all", ["*"], route({"connect_matcher": {}}, "tunnels"), *paths)
        settings = {"upgrade_configs": [{"upgrade_type": kind} for kind in ("websocket", "own/1", "CONNECT")]}
        settings["http2_protocol_options"] = {"allow_connect": True}
        clusters = [cluster("switch", self.switch.port), cluster("tunnels", self.tunnels.port, http2=True)]
        clusters += [cluster(name, up.port, http2=True) for name, up in others.items()]
        clusters += [cluster("nobody", 1), cluster("tcp", enter(Tcp("tcp")).port)]
        made = bootstrap([listener("main", hcm(routes("main", host, here), **settings))], clusters)
        self.proxy = enter(Proxy(kind, made, directory, name=name))
        self.port = self.proxy.port()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open.close()

    def reached(self):
        """What the upstreams have been asked since this was last called."""
        head, self.switch.head = getattr(self.switch, "head", b""), b""
        lines = [tuple(line.split(": ", 1)) if ": " in line else (line, "") for line in head.decode().split("\r\n")]
        asked, self.tunnels.asked = self.tunnels.asked, []
        return [common(lines), *(common(fields.items()) for fields in asked)]


def common(fields):
    """What both must say. That there is no body may be said or not."""
    made = ((name.lower(), value) for name, value in fields if not name.lower().startswith("x-envoy"))
    return sorted(field for field in made if field[0] not in OWN and field != ("content-length", "0"))


@pytest.fixture(scope="module")
def pair(proxy_kind, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tunnels")
    with Side("envoy", "reference", directory) as envoy, Side(proxy_kind, "tested", directory) as tested:
        yield envoy, tested


def converse(side, fields):
    """What becomes of a client that sends bytes when it is let through."""
    seen = {}
    try:
        with Tunnel(side.port, fields) as client:
            seen |= {"status": client.status, "broken": client.reset is not None, "fields": common(client.fields.items())}
            if client.status == 200:
                client.send(b"x" * 10_000)
                if dict(fields).get(":path", "").startswith("/switch"):
                    # Envoy keeps the end of a client's half from upstreams of HTTP/1.1.
                    seen["data"] = client.read(len(b"switch\n") + 10_000)
                else:
                    client.send(b"last", end=True)
                    seen["data"] = client.read_to_end()
    except (AssertionError, RuntimeError, StopIteration):
        # A connection error in the place of a stream error (RFC 9113 §5.4.1).
        seen = {"status": None, "broken": True, "fields": []}
    return {**seen, "reached": side.reached()}


@pytest.mark.parametrize("name", ASKED)
def test_clients_of_h2_are_treated_the_same(pair, name):
    envoy, weft = (converse(side, ASKED[name]) for side in pair)
    assert weft == envoy


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_request_gets_nowhere(pair, name):
    for side in pair:
        seen = converse(side, MALFORMED[name])
        assert seen["broken"] or seen["status"] in (400, 403)
        assert seen["reached"] == [common([("", "")])]


def upgrade(side, target):
    with http1.Connection(side.port) as client:
        answer = client.request("GET", target, [("connection", "upgrade"), ("upgrade", "websocket"), VERSION, KEY])
        seen = {"status": answer.status, "fields": common(answer.headers)}
        if answer.status == 101:
            client.send(b"x" * 10_000)
            expected = (b"switch\n" if target == "/switch" else b"") + b"x" * 10_000
            data = answer.body
            while len(data) < len(expected):
                data += client.read_some()
            assert data == expected
    return {**seen, "reached": side.reached()}


@pytest.mark.parametrize("target", UPGRADED)
def test_upgrades_of_http1_are_treated_the_same(pair, target):
    envoy, weft = (upgrade(side, target) for side in pair)
    assert weft == envoy
