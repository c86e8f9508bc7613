"""The same bytes through Envoy and through weft-proxy: what the upstream got, and how it ended."""

import pytest

from differential import streams
from differential.places import Places
from harness.proxy import Proxy
from harness.raw import connect, converse, knock

CASES = list(streams.cases())


@pytest.fixture(scope="module")
def ports(proxy_kind, tmp_path_factory):
    """Where each listener is, in Envoy and in the proxy under test."""
    directory, open_ones, pair = tmp_path_factory.mktemp("streams"), [], []
    for name, kind in (("reference", "envoy"), ("tested", proxy_kind)):
        behind = Places(name, directory)
        open_ones.append(behind)
        pair.append(Proxy(kind, streams.world(behind.ports), directory, name=name))
        open_ones.append(pair[-1])
    yield [proxy.admin.listeners() for proxy in pair]
    for one in reversed(open_ones):
        one.stop()


@pytest.mark.parametrize(("name", "pieces"), [(name, pieces) for name, _, pieces in CASES], ids=[f"{a}/{b}" for a, b, _ in CASES])
def test_bytes_come_back_the_same(ports, name, pieces):
    # Envoy takes a client that closes before listener filters have looked for one that is gone, and so it does
    # with one that closes before a tunnel is agreed to.
    looks = name == "echo" or name.startswith("tunnel") or "listener_filters" in streams.listeners()[name]
    ends = [converse(side[name], *pieces) if looks and pieces else knock(side[name], *pieces, half_close=True) for side in ports]
    envoy, weft = map(told_alike, ends)
    assert weft == envoy


@pytest.mark.parametrize("name", streams.LEFT_ALONE)
def test_a_connection_that_is_left_alone_ends_the_same(ports, name):
    envoy, weft = (told_alike(knock(side[name])) for side in ports)
    assert weft == envoy == (b"", b"tcp\n", b"", "closed")


@pytest.mark.parametrize(("name", "second"), [("limited", b""), ("unlimited", b"tcp\nx")])
def test_a_second_connection_is_treated_the_same(ports, name, second):
    seen = []
    for side in ports:
        with connect(side[name]) as first:
            assert first.recv(4) == b"tcp\n"
            seen.append(knock(side[name], b"x", half_close=True))
    assert [end.data for end in seen] == [second, second]


def tlvs(header):
    """The parts of a header of version 2 that come after the addresses; their order means nothing."""
    rest = header[28 : 16 + int.from_bytes(header[14:16], "big")]
    while rest:
        end = 3 + int.from_bytes(rest[1:3], "big")
        yield rest[:end]
        rest = rest[end:]


def told_alike(seen):
    """What came back, with a PROXY header left without the ports that differ from run to run."""
    name, mark, rest = seen.data.partition(b"tcp\n")
    if rest.startswith(b"PROXY "):
        line, _, rest = rest.partition(b"\r\n")
        rest = b" ".join(line.split(b" ")[:4]) + rest
    elif rest.startswith(b"\r\n\r\n\0\r\nQUIT\n"):
        rest = rest[:24] + b"".join(sorted(tlvs(rest))) + rest[16 + int.from_bytes(rest[14:16], "big") :]
    # A close with something unread is a reset to the kernel.
    return name, mark, rest, seen.how if seen.data or seen.how == "open" else "ended"
