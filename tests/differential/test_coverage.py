"""Every field that the table honours is compared with Envoy, or it is said where else its effect shows."""

import fnmatch
import tomllib
from pathlib import Path

import pytest

from differential import balancing, breakers, hashing, outliers, retrying, sessions, shapes, streams, subsets, test_zones
from differential.connections import chosen, generated
from differential.coverage import fields_of, honoured
from differential.generate import World
from differential.places import NOWHERE
from differential.worlds import worlds
from harness.config import bootstrap
from harness.proxy import ROOT

ELSEWHERE = tomllib.loads((Path(__file__).parent / "elsewhere.toml").read_text())["field"]


def compared():
    """Every bootstrap that is given to both proxies."""
    yield from (make(NOWHERE) for make in worlds().values())
    yield from (World(1, number, 1).bootstrap(NOWHERE) for number in range(60))
    yield bootstrap([listener for listener, _, _ in chosen()] + list(generated(seed=7, count=60)))
    yield streams.world(NOWHERE)
    yield balancing.world(dict.fromkeys(balancing.UPSTREAMS, 1), "/nowhere")
    yield from (made.bootstrap(shapes.NOWHERE) for made in [*shapes.SHAPES, shapes.TCP])
    yield hashing.world([1, 2, 3])
    yield breakers.world(1)
    yield outliers.world(range(1, 6))
    yield retrying.world(NOWHERE)
    yield subsets.world(range(1, len(subsets.ENDPOINTS) + 1))
    yield sessions.world(dict.fromkeys(sessions.UPSTREAMS, 1))
    yield from (test_zones.world(case, [[1, 2, 3]] * 3) for case in test_zones.CASES)
    for made in shapes.SHAPES:
        told = made.resources(shapes.NOWHERE)
        yield bootstrap(told.get("listeners", ()), told.get("clusters", ()))


@pytest.fixture(scope="module")
def lacking():
    """Honoured fields that none of them sets."""
    seen = set()
    for made in compared():
        seen |= fields_of(made)
    return honoured().keys() - seen


def test_every_honoured_field_is_compared_or_shown_elsewhere(lacking):
    patterns = [pattern for row in ELSEWHERE for pattern in row["names"]]
    named = {name for pattern in patterns for name in fnmatch.filter(lacking, pattern)}
    assert not sorted(lacking - named), "write a world that sets them, or say in elsewhere.toml what shows them"
    stale = [pattern for pattern in patterns if not fnmatch.filter(lacking, pattern)]
    assert not stale, "these are compared by now: take them out of elsewhere.toml"


@pytest.mark.parametrize("row", ELSEWHERE, ids=[row["names"][0].rpartition(".")[2] for row in ELSEWHERE])
def test_what_shows_a_field_elsewhere_is_there(row):
    path, _, function = row["test"].partition("::")
    text = (ROOT / path).read_text()
    assert f"def {function}(" in text or f"fn {function}(" in text
    assert len(row["why"]) > 30
