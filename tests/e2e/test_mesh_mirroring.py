"""Copies in our own model: a new version answers beside the old one, and what it does differently is told."""

import pytest

from harness import http1, mesh
from harness.control import ControlPlane, Sidecar
from harness.waiting import until

pytestmark = pytest.mark.weft_only

COPIES = "cluster.catalog-next.default:80.mirror"


@pytest.fixture
def versions(tmp_path, processes, http_upstream):
    """A sidecar that only calls the old version, and sends copies to the new one."""
    running = []
    old, new = http_upstream("old", body="same"), http_upstream("new", body="same")

    def make(**mirror):
        services = [mesh.service(name, f"127.0.0.1:{up.port}", registered=False) for name, up in (("catalog", old), ("catalog-next", new))]
        copies = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "catalog-next", "port": 80}, **mirror}}
        route = mesh.http_route("catalog", "catalog", mesh.rule("catalog", filters=[copies]))
        running.append(ControlPlane(tmp_path, [*services, route]))
        sidecar = Sidecar(tmp_path, running[0].__enter__(), name="caller")
        until(lambda: http1.request(sidecar.outbound, host="catalog").status == 200, "the catalog to be reached")
        until(lambda: sidecar.admin.stats().get(f"{COPIES}.rq_active") == 0, "the copies of that")
        return sidecar

    yield make, old, new
    for control in running:
        control.__exit__(None, None, None)


def test_a_new_version_is_compared_with_the_old_one(versions):
    make, old, new = versions
    sidecar = make(compare={"headers": ["x-ranking"], "showHeaders": ["x-ranking"]})
    count = lambda name: sidecar.admin.stats().get(f"{COPIES}.compare.{name}", 0)
    until(lambda: count("match") >= 1, "the first comparison")
    begun = count("match")

    def ask(target, **answer):
        new.answers[target] = answer
        found = http1.request(sidecar.outbound, target=target, host="catalog")
        assert (found.status, found.body, found.header("x-upstream")) == (200, b"same", "old")

    ask("/same")
    until(lambda: count("match") == begun + 1, "a match")
    for kind, answer in {"status": {"status": 500}, "header": {"headers": [["x-ranking", "new"]]}, "body": {"body": "else"}}.items():
        ask(f"/{kind}", **answer)
        until(lambda kind=kind: count(f"{kind}_mismatch") == 1, f"a difference in {kind}")
    ask("/slow", gate="slow")
    until(lambda: any(seen["target"] == "/slow" for seen in new.seen), "the copy")
    assert count("match") == begun + 1
    new.open_gate("slow")
    until(lambda: count("match") == begun + 2, "a late match")
    assert (count("mismatch"), count("incomplete")) == (3, 0)
    assert "copy_slower_time: P0" in sidecar.admin.get("/stats?filter=mirror.compare").text
    told = sidecar.admin.get("/explain?" + "listener=outbound&authority=catalog&path=/").text
    assert "copied to catalog-next.default:80, whose answers are compared" in told


def test_copies_keep_to_their_budget(versions):
    make, old, new = versions
    sidecar = make(maxActive=1)
    count = lambda name: sidecar.admin.stats()[f"{COPIES}.{name}"]
    new.answers["/held"] = {"gate": "held"}
    before = count("rq_total")
    for _ in range(3):
        assert http1.request(sidecar.outbound, target="/held", host="catalog").status == 200
    assert (count("rq_total") - before, count("rq_overflow"), count("rq_active")) == (1, 2, 1)
    until(lambda: any(seen["target"] == "/held" for seen in new.seen), "the copy")
    new.open_gate("held")
    until(lambda: count("rq_active") == 0, "its end")
