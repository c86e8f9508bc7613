"""The command line `weft` against a running control plane."""

import json

import pytest

from harness import mesh
from harness.control import ControlPlane
from harness.process import run
from harness.proxy import ROOT, binary

pytestmark = pytest.mark.weft_only


@pytest.fixture
def control(tmp_path, processes):
    with ControlPlane(tmp_path) as running:
        yield running


@pytest.fixture
def weft(control, tmp_path):
    def call(*arguments):
        env = {"WEFT_SERVER": f"http://{control.rest.host}:{control.rest.port}"}
        return run([binary("weft"), *arguments], tmp_path, env)

    return call


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "catalog.yaml"
    path.write_text(mesh.documents([mesh.service("catalog", "127.0.0.1:9")]))
    return path


def test_apply_get_delete(weft, file):
    applied = weft("apply", "-f", file)
    assert applied.returncode == 0, applied.stderr
    got = weft("get", "service")
    assert got.returncode == 0 and "catalog" in got.stdout
    as_json = weft("get", "service", "-o", "json")
    assert "catalog" in json.dumps(json.loads(as_json.stdout))
    gone = weft("delete", "service", "catalog")
    assert gone.returncode == 0, gone.stderr
    assert "catalog" not in weft("get", "service").stdout


def test_validate_needs_no_control_plane(tmp_path, file):
    assert run([binary("weft"), "validate", file], tmp_path).returncode == 0
    broken = tmp_path / "broken.yaml"
    broken.write_text(mesh.documents([mesh.http_route("r", "nobody", mesh.rule("nobody"))]))
    outcome = run([binary("weft"), "validate", broken], tmp_path)
    assert outcome.returncode == 1
    assert "broken.yaml:" in outcome.stderr + outcome.stdout


@pytest.mark.parametrize("example", sorted((ROOT / "config/examples").glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_valid(tmp_path, example):
    outcome = run([binary("weft"), "validate", example], tmp_path)
    assert outcome.returncode == 0, outcome.stderr + outcome.stdout


def test_status_says_who_is_connected(weft):
    outcome = weft("status")
    assert outcome.returncode == 0, outcome.stderr
