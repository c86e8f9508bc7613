"""The same clusters in Envoy and in weft-proxy: the same upstreams are reached, about as often."""

import json
from collections import Counter
from contextlib import ExitStack

import pytest

from differential import balancing
from differential.beside import both
from harness import http1
from harness.upstream import Http

NAMES = [made["name"] for made in balancing.clusters(dict.fromkeys(balancing.UPSTREAMS, 1))] + ["by-file"]
REQUESTS = 200
# Seven standard deviations of a difference between two even shares of that many.
TOLERANCE = 7 * (2 * 0.25 / REQUESTS) ** 0.5


@pytest.fixture(scope="module")
def ports(proxy_kind, tmp_path_factory):
    """Where `main` is, in Envoy and in the proxy under test; the upstreams are the same."""
    folder = tmp_path_factory.mktemp("balancing")
    with ExitStack() as enter:
        up = {name: enter.enter_context(Http(name, body="")).port for name in balancing.UPSTREAMS}
        (folder / "endpoints.json").write_text(json.dumps(balancing.endpoints_file(up)))
        bootstrap = balancing.world(up, str(folder))
        yield enter.enter_context(both(proxy_kind, bootstrap, folder))


def shares(port, name):
    """How many of the requests each upstream got, and what the rest were told."""
    counts = Counter()
    with http1.Connection(port) as connection:
        for _ in range(REQUESTS):
            answer = connection.request("GET", f"/{name}")
            counts[answer.header("x-upstream") or f"{answer.status} {answer.text}"] += 1
    return {who: count / REQUESTS for who, count in counts.items()}


@pytest.mark.parametrize("name", NAMES)
def test_requests_are_shared_out_alike(ports, name):
    envoy, weft = (shares(port, name) for port in ports)
    assert weft.keys() == envoy.keys()
    different = {who: (envoy[who], weft[who]) for who in envoy if abs(envoy[who] - weft[who]) > TOLERANCE}
    assert not different
