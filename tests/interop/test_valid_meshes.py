"""Whatever mesh is valid: Envoy's validator and our own compiler take all that it is translated to."""

import json
import subprocess

import pytest

from harness.proxy import binaries
from harness.validation import Bootstrap, refusal

COUNT, SEEDS = 40, (1, 2)


def by_chance(seed):
    program = binaries() / "examples" / "meshes-by-chance"
    if not program.exists():
        raise FileNotFoundError(f"{program} is not there: cargo build -p weft-translate --example meshes-by-chance")
    written = subprocess.run([program, str(COUNT), str(seed)], capture_output=True, text=True, check=True, timeout=120)
    return [json.loads(line) for line in written.stdout.splitlines()]


def together(views):
    bootstrap = Bootstrap()
    for index, view in enumerate(views):
        bootstrap.add(index, view)
    return bootstrap


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("program", ["envoy", "envoy-older", "weft-proxy"])
def test_whatever_is_valid_is_taken(program, seed, tmp_path):
    views = by_chance(seed)
    assert {view["mesh"] for view in views} == set(range(COUNT))
    if not refusal(program, together(views), tmp_path):
        return
    for view in views:
        said = refusal(program, together([view]), tmp_path)
        assert not said, f"{view['node']}\n{json.dumps(view['documents'])}\n{said}"
    pytest.fail(f"{program} takes each of these, and not all: {refusal(program, together(views), tmp_path)}")


@pytest.mark.parametrize("program", ["envoy", "envoy-older", "weft-proxy"])
def test_what_is_wrong_is_refused(program, tmp_path):
    """The comparison can fail: a destination that does not exist is seen."""
    view = next(view for view in by_chance(SEEDS[0]) if view["clusters"] and "cluster" in json.dumps(view["routes"]))
    kept = json.loads(json.dumps(view))
    kept["clusters"] = {}
    assert not refusal(program, together([view]), tmp_path)
    assert refusal(program, together([kept]), tmp_path)
