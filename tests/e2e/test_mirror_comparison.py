"""Answers to copies of requests are compared with those that clients get, who notice nothing of it."""

import socket
from contextlib import ExitStack
from urllib.parse import urlencode

import pytest

from differential.filtering import setting
from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.frames import resident_kib
from harness.proxy import Proxy
from harness.upstream import Http
from harness.waiting import until

pytestmark = pytest.mark.weft_only

TYPE = "type.googleapis.com/weft.mirroring.v1.Mirroring"
SAME = {"body": "same", "headers": []}


def mirroring(*copies):
    """As proxies are told that may not know it."""
    return {"mirroring": setting({"@type": TYPE, "copies": list(copies)}, is_optional=True)}


def compared(match="/", cluster="other", max_active=None, to="main", **compare):
    said = {"cluster": cluster, "compare": compare, **({"max_active": max_active} if max_active is not None else {})}
    action = {"cluster": to, "request_mirror_policies": [{"cluster": cluster}], "timeout": "0s"}
    return route(match, action, name=f"route {match}", typed_per_filter_config=mirroring(said))


class World:
    """Two upstreams, a proxy that sends requests to the one and copies to the other, and what it counts."""

    def __init__(self, directory, entries, workers=1, other=None, **more):
        self._open = ExitStack()
        self.main, self.other = (self._open.enter_context(Http(name, body="same")) for name in ("main", "other"))
        clusters = [cluster("main", self.main.port, **more), cluster("other", other or self.other.port, **more)]
        world = bootstrap([listener("main", hcm(routes("main", virtual_host("all", ["*"], *entries))))], clusters)
        self.proxy = self._open.enter_context(Proxy("weft", world, directory, workers=workers))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open.close()

    def count(self, name):
        return self.proxy.admin.stats().get(f"cluster.other.mirror.{name}", 0)

    def all(self):
        """Of pairs that match, differ and cannot be compared: how many there are."""
        return tuple(self.count(f"compare.{name}") for name in ("match", "mismatch", "incomplete"))

    def send(self, target="/", method="GET", main=None, other=None, **more):
        """A request that the two answer like this."""
        self.main.answers[target], self.other.answers[target] = main or {}, other or {}
        return http1.request(self.proxy.port(), method, target, **more)

    def log(self):
        lines = self.proxy.process.log.read_text().splitlines()
        return [line for line in lines if "a copy was answered differently" in line]


@pytest.fixture
def world(tmp_path):
    with ExitStack() as made:
        yield lambda *entries, **more: made.enter_context(World(tmp_path, entries, **more))


def test_answers_are_compared(world):
    made = world(compared(headers=["x-own", "set-cookie"]))
    chunked = {"framing": "chunked", "body": "same"}
    upstream = [["x-own", "1"], ["x-other", "2"]]
    for main, other in [
        ({}, {}),
        (chunked, {}),
        ({"headers": upstream}, {"headers": [["x-own", "1"], ["x-other", "3"]]}),
        ({"status": 404}, {"status": 404}),
        ({"fill": 3_000_000}, {"fill": 3_000_000, "framing": "chunked"}),
        ({"status": 204}, {"status": 204}),
    ]:
        before = made.all()
        assert made.send(main=main, other=other).status == main.get("status", 200)
        until(lambda before=before: made.all() == (before[0] + 1, 0, 0), f"a match of {main} and {other}")
    for other, kind in [
        ({"status": 500}, "status"),
        ({"headers": [["x-own", "2"]]}, "header"),
        ({"headers": [["set-cookie", "a=b"]]}, "header"),
        ({"body": "sane"}, "body"),
        ({"body": "same and more"}, "body"),
    ]:
        before, matches = made.count(f"compare.{kind}_mismatch"), made.count("compare.match")
        answer = made.send(other=other)
        assert (answer.status, answer.body, answer.header("x-upstream")) == (200, b"same", "main")
        until(lambda kind=kind, before=before: made.count(f"compare.{kind}_mismatch") == before + 1, f"a difference in {kind}")
        assert made.count("compare.match") == matches
    assert made.all() == (6, 5, 0)
    assert made.count("rq_total") == 11
    until(lambda: made.count("rq_active") == 0, "the end of the copies")


def test_a_call_differs_in_its_own_status(world):
    made = world(compared())
    call = lambda status: {"framing": "chunked", "trailers": [["grpc-status", status]]}
    made.send(main=call("0"), other=call("0"))
    until(lambda: made.all() == (1, 0, 0), "a match")
    made.send(main=call("0"), other=call("14"))
    until(lambda: made.count("compare.grpc_status_mismatch") == 1, "a difference")
    made.send(main=call("5"), other={"headers": [["grpc-status", "5"]]})
    until(lambda: made.all() == (2, 1, 0), "a match wherever the status stands")


def test_over_h2_the_same_is_seen(world):
    made = world(compared(headers=["x-own"]), http2=True)
    made.send("/", "POST", body="x" * 100_000)
    until(lambda: made.all() == (1, 0, 0), "a match")
    made.send("/", "POST", body="x", other={"headers": [["x-own", "1"]], "body": "else"})
    until(lambda: made.count("compare.body_mismatch") == made.count("compare.header_mismatch") == 1, "differences")


def test_as_much_of_bodies_is_compared_as_is_said(world):
    made = world(compared("/little", max_body_bytes=4), compared("/nothing", max_body_bytes=0))
    made.send("/little", other={"body": "sane"})
    until(lambda: made.all() == (0, 1, 0), "a difference at the beginning")
    made.send("/little", main={"body": "same-1"}, other={"body": "same-2"})
    until(lambda: made.all() == (1, 1, 0), "no look at the rest")
    made.send("/little", main={"body": "same-1"}, other={"body": "same-22"})
    until(lambda: made.all() == (1, 2, 0), "but at its length")
    made.send("/nothing", other={"body": "something else"})
    until(lambda: made.all() == (2, 2, 0), "no look at the body")


