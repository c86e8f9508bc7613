"""A folder as the source of the mesh: changes, broken states, swaps, and half-written files."""

import os
import shutil
import time

import pytest

from harness import mesh
from harness.control import ControlPlane
from harness.process import run
from harness.proxy import binary
from harness.waiting import until

pytestmark = pytest.mark.weft_only


def text(*names):
    return mesh.documents([mesh.service(name) for name in names])


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "mesh"
    path.mkdir()
    (path / "a.yaml").write_text(text("a"))
    return path


@pytest.fixture
def control(tmp_path, processes, folder):
    with ControlPlane(tmp_path, arguments=["--config-dir", folder]) as running:
        yield running


def names(control):
    return {one["name"] for one in control.rest.json("/v1/resources")["resources"]}


def documents(control):
    """What health says of them."""
    return control.rest.json("/readyz")["checks"][1]


def test_changes_come_into_force_by_themselves(control, folder):
    assert names(control) == {"a"}
    took = []
    for number in range(5):
        (folder / f"more-{number}.yaml").write_text(text(f"more-{number}"))
        begun = time.monotonic()
        until(lambda: f"more-{number}" in names(control), "the new file")
        took.append(time.monotonic() - begun)
    print("in force after", [f"{one * 1000:.0f} ms" for one in took])
    assert min(took) < 0.2
    (folder / "a.yaml").unlink()
    until(lambda: "a" not in names(control), "the file to be gone")
    deeper = folder / "team" / "shop"
    deeper.mkdir(parents=True)
    (deeper / "b.yaml").write_text(text("b"))
    until(lambda: "b" in names(control), "a file in a folder in the folder")


def test_a_broken_state_keeps_the_last_good_one_and_all_problems_are_shown(control, folder):
    (folder / "bad.yaml").write_text(mesh.documents([mesh.http_route("r", "nobody", mesh.rule("nobody"))]))
    (folder / "worse.yaml").write_text("kind: [")
    (folder / "good.yaml").write_text(text("good"))
    health = until(lambda: documents(control)["status"] == "degraded" and documents(control), "the problems")
    until(lambda: {p["file"].rpartition("/")[2] for p in documents(control)["problems"]} >= {"bad.yaml", "worse.yaml"}, "all problems")
    assert health["problems"][0]["line"] >= 1
    assert names(control) == {"a"}, "nothing is half applied"
    until(lambda: "worse.yaml" in control.process.tail(), "the problems in the log")
    (folder / "bad.yaml").unlink()
    (folder / "worse.yaml").unlink()
    until(lambda: names(control) == {"a", "good"}, "the good state")
    assert documents(control)["status"] == "ok"


def test_a_file_is_not_read_while_it_is_written(control, folder):
    """A good half of a file would take the other half's Services away."""
    (folder / "two.yaml").write_text(text("one", "two"))
    until(lambda: {"one", "two"} <= names(control), "both")
    revision = control.rest.json("/v1/info")["revision"]
    whole = text("one", "two", "three")
    half = len(text("one"))
    with (folder / "two.yaml").open("w") as out:
        out.write(whole[:half])
        out.flush()
        # Something else happens meanwhile, so that the folder would be read if nobody minded.
        (folder / "notes.txt").write_text("x")
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            assert "two" in names(control)
        out.write(whole[half:])
    until(lambda: "three" in names(control), "the whole file")
    assert control.rest.json("/v1/info")["revision"] == revision + 1, "there was no state in between"


def test_a_configmap_is_swapped_as_a_whole(tmp_path, processes):
    """Kubernetes turns the link `..data` from one folder to the next."""
    volume = tmp_path / "volume"
    for number in (1, 2):
        data = volume / f"..{number}"
        data.mkdir(parents=True)
        (data / "x.yaml").write_text(text(f"x-{number}"))
        (data / "y.yaml").write_text(text(f"y-{number}"))
    os.symlink("..1", volume / "..data")
    os.symlink("..data/x.yaml", volume / "x.yaml")
    os.symlink("..data/y.yaml", volume / "y.yaml")
    with ControlPlane(tmp_path, arguments=["--config-dir", volume]) as control:
        assert names(control) == {"x-1", "y-1"}
        os.symlink("..2", volume / "..data_tmp")
        os.rename(volume / "..data_tmp", volume / "..data")
        shutil.rmtree(volume / "..1")
        until(lambda: names(control) == {"x-2", "y-2"}, "the other data")
        assert control.rest.json("/v1/info")["revision"] == 2


def test_an_empty_or_missing_folder_takes_nothing_away(control, folder):
    (folder / "a.yaml").rename(folder.parent / "a.yaml")
    health = until(lambda: documents(control)["status"] == "degraded" and documents(control), "the trouble")
    assert "no .yaml" in health["detail"] and names(control) == {"a"}
    folder.rmdir()
    until(lambda: "no such folder" in documents(control)["detail"], "the other trouble")
    folder.mkdir()
    (folder / "b.yaml").write_text(text("b"))
    until(lambda: names(control) == {"b"}, "the folder that came back")
    (folder / "b.yaml").write_text("# nothing, on purpose\n")
    until(lambda: names(control) == set(), "the mesh to be empty")


def test_writes_are_refused_with_the_reason(control, folder):
    answer = control.rest.put([mesh.service("b")])
    assert answer.status == 409
    assert str(folder) in answer.json()["detail"]
    answer = control.rest.delete("/v1/resources/service/default/a")
    assert answer.status == 409


def test_a_restart_with_a_broken_folder_uses_the_remembered_state(tmp_path, processes, folder):
    store = tmp_path / "mesh.db"
    arguments = ["--config-dir", folder]
    with ControlPlane(tmp_path, store=store, arguments=arguments) as control:
        (folder / "b.yaml").write_text(text("b"))
        until(lambda: names(control) == {"a", "b"}, "the second file")
        until(lambda: b"\"b\"" in store.with_name("mesh.db-wal").read_bytes(), "it to be remembered")
        control.process.kill()
    (folder / "b.yaml").write_text("kind: [")
    with ControlPlane(tmp_path, store=store, arguments=arguments) as control:
        assert names(control) == {"a", "b"}
        assert documents(control)["status"] == "degraded"
        (folder / "b.yaml").unlink()
        until(lambda: names(control) == {"a"}, "the folder to be good again")


def test_a_start_with_a_broken_folder_and_no_memory_fails_with_all_problems(tmp_path, folder):
    (folder / "b.yaml").write_text("kind: [")
    (folder / "c.yaml").write_text("kind: Nonsense\n")
    outcome = run([binary("weft-control-plane"), "--config-dir", folder, "--admin", "127.0.0.1:0"], tmp_path)
    assert outcome.returncode == 1
    assert "b.yaml:" in outcome.stderr and "c.yaml:" in outcome.stderr
