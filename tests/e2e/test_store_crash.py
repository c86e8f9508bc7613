"""A control plane that is killed while documents are applied: nothing is half applied, nothing answered is lost."""

import random
import threading

import pytest

from harness import mesh
from harness.control import ControlPlane
from harness.waiting import until

pytestmark = pytest.mark.weft_only

ROUNDS = 12


def pair(number):
    """Two documents that only ever change together."""
    return [mesh.service("left", f"127.0.0.1:{number}"), mesh.service("right", f"127.0.0.1:{number}")]


def state(control):
    """What both documents say, and the revision."""
    listed = control.rest.json("/v1/resources")
    said = {
        one["name"]: one["document"]["spec"]["endpoints"][1]["static"][0]["address"] for one in listed["resources"]
    }
    return said, listed["revision"]


def test_killed_again_and_again_while_applying(tmp_path, processes):
    draw = random.Random(7)
    store = tmp_path / "mesh.db"
    answered, number = 0, 1000
    for _ in range(ROUNDS):
        with ControlPlane(tmp_path, store=store) as control:
            said, revision = state(control)
            assert set(said) in (set(), {"left", "right"})
            assert len(set(said.values())) <= 1, f"half applied: {said}"
            # What was answered is there; what was not may be.
            assert revision >= answered
            stop = threading.Event()
            done = []

            def author():
                nonlocal number
                while not stop.is_set():
                    number += 1
                    try:
                        answer = control.rest.put(pair(number))
                    except OSError:
                        return
                    if answer.status == 200:
                        done.append(answer.json()["revision"])

            thread = threading.Thread(target=author)
            thread.start()
            wanted = draw.randrange(1, 12)
            until(lambda: len(done) >= wanted, "some changes")
            control.process.kill()
            stop.set()
            thread.join()
            answered = max(done)
    with ControlPlane(tmp_path, store=store) as control:
        said, revision = state(control)
        assert len(set(said.values())) == 1 and revision >= answered