def test_slow_copies_are_told_by_their_times_alone(world):
    made = world(compared())
    answer = made.send(other={"gate": "late"})
    assert (answer.status, answer.body) == (200, b"same"), "the client did not wait"
    until(lambda: made.other.seen, "the copy")
    assert made.all() == (0, 0, 0)
    made.other.open_gate("late")
    until(lambda: made.all() == (1, 0, 0), "the comparison")
    histograms = made.proxy.admin.get("/stats?filter=mirror.compare").text
    assert "mirror.compare.copy_slower_time: P0" in histograms, histograms
    made.main.answers["/"] = {"gate": "held"}
    made.other.answers["/"] = {}
    with ExitStack() as open_:
        client = open_.enter_context(socket.create_connection(("127.0.0.1", made.proxy.port())))
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        until(lambda: made.count("rq_active") == 0 and len(made.other.seen) == 2, "the answer to the copy")
        made.main.open_gate("held")
        until(lambda: made.all() == (2, 0, 0), "the comparison with what came later")
    assert "copy_faster_time: P0" in made.proxy.admin.get("/stats?filter=mirror.compare").text


def test_what_is_not_whole_is_not_compared(world):
    made = world(compared())
    made.send(other={"hangup": "before"})
    until(lambda: made.all() == (0, 0, 1), "a copy without an answer")
    made.send(other={"hangup": "middle", "body": "x" * 1000})
    until(lambda: made.all() == (0, 0, 2), "a copy with half an answer")
    assert made.count("rq_failed") == 2
    assert made.send(main={"hangup": "before"}).status == 503
    until(lambda: made.all() == (0, 0, 3), "a request without an answer of its upstream")


def test_what_differs_is_logged_without_secrets(world):
    said = {"headers": ["x-own", "x-shown", "set-cookie"], "shown_headers": ["x-shown"], "max_logs_per_minute": 3}
    made = world(compared("/some", **said), compared("/none", max_logs_per_minute=0))
    other = {"status": 201, "headers": [["x-own", "hidden"], ["x-shown", 'a "b"'], ["set-cookie", "id=secret"]]}
    for number in range(1, 6):
        made.send("/some", main={"headers": [["x-shown", "c"]]}, other=other, headers=[("x-request-id", "one")])
        until(lambda number=number: made.count("compare.mismatch") == number, "a difference")
    lines = made.log()
    assert len(lines) == 3
    for told in ("cluster=main", "copy=other", "status=200", "copy_status=201", "header x-own", "header set-cookie", "route /some"):
        assert told in lines[0], lines[0]
    assert 'header x-shown ("c" and "a \\"b\\"")' in lines[0].replace('\\\\\\"', '\\"'), lines[0]
    assert not any("hidden" in line or "secret" in line for line in lines)
    assert made.count("compare.log_dropped") == 2
    made.send("/none", other={"status": 500})
    until(lambda: made.count("compare.log_dropped") == 3, "what is not logged")
    assert len(made.log()) == 3


def test_copies_have_a_budget_of_their_own(world):
    made = world(compared(max_active=2), compared("/free"))
    for number in range(5):
        assert made.send(other={"gate": "never"}).status == 200
    assert (made.count("rq_active"), made.count("rq_overflow"), made.count("rq_total")) == (2, 3, 2)
    until(lambda: len(made.other.seen) == 2, "the copies")
    made.other.open_gate("never")
    until(lambda: made.all() == (2, 0, 0), "their answers")
    made.send()
    until(lambda: made.all() == (3, 0, 0), "another copy")


def test_a_flood_of_copies_that_nobody_answers_holds_nothing(tmp_path):
    """Their cluster reads nothing: what waits for it is bounded, and requests go on as without it."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as deaf:
        entries = [compared(max_active=400)]
        with World(tmp_path, entries, other=deaf.getsockname()[1]) as made:
            send = lambda: made.send("/", "POST", body="x" * 60_000)
            for _ in range(50):
                assert send().status == 200
            before = resident_kib(made.proxy.process)
            for _ in range(1500):
                assert send().status == 200
            grown = resident_kib(made.proxy.process) - before
            assert made.count("rq_active") <= 400
            assert made.count("rq_overflow") >= 1100
            # 8 MiB of bodies that wait, and what 400 tasks and connections need.
            assert grown < 40 << 10, grown


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"max_active": 7, "headers": ["x-own"]}, "copied to other, at most 7 at once, whose answers are compared: status, grpc-status, latency, body, x-own"),
        ({"max_body_bytes": 0}, "copied to other, whose answers are compared: status, grpc-status, latency"),
    ],
)
def test_explain_says_what_is_compared(world, said, told):
    made = world(compared(**said))
    answer = made.proxy.admin.get("/explain?" + urlencode({"listener": "main", "path": "/", "authority": "a"}))
    assert told in [line.strip().removeprefix("policy").strip() for line in answer.text.splitlines()], answer.text


def test_a_redirect_that_is_followed_is_not_the_answer(world):
    """The client gets the answer from elsewhere, which the copy is not compared with."""
    entry = compared("/from")
    entry["route"]["internal_redirect_policy"] = {"redirect_response_codes": [302]}
    made = world(entry, route("/to", "main"))
    target = {"status": 302, "headers": [["location", "http://weft.test/to"]], "body": ""}
    assert made.send("/from", main=target, other=target).status == 200
    until(lambda: made.all() == (0, 0, 1), "the pair without its original")
