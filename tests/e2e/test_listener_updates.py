"""What updates of listeners do to connections: those of unchanged chains stay, others drain."""

import pytest

from harness import http1
from harness.config import ads_bootstrap, direct, hcm, routes, virtual_host
from harness.management import LDS, ManagementServer
from harness.raw import connect, read_to_end
from harness.waiting import until

ECHO = {"name": "echo", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"}}
RAW, WEB = "127.0.0.2", "127.0.0.3"


@pytest.fixture
def server():
    with ManagementServer() as running:
        yield running


@pytest.fixture(params=["sotw", "delta"])
def driven(start, server, request):
    """Starts the proxy under test with nothing but the way to the server."""

    def launch(*arguments):
        return start(ads_bootstrap(server.port, request.param), arguments=arguments)

    return launch


def chain(source, network_filter):
    match = {"source_prefix_ranges": [{"address_prefix": source, "prefix_len": 32}]}
    return {"name": source, "filter_chain_match": match, "filters": [network_filter]}


def web(version):
    return hcm(routes("own", virtual_host("all", ["*"], direct("/", 200, version))))


def main(version, *more, host="127.0.0.1", raw=ECHO):
    """A listener with a chain of raw bytes and one of HTTP that answers with its version."""
    return {
        "name": "main",
        "address": {"socket_address": {"address": host, "port_value": 0}},
        "filter_chains": [chain(RAW, raw), chain(WEB, web(version)), *more],
    }


class Web:
    """A connection that is kept for one request after the other."""

    def __init__(self, port, host="127.0.0.1"):
        self.connection = http1.Connection.__new__(http1.Connection)
        self.connection.socket = connect(port, WEB, host)
        self.connection._buffer = b""

    def get(self):
        return self.connection.request("GET", "/")

    def is_told_to_close(self):
        return (self.get().header("connection") or "").lower() == "close"


def echoes(raw, text=b"still here"):
    raw.sendall(text)
    got = b""
    while len(got) < len(text):
        piece = raw.recv(100)
        assert piece, "closed"
        got += piece
    return got == text


def answers(port, version, host="127.0.0.1"):
    return Web(port, host).get().text == version


def test_only_the_connections_of_a_changed_chain_drain(driven, server):
    server.put(listeners=[main("one")])
    proxy = driven()
    port = proxy.port()
    raw, kept = connect(port, RAW), Web(port)
    assert echoes(raw) and kept.get().text == "one"
    server.put(listeners=[main("two", chain("127.0.0.4", ECHO))])
    until(lambda: answers(port, "two"), "new connections to be served by the new chain")
    assert proxy.port() == port, "the socket stays"
    response = kept.get()
    assert (response.text, response.header("connection")) == ("one", "close")
    assert echoes(raw)
    fresh = Web(port)
    assert not fresh.is_told_to_close()
    # Settings of the listener that no chain knows of concern no connection either.
    server.put(listeners=[main("two", chain("127.0.0.4", ECHO)) | {"listener_filters_timeout": "3s"}])
    server.wait_settled(LDS)
    assert not fresh.is_told_to_close() and echoes(raw)


def test_a_listener_at_another_address_leaves_its_connections_time(driven, server):
    server.put(listeners=[main("one")])
    proxy = driven()
    old = proxy.port()
    raw, kept = connect(old, RAW), Web(old)
    assert echoes(raw) and not kept.is_told_to_close()
    server.put(listeners=[main("one", host="127.0.0.5")])

    def at(host):
        statuses = proxy.admin.json("/listeners?format=json")["listener_statuses"]
        addresses = [s["local_address"]["socket_address"] for s in statuses if s["name"] == "main"]
        return [a["port_value"] for a in addresses if a["address"] == host]

    new = until(lambda: at("127.0.0.5"), "the new address")[0]
    until(lambda: answers(new, "one", "127.0.0.5"), "the new address to serve")
    assert kept.is_told_to_close() and echoes(raw)
    with pytest.raises(ConnectionRefusedError):
        connect(old, WEB)


def test_a_removed_listener_serves_its_connections_for_the_drain_time(driven, server):
    server.put(listeners=[main("one"), main("other") | {"name": "other"}])
    proxy = driven("--drain-time-s", "1")
    port, other = proxy.port(), proxy.port("other")
    raw, kept, elsewhere = connect(port, RAW), Web(port), connect(other, RAW)
    assert echoes(raw) and echoes(elsewhere) and not kept.is_told_to_close()
    server.remove(LDS, "main")
    until(lambda: "main" not in proxy.admin.listeners(), "the listener to go")
    assert echoes(raw), "a connection is not cut"
    assert read_to_end(raw).how in ("closed", "reset")
    assert echoes(elsewhere)


def test_other_listeners_and_their_connections_never_notice(driven, server):
    server.put(listeners=[main("one"), main("other") | {"name": "other"}])
    proxy = driven()
    port = proxy.port("other")
    raw, kept = connect(port, RAW), Web(port)
    for number in range(50):
        server.put(listeners=[main(f"version {number}")])
        assert echoes(raw, f"{number}".encode()) and kept.get().text == "other"
    until(lambda: answers(proxy.port(), "version 49"), "the last version")
    assert proxy.port("other") == port
    assert not kept.is_told_to_close()
