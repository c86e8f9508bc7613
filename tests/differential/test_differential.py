"""The same bootstrap and the same requests to Envoy and to weft-proxy: the answers are compared."""

from dataclasses import dataclass

import pytest

from differential import allowed, places
from differential.cases import cases
from differential.observe import differences, observe
from differential.worlds import worlds
from harness.proxy import Proxy
from harness.upstream import Http

CASES = sorted(cases(), key=lambda case: case.world)
USED = set()
RUN = set()


@dataclass
class Side:
    """One proxy and the upstream that only it uses."""

    port: int | str
    upstream: Http


@pytest.fixture(scope="module")
def in_world(proxy_kind, tmp_path_factory):
    """Envoy and the proxy under test in the same world, kept until another one is asked for."""
    made, current = [], {}

    def stop():
        current.clear()
        while made:
            made.pop().stop()

    def pair(world):
        if world not in current:
            stop()
            directory = tmp_path_factory.mktemp(world)
            current[world] = [side(world, *names, directory) for names in kinds(proxy_kind)]
        return current[world]

    def side(world, name, kind, directory):
        behind = places.Places(name, directory)
        made.append(behind)
        bootstrap = worlds()[world](behind.ports)
        proxy = Proxy(kind, bootstrap, directory, name=name)
        made.append(proxy)
        return Side(places.entrance(bootstrap) or proxy.port(), behind.upstream)

    yield pair
    stop()


def kinds(tested):
    return (("reference", "envoy"), ("tested", tested))


def same_name(seen):
    """Both upstreams have names of their own, which are not a difference."""
    for path in seen.keys() & {"header.x-upstream", "header.X-Upstream"}:
        seen[path] = "<upstream>"
    return seen


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_answers_are_the_same(in_world, case):
    sides = in_world(case.world)
    envoy, weft = (same_name(observe(case, side.port, side.upstream)) for side in sides)
    RUN.add(case.id)
    unexplained = {}
    for path, (left, right) in differences(envoy, weft).items():
        row = next((row for row in allowed.rows() if row.allows(case.id, path, left, right)), None)
        if row is None:
            unexplained[path] = {"envoy": left, "weft": right}
        else:
            USED.add(row.name)
    assert not unexplained


def test_every_allowed_difference_is_still_needed(proxy_kind):
    """Runs last: a row that nothing needs any more must go, or it would hide the next bug."""
    if proxy_kind != "weft" or len(RUN) != len(CASES):
        pytest.skip("needs a whole run against weft-proxy")
    assert {row.name for row in allowed.rows()} <= USED


def test_the_page_says_what_the_list_says():
    assert allowed.PAGE.read_text() == allowed.page(), "run: cd tests && python -m differential.allowed"


def test_every_row_has_a_name_and_a_reason():
    names = [row.name for row in allowed.rows()]
    assert len(names) == len(set(names))
    assert all(len(row.reason) > 40 for row in allowed.rows())
