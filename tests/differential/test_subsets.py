"""Subsets by metadata: requests reach the endpoints that they reach with Envoy."""

import pytest

from differential import subsets
from differential.beside import both, named_upstreams
from harness.http1 import Connection

# More than twice as many as there are endpoints, so each that may be picked is, in turn.
REQUESTS = 24


@pytest.fixture(scope="module")
def ports(proxy_kind, tmp_path_factory):
    with named_upstreams(len(subsets.ENDPOINTS)) as upstreams:
        world = subsets.world([server.port for server in upstreams])
        with both(proxy_kind, world, tmp_path_factory.mktemp("subsets")) as made:
            yield made


def reached(port, path):
    """Who answered, or with which status nobody did."""
    with Connection(port) as client:
        answers = [client.request("GET", path) for _ in range(REQUESTS)]
        return {answer.text if answer.status == 200 else answer.status for answer in answers}


@pytest.mark.parametrize("name", subsets.CLUSTERS)
@pytest.mark.parametrize("asked", subsets.ASKED)
def test_requests_reach_the_endpoints_that_they_reach_in_envoy(ports, name, asked):
    envoy, weft = (reached(port, f"/{name}/{asked}/") for port in ports)
    assert weft == envoy


@pytest.mark.parametrize("path", ["/split/more/", "/split/other/", "/split/nothing/", "/plain/"])
def test_a_weighted_cluster_asks_for_more_than_its_route(ports, path):
    envoy, weft = (reached(port, path) for port in ports)
    assert weft == envoy


def test_some_are_told_apart(ports):
    """Else the comparison would show nothing."""
    for port in ports:
        assert reached(port, "/none/v1/") == {"up-0", "up-1"}
        assert reached(port, "/none/v3/") == {503}
        assert reached(port, "/split/more/") == {"up-3"}
