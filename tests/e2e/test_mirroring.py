"""Copies of requests for other clusters: what they are like, and that nobody waits for them."""

import socket
from contextlib import ExitStack

import pytest

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.proxy import Proxy
from harness.upstream import Http
from harness.waiting import until


class World:
    """Two upstreams, `main` and `other`, and a proxy in front of them."""

    def __init__(self, kind, directory, entries, **more):
        self._open = ExitStack()
        self.main, self.other = (self._open.enter_context(Http(name)) for name in ("main", "other"))
        h2 = {"http2": more.pop("http2", False)}
        clusters = [cluster("main", self.main.port, **h2), cluster("other", self.other.port, **h2), cluster("nobody")]
        clusters[1] |= more.pop("limits", {})
        host = virtual_host("all", ["*"], *entries, **more.pop("host", {}))
        table = routes("main", host, **more)
        world = bootstrap([listener("main", hcm(table))], clusters)
        self.proxy = self._open.enter_context(Proxy(kind, world, directory))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open.close()

    def stats(self):
        return self.proxy.admin.stats()

    def send(self, method="GET", target="/", **more):
        answer = http1.request(self.proxy.port(), method, target, **more)
        assert answer.status == 200
        return answer

    def copy(self, number=1):
        """The copy that came last, when that many have come."""
        until(lambda: len(self.other.seen) >= number, what="a copy")
        return self.other.seen[-1]


@pytest.fixture
def world(proxy_kind, tmp_path):
    with ExitStack() as made:

        def make(*entries, **more):
            return made.enter_context(World(proxy_kind, tmp_path, entries, **more))

        yield make


def to(*policies, match="/", **more):
    return route(match, {"cluster": "main", "request_mirror_policies": list(policies), **more})


def headers(seen):
    return {name.lower(): value for name, value in seen["headers"]}


OTHER = {"cluster": "other"}


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_a_copy_goes_to_the_other_cluster(world, http2):
    made = world(to(OTHER, prefix_rewrite="/rewritten/"), http2=http2)
    answer = made.send("POST", "/a?b=c", body="the body", headers=[("x-own", "1"), ("content-type", "text/own")])
    assert answer.header("x-upstream") == "main"
    copy, original = made.copy(), made.main.seen[-1]
    for name in ("method", "target", "framing", "body"):
        assert copy[name] == original[name], name
    assert copy["target"] == "/rewritten/a?b=c"
    assert (headers(copy)["x-own"], headers(copy)["content-type"]) == ("1", "text/own")
    assert headers(copy)["x-request-id"] == headers(original)["x-request-id"]
    until(lambda: made.stats()["cluster.other.upstream_rq_completed"] == 1, what="the copy's answer")
    assert made.stats()["http.ingress.downstream_rq_total"] == 1


