"""Steady load while upstreams come, go and misbehave, and listeners change: nothing may be lost that was not due."""

import random
import socket
import threading

import pytest

from differential.connections import listener_filter
from harness.config import (
    ads_bootstrap,
    address,
    assignment,
    bootstrap,
    cluster,
    eds_cluster,
    hcm,
    listener,
    route,
    routes,
    tcp_proxy,
    virtual_host,
)
from harness.dns import NameServer, resolver
from harness.load import Load
from harness.management import CDS, EDS, LDS, RDS, ManagementServer
from harness.raw import connect, read_to_end
from harness.upstream import Http, Server, Tcp
from harness.waiting import until


@pytest.fixture(params=["h1", "h2"])
def protocol(request):
    return request.param


@pytest.fixture
def server():
    with ManagementServer() as running:
        yield running


def to(name, **more):
    return routes("main", virtual_host("all", ["*"], route("/", name), **more))


def before(made, **more):
    """A bootstrap with one cluster."""
    return bootstrap([listener("main", hcm(to("up"), **more))], [made])


def after(load, count=30):
    until(load.more(count), "more requests", 30)


def serves(load, *names):
    """Waits until exactly these upstreams answer."""

    def only():
        load.upstreams.clear()
        after(load, 12)
        return set(load.upstreams) == set(names)

    until(only, f"{names} alone to serve", 30)


