"""How listening sockets are bound."""

import os
import socket
import stat
import struct
import subprocess

import pytest

from differential.connections import chain, listener
from harness import sockets
from harness.config import address, bootstrap
from harness.raw import connect, read_to_end
from harness.waiting import until

# Of a network for documentation: no machine has it.
FOREIGN = {"socket_address": {"address": "192.0.2.1", "port_value": 0}}


def unix(path):
    """A client of a Unix socket; `@` first names an abstract one."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect("\0" + path[1:] if path.startswith("@") else path)
    return client


def pipe(path, **more):
    return {"pipe": {"path": str(path), **more}}


def test_sockets_are_bound_as_the_listener_says(start):
    keepalive = {"keepalive_time": 77, "keepalive_interval": 11, "keepalive_probes": 5}
    few = listener("few", [chain("few")], tcp_backlog_size=7, tcp_fast_open_queue_length=3, tcp_keepalive=keepalive)
    few["additional_addresses"] = [{"address": address(0, "127.0.0.2"), "tcp_keepalive": {"keepalive_time": 0}}]
    foreign = listener("foreign", [chain("foreign")], freebind=True) | {"address": FOREIGN}
    listeners = [few, foreign]
    if os.geteuid() == 0:
        listeners.append(listener("transparent", [chain("transparent")], transparent=True) | {"address": FOREIGN})
    proxy = start(bootstrap(listeners))
    with connect(proxy.port("few")) as client:
        assert read_to_end(client).data == b"few"
    # Where nobody can connect to, the kernel says who listens.
    shown = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    # By address and port: others may listen to the same port elsewhere.
    backlogs = {line.split()[3]: line.split()[2] for line in shown.splitlines()}
    assert backlogs[f"127.0.0.1:{proxy.port('few')}"] == "7"
    assert all(f"192.0.2.1:{proxy.port(item['name'])}" in backlogs for item in listeners[1:])
    with sockets.of(proxy.process) as found:
        (main,) = sockets.listening(found, proxy.port("few"))
        tcp = [main.getsockopt(socket.IPPROTO_TCP, name) for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)]
        assert tcp == [77, 11, 5]
        assert main.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert main.getsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN) == 3
        others = [each for each in found if each.family == socket.AF_INET and each.getsockname()[0] == "127.0.0.2"]
        assert [each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for each in others] == [0]


def option(level, name, value, **more):
    given = {"int_value": value} if isinstance(value, int) else {"buf_value": value}
    return {"level": level, "name": name, **given, **more}


def test_options_are_set_by_number(start):
    """SO_RCVBUF before binding, SO_LINGER as bytes, TCP_DEFER_ACCEPT when it listens; an additional address has its own."""
    linger = "AQAAAAcAAAA="  # on, 7 seconds
    options = [
        option(socket.SOL_SOCKET, socket.SO_RCVBUF, 40_000),
        option(socket.SOL_SOCKET, socket.SO_LINGER, linger, state="STATE_BOUND"),
        option(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5, state="STATE_LISTENING", type={"stream": {}}),
        option(socket.SOL_SOCKET, socket.SO_SNDBUF, 1, type={"datagram": {}}),
        option(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 4, ip_version="SOCKET_IP_VERSION_IPV6"),
    ]
    main = listener("main", [chain("main")], socket_options=options)
    own = {"socket_options": [option(socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000)]}
    main["additional_addresses"] = [{"address": address(0, "127.0.0.2"), "socket_options": own}]
    proxy = start(bootstrap([main]))
    with sockets.of(proxy.process) as found:
        (first,) = sockets.listening(found, proxy.port())
        (other,) = [each for each in found if each.family == socket.AF_INET and each.getsockname()[0] == "127.0.0.2"]
        # The kernel counts its own share in.
        assert first.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 80_000
        assert struct.unpack("ii", first.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)) == (1, 7)
        assert first.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) > 0
        assert first.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) > 5000
        assert other.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 100_000
        assert other.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) == 0
    with connect(proxy.port()) as client:
        client.sendall(b"x")
        assert read_to_end(client).data == b"main"


def test_an_option_that_the_system_does_not_take_is_named(start):
    wrong = listener("main", [chain("main")], socket_options=[option(socket.SOL_SOCKET, 9999, 1)])
    proxy = start(bootstrap([wrong]), wait=False)
    assert proxy.process.wait() != 0
    if proxy.kind == "weft":
        assert "listener main: cannot bind 127.0.0.1:0: socket option 9999 of level 1" in proxy.process.tail()


@pytest.mark.parametrize("shared", [False, True])
def test_workers_may_share_one_socket(start, shared):
    main = listener("main", [chain("main")], enable_reuse_port=not shared)
    proxy = start(bootstrap([main]), workers=3)
    for _ in range(20):
        with connect(proxy.port()) as client:
            assert read_to_end(client).data == b"main"
    shown = subprocess.run(["ss", "-Hltn", f"sport = :{proxy.port()}"], capture_output=True, text=True, check=True).stdout
    assert len(shown.splitlines()) == (1 if shared else 3)


def test_one_socket_may_take_both_families(start):
    def over(name, compat):
        there = {"socket_address": {"address": "::", "port_value": 0, "ipv4_compat": compat}}
        match = {"source_prefix_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}
        chains = [chain("four", match), chain("six")]
        return listener(name, chains) | {"address": there}

    proxy = start(bootstrap([over("both", True), over("one", False)]))
    for host, answer in (("127.0.0.1", b"four"), ("::1", b"six")):
        with connect(proxy.port("both"), host=host) as client:
            assert read_to_end(client).data == answer
    with connect(proxy.port("one"), host="::1") as client:
        assert read_to_end(client).data == b"six"
    with pytest.raises(ConnectionRefusedError):
        connect(proxy.port("one"))


def test_unix_sockets_have_the_mode_they_are_given(start, tmp_path):
    path = tmp_path / "in.sock"
    proxy = start(bootstrap([listener("main", [chain("main")]) | {"address": pipe(path, mode=0o620)}]), workers=2)
    until(lambda: proxy.admin.ready(), "the proxy")
    mode = os.stat(path).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o620
    with unix(str(path)) as client:
        assert read_to_end(client).data == b"main"


def test_abstract_sockets_have_no_file(start, tmp_path):
    name = f"@weft/{os.getpid()}/in"
    proxy = start(bootstrap([listener("main", [chain("main")]) | {"address": pipe(name)}]), workers=2)
    with unix(name) as client:
        assert read_to_end(client).data == b"main"
    if proxy.kind == "weft":
        assert f"main::{name}" in proxy.admin.get("/listeners").text


def admin_over(path, target):
    """An answer of the admin interface."""
    with unix(path) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        return read_to_end(client).data


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_the_admin_interface_may_be_a_unix_socket(start, tmp_path, kind):
    path = f"@weft/{os.getpid()}/admin" if kind == "abstract" else str(tmp_path / "admin.sock")
    made = bootstrap([listener("main", [chain("main")])])
    buffer = option(socket.SOL_SOCKET, socket.SO_RCVBUF, 40_000)
    made["admin"] = {"address": pipe(path, **({"mode": 0o600} if kind == "file" else {})), "socket_options": [buffer]}
    proxy = start(made, wait=False)
    until(lambda: admin_over(path, "/ready").startswith(b"HTTP/1.1 200"), "the admin interface")
    if kind == "file":
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with sockets.of(proxy.process) as found:
        (bound,) = [e for e in found if e.family == socket.AF_UNIX and e.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)]
        assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 80_000