def test_what_copies_are_like(world):
    changes = [
        {"append": {"header": {"key": "x-copy", "value": "of %REQ(x-own)%"}}},
        {"append": {"header": {"key": "x-own", "value": "other"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}},
        {"remove": "x-gone"},
    ]
    made = world(
        to(OTHER, match="/plain"),
        to({**OTHER, "disable_shadow_host_suffix_append": True}, match="/host"),
        to({**OTHER, "host_rewrite_literal": "own.test"}, match="/own"),
        to({**OTHER, "request_headers_mutations": changes}, match="/changed"),
    )
    sent = [("x-own", "1"), ("x-gone", "1")]
    for number, (path, host) in enumerate([("/plain", "weft.test-shadow"), ("/host", "weft.test"), ("/own", "own.test")], 1):
        made.send(target=path, headers=sent)
        assert headers(made.copy(number))["host"] == host
        assert headers(made.main.seen[-1])["host"] == "weft.test"
    made.send(target="/plain", headers=sent, host="weft.test:81")
    assert headers(made.copy(4))["host"] == "weft.test-shadow:81"
    made.send(target="/changed", headers=sent)
    found = headers(made.copy(5))
    assert (found["x-copy"], found["x-own"], "x-gone" in found) == ("of 1", "other", False)
    assert headers(made.main.seen[-1])["x-gone"] == "1"


def test_a_header_names_the_other_cluster(world):
    made = world(to({"cluster_header": "x-where"}))
    made.send(headers=[("x-where", "nowhere")])
    made.send()
    made.send(target="/meant", headers=[("x-where", "other")])
    assert made.copy()["target"] == "/meant"
    assert len(made.other.seen) == 1


def test_a_share_of_the_requests_is_copied(world):
    share = lambda numerator: {"runtime_fraction": {"default_value": {"numerator": numerator, "denominator": "HUNDRED"}}}
    made = world(to({**OTHER, **share(0)}, match="/none"), to({**OTHER, **share(50)}, match="/half"), to(OTHER, match="/all"))
    for _ in range(20):
        made.send(target="/none")
    for _ in range(200):
        made.send(target="/half")
    made.send(target="/all")
    until(lambda: any(seen["target"] == "/all" for seen in made.other.seen), what="the last copy")
    copied = sum(seen["target"] == "/half" for seen in made.other.seen)
    assert 50 < copied < 150
    assert not any(seen["target"] == "/none" for seen in made.other.seen)


def test_policies_hold_at_the_level_that_is_nearest(world):
    made = world(
        route("/host", "main"),
        to({"cluster": "nobody"}, match="/own"),
        host={"request_mirror_policies": [OTHER]},
        request_mirror_policies=[{"cluster": "nobody"}],
    )
    made.send(target="/own")
    made.send(target="/host")
    assert made.copy()["target"] == "/host"


def test_a_route_configuration_has_them_for_all(world):
    made = world(route("/", "main"), request_mirror_policies=[OTHER])
    made.send(target="/any")
    assert made.copy()["target"] == "/any"


def test_several_clusters_get_copies(world):
    made = world(to(OTHER, {"cluster": "nobody"}, {**OTHER, "host_rewrite_literal": "second.test"}))
    made.send("POST", body="x" * 3000)
    until(lambda: len(made.other.seen) == 2, what="both copies")
    assert {headers(seen)["host"] for seen in made.other.seen} == {"weft.test-shadow", "second.test"}
    assert all(seen["body"] == "x" * 3000 for seen in made.other.seen)


def test_nobody_waits_for_a_copy(world):
    """An upstream of copies that never answers holds up no client, and no request that follows."""
    made = world(to(OTHER, timeout="0s"))
    made.other.script = [{"gate": "never"}] * 3
    for _ in range(3):
        assert made.send("POST", body="x").header("x-upstream") == "main"
    made.copy(3)
    made.other.let_through("never")


def test_a_copy_that_is_not_read_breaks_off_alone(tmp_path):
    """What an upstream of copies does not read is not held for it: 256 KiB wait, no more."""
    with Http("main") as main, socket.create_server(("127.0.0.1", 0)) as deaf:
        clusters = [cluster("main", main.port), cluster("other", deaf.getsockname()[1])]
        table = routes("main", virtual_host("all", ["*"], to(OTHER, timeout="0s")))
        with Proxy("weft", bootstrap([listener("main", hcm(table))], clusters), tmp_path) as proxy:
            answer = http1.request(proxy.port(), "POST", body="x" * 30_000_000)
            assert (answer.status, main.seen[-1]["body"]) == (200, "30000000 bytes")
            assert proxy.admin.stats()["cluster.main.retry_or_shadow_abandoned"] == 1


def test_copies_keep_to_the_limits_of_their_cluster(world):
    breakers = {"circuit_breakers": {"thresholds": [{"max_requests": 0}]}}
    made = world(to(OTHER), limits=breakers)
    made.send()
    until(lambda: made.stats()["cluster.other.upstream_rq_active_overflow"] == 1 or made.stats()["cluster.other.upstream_rq_pending_overflow"] == 1, what="a refused copy")
    assert not made.other.seen
