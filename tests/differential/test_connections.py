"""The same listeners to Envoy and to weft-proxy, and the same clients: which chain takes whom."""

import pytest

from differential.connections import chosen, generated, knocks
from harness.config import bootstrap
from harness.proxy import Proxy
from harness.raw import knock

CHOSEN = list(chosen())
GENERATED = list(generated(seed=7, count=60))
SENT = list(knocks(seed=11, count=40))


@pytest.fixture(scope="module")
def ports(proxy_kind, tmp_path_factory):
    """Where each listener is, in Envoy and in the proxy under test."""
    listeners = {listener["name"]: listener for listener, _, _ in CHOSEN}
    listeners |= {listener["name"]: listener for listener in GENERATED}
    directory = tmp_path_factory.mktemp("connections")
    pair = []
    for name, kind in (("reference", "envoy"), ("tested", proxy_kind)):
        pair.append(Proxy(kind, bootstrap(listeners.values()), directory, name=name))
    yield [proxy.admin.listeners() for proxy in pair]
    for proxy in pair:
        proxy.stop()


def taken(ports, listener, pieces):
    """The chain that says its name to the client; in Envoy first."""
    both = [knock(side[listener["name"]], *pieces) for side in ports]
    for end in both:
        assert end.how != "open"
    return [end.data.decode() for end in both]


@pytest.mark.parametrize("listener", GENERATED, ids=[listener["name"] for listener in GENERATED])
def test_generated_chains_take_the_same_connections(ports, listener):
    different = {}
    for sent in SENT:
        envoy, weft = taken(ports, listener, (sent,))
        if envoy != weft:
            different[sent[:120]] = (envoy, weft)
    assert not different


@pytest.mark.parametrize(
    ("listener", "pieces"),
    [(listener, pieces) for listener, _, pieces in CHOSEN],
    ids=[f"{listener['name']}/{name}" for listener, name, _ in CHOSEN],
)
def test_chosen_connections_go_where_they_go_in_envoy(ports, listener, pieces):
    envoy, weft = taken(ports, listener, pieces)
    assert weft == envoy


def test_generated_connections_reach_many_chains(ports):
    """Or the comparison would mean little."""
    reached = {taken(ports, listener, (sent,))[0] for listener in GENERATED[:20] for sent in SENT[:20]}
    assert {"", "default", "chain-0", "chain-1", "chain-2"} <= reached