class Kept:
    """Upstreams with the same port on addresses of loopback."""

    def __init__(self, *hosts):
        self.by_host = {hosts[0]: Http(hosts[0], port=(hosts[0], 0))}
        self.port = self.by_host[hosts[0]].port
        for host in hosts[1:]:
            self.by_host[host] = Http(host, port=(host, self.port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for up in self.by_host.values():
            up.stop()


@pytest.mark.parametrize("kind", ["STRICT_DNS", "LOGICAL_DNS"])
def test_names_lead_elsewhere(start, kind, protocol):
    hosts = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    with Kept(*hosts) as ups, NameServer() as names:
        names.set("up.test", hosts[0])
        named = {"endpoint": {"address": address(ups.port, "up.test")}}
        made = cluster("up", named, **resolver(names)) | {"type": kind, "dns_lookup_family": "V4_ONLY", "dns_refresh_rate": "0.1s"}
        proxy = start(before(made))
        with Load(proxy.port(), protocol=protocol) as load:
            serves(load, hosts[0])
            if kind == "STRICT_DNS":
                for wanted in (hosts, hosts[1:], hosts[2:], hosts[:1]):
                    names.set("up.test", *wanted)
                    serves(load, *wanted)
                names.failing = True
                after(load)
                names.failing = False
            else:
                for wanted in (hosts[1], hosts[2]):
                    names.set("up.test", wanted)
                    after(load)
                # Connections stay where they are as long as they last.
                until(lambda: names.count("up.test") > 5, "the name to be asked for again")
                serves(load, hosts[0])
        load.require_no_loss()


def test_limits_of_connections_are_reached(start, http_upstream, protocol):
    up = http_upstream("up")
    breakers = {"circuit_breakers": {"thresholds": [{"max_connections": 1}]}}
    proxy = start(before(cluster("up", up.port, **breakers)), workers=2)
    with Load(proxy.port(), protocol=protocol, callers=12, rate=60) as load:
        after(load, 400)
    load.require_no_loss()
    assert up.peak == 1


class Fickle(Server):
    """Answers, and closes each connection at a moment of its own choice that is none of an answer's."""

    def __init__(self, name, seed, port=0):
        self._random = random.Random(seed)
        self.leaving = False
        super().__init__(name, port)

    def serve(self, connection, number):
        connection.settimeout(0.01)
        patience = self._random.randint(0, 6)
        buffer, idle = b"", 0
        while True:
            try:
                data = connection.recv(65536)
            except TimeoutError:
                idle += 1
                if not buffer and (self.leaving or idle > patience):
                    return
                continue
            if not data:
                return
            idle = 0
            buffer += data
            while b"\r\n\r\n" in buffer:
                _, buffer = buffer.split(b"\r\n\r\n", 1)
                connection.sendall(f"HTTP/1.1 200 OK\r\nx-upstream: {self.name}\r\ncontent-length: 2\r\n\r\nok".encode())

    def leave(self):
        """Takes no more connections, and closes those that are idle."""
        self._shut(self._socket)
        self.leaving = True


def test_upstreams_close_idle_connections_at_random(start):
    with Fickle("one", 1) as one, Fickle("two", 2) as two:
        proxy = start(before(cluster("up", one.port, two.port)))
        with Load(proxy.port(), callers=8, rate=12) as load:
            after(load, 300)
            until(lambda: one.connections + two.connections > 60, "many connections to be closed", 60)
        load.require_no_loss()


def test_upstreams_restart(start):
    with Fickle("stays", 1) as stays:
        restarted = Fickle("restarted", 2)
        port = restarted.port
        proxy = start(before(cluster("up", stays.port, port)))
        with Load(proxy.port(), callers=6) as load:
            for turn in range(4):
                serves(load, "stays", "restarted")
                restarted.leave()
                serves(load, "stays")
                restarted.stop()
                restarted = Fickle("restarted", turn + 3, port)
            serves(load, "stays", "restarted")
        load.require_no_loss()
        restarted.stop()


def test_the_type_of_a_cluster_changes(start, server, http_upstream, protocol):
    ups = [http_upstream(name) for name in ("a", "b", "c", "d")]
    with NameServer() as names:
        names.set("up.test", "127.0.0.1")
        by_name = {"endpoint": {"address": address(ups[2].port, "up.test")}}
        dns = resolver(names) | {"dns_lookup_family": "V4_ONLY"}
        kinds = {
            "a": cluster("up", ups[0].port),
            "b": eds_cluster("up"),
            "c": cluster("up", by_name, **dns) | {"type": "STRICT_DNS"},
            "d": cluster("up", {"endpoint": {"address": address(ups[3].port, "up.test")}}, **dns) | {"type": "LOGICAL_DNS"},
        }
        server.put(clusters=[kinds["a"]], listeners=[listener("main", hcm(rds="main"))], routes=[to("up")])
        proxy = start(ads_bootstrap(server.port))
        with Load(proxy.port(), protocol=protocol) as load:
            for name in "abcdbcadca":
                assignments = [assignment("up", ups[1].port)] if name == "b" else []
                server.put(clusters=[kinds[name]], assignments=assignments)
                serves(load, name)
        load.require_no_loss()


def kinds_of_change(port):
    """The same listener again and again, each time changed in another way."""
    http = hcm(rds="main")
    main = listener("main", http, port=port)
    by_port = {"name": "by-port", "filters": [hcm(rds="main", stat_prefix="p")], "filter_chain_match": {"source_ports": [1]}}
    yield main | {"listener_filters": [listener_filter("http_inspector")]}
    yield main | {"listener_filters": [listener_filter("tls_inspector"), listener_filter("http_inspector")], "listener_filters_timeout": "1s"}
    yield main | {"filter_chains": [by_port, *main["filter_chains"]]}
    yield main | {"filter_chains": [by_port], "default_filter_chain": main["filter_chains"][0]}
    yield main | {"additional_addresses": [{"address": address(0, "127.0.0.2")}]}
    yield main | {"tcp_backlog_size": 77}
    yield main | {"socket_options": [{"level": socket.SOL_SOCKET, "name": socket.SO_KEEPALIVE, "int_value": 1}]}
    yield main | {"per_connection_buffer_limit_bytes": 65536}
    yield main | {"use_original_dst": True}
    yield main | {"traffic_direction": "INBOUND", "metadata": {"filter_metadata": {"x": {"y": 1}}}}
    yield listener("main", hcm(to("up")), port=port)
    yield main


def test_a_listener_changes_in_every_way(start, server, http_upstream, protocol):
    up = http_upstream("up")
    server.put(clusters=[cluster("up", up.port)], listeners=[listener("main", hcm(rds="main"))], routes=[to("up")])
    proxy = start(ads_bootstrap(server.port), arguments=["--drain-time-s", "5"], workers=2)
    port = proxy.port()
    with Load(port, protocol=protocol) as load:
        after(load)
        for changed in kinds_of_change(port):
            server.put(listeners=[changed])
            server.wait_settled(LDS)
            after(load)
        assert not server.nacks(LDS)
        # Another listener takes the address over in one update.
        server.put(listeners=[listener("other", hcm(rds="main"))])
        server.wait_settled(LDS)
        after(load)
    load.require_no_loss()


def updates(server, port, count=100):
    """Routes, endpoints, clusters and listeners, in turn."""
    for turn in range(count):
        kind = turn % 4
        if kind == 0:
            header = {"header": {"key": "x-turn", "value": str(turn)}}
            server.put(routes=[to("up", response_headers_to_add=[header])])
        elif kind == 1:
            server.put(assignments=[assignment("up", port, *([1] if turn % 8 == 1 else []))])
        elif kind == 2:
            policy = "LEAST_REQUEST" if turn % 8 == 2 else "ROUND_ROBIN"
            server.put(clusters=[eds_cluster("up", lb_policy=policy)], assignments=[assignment("up", port)])
        else:
            server.put(listeners=[listener(f"extra-{turn}", hcm(rds="main"))])
        if turn % 10 == 9:
            server.wait_settled(CDS, EDS, LDS, RDS)


class Slow(Server):
    """A raw upstream that says a line for each line it hears."""

    def serve(self, connection, number):
        while data := connection.recv(65536):
            connection.sendall(data)
        connection.sendall(b"end")


def test_long_streams_go_through_a_hundred_updates(start, server, http_upstream):
    """A response half of which has come, and a raw connection half-closed at the end."""
    up = http_upstream("up")
    with Slow("raw") as raw:
        raw_listener = listener("raw", tcp_proxy("raw"))
        server.put(
            clusters=[eds_cluster("up"), cluster("raw", raw.port)],
            assignments=[assignment("up", up.port)],
            listeners=[listener("main", hcm(rds="main")), raw_listener],
            routes=[to("up")],
        )
        proxy = start(ads_bootstrap(server.port), workers=2)
        with connect(proxy.port("raw")) as line, connect(proxy.port()) as long:
            line.sendall(b"one")
            assert line.recv(3, socket.MSG_WAITALL) == b"one"
            respond = '{"fill": 300000, "framing": "chunked", "gate": "halfway"}'
            long.sendall(f"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-respond: {respond}\r\n\r\n".encode())
            until(lambda: up.seen, "the long request to arrive")
            updates(server, up.port)
            line.sendall(b"two")
            assert line.recv(3, socket.MSG_WAITALL) == b"two"
            line.shutdown(socket.SHUT_WR)
            assert read_to_end(line).data == b"end"
            up.open_gate("halfway")
            got = read_to_end(long)
            assert got.how == "closed" and got.data.count(b"z") >= 300_000 and got.data.endswith(b"0\r\n\r\n")


def test_half_closed_connections_outlive_changes_of_their_cluster(start, server):
    data = bytes(range(256)) * 2048
    with Tcp("one") as one, Tcp("two") as two:
        server.put(
            clusters=[eds_cluster("raw")],
            assignments=[assignment("raw", one.port)],
            listeners=[listener("main", tcp_proxy("raw"))],
        )
        proxy = start(ads_bootstrap(server.port))
        port, whole, ended = proxy.port(), [], threading.Event()

        def talk():
            while not ended.is_set():
                with connect(port) as client:
                    sender = threading.Thread(target=lambda c=client: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
                    sender.start()
                    got = read_to_end(client)
                    sender.join()
                    whole.append((got.how, got.data in (b"one\n" + data, b"two\n" + data)))

        talkers = [threading.Thread(target=talk) for _ in range(3)]
        for talker in talkers:
            talker.start()
        for turn in range(12):
            ports = [(one.port,), (one.port, two.port), (two.port,)][turn % 3]
            server.put(clusters=[eds_cluster("raw", connect_timeout=f"{turn + 1}s")], assignments=[assignment("raw", *ports)])
            seen = len(whole)
            until(lambda goal=seen + 6: len(whole) >= goal, "more connections", 30)
        ended.set()
        for talker in talkers:
            talker.join()
        assert set(whole) == {("closed", True)}, whole
