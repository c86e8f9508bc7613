"""Hedging of our own: what is slow is sent to another endpoint as well, and the first answer wins."""

import pytest

from differential.filtering import put
from harness import http1
from harness.asking import Asking
from harness.config import ROUTER, bootstrap, cluster, hcm, http2_options, listener, route, routes, virtual_host
from harness.waiting import until

POLICY = "type.googleapis.com/weft.hedging.v1.HedgePolicy"
AFTER = {"after": "0.05s"}
KEY = ("idempotency-key", '"order-7"')


def hedging(**policy):
    return {"metadata": {"typed_filter_metadata": {"weft.hedging": {"@type": POLICY, **policy}}}}


@pytest.fixture
def place(start, http_upstream):
    """Starts a proxy in front of some upstreams, each of which answers when its gate opens."""

    def make(policy, upstreams=2, route_more=None, filters=(), **more):
        ups = [http_upstream(f"up{at}", body="fine") for at in range(upstreams)]
        host = virtual_host("all", ["*"], route("/", {"cluster": "up", "timeout": "20s", **(route_more or {})}))
        table = routes("main", {**host, "include_request_attempt_count": True})
        config = hcm(table, http_filters=[*filters, ROUTER])
        to = cluster("up", *[up.port for up in ups], **hedging(**policy), **more)
        return ups, start(bootstrap([listener("main", config)], [to]))

    return make


def hold(ups):
    """The next request to each waits."""
    for at, up in enumerate(ups):
        up.script = [{"gate": f"gate {at}", "status": 200, "body": f"from {at}"}]


def open_all(ups):
    for at, up in enumerate(ups):
        up.open_gate(f"gate {at}")


def by_try(ups):
    """Which upstream has seen which try."""
    return {int(dict(seen["headers"])["x-envoy-attempt-count"]): at for at, up in enumerate(ups) for seen in up.seen}


def explained(proxy):
    return proxy.admin.get("/explain?authority=weft.test&path=/").text


def ask(proxy, **more):
    return http1.request(proxy.port(), **more)


def counted(proxy, name):
    return int(proxy.admin.stats().get(f"cluster.up.{name}", 0))


@pytest.mark.parametrize("winner", [1, 2])
@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_what_takes_too_long_is_sent_as_well(place, http2, winner):
    ups, proxy = place(AFTER, **(http2_options() if http2 else {}))
    hold(ups)
    asking = Asking(proxy.port())
    until(lambda: len(by_try(ups)) == 2, "the second try")
    first = by_try(ups)[winner]
    ups[first].open_gate(f"gate {first}")
    assert asking.answer().body == f"from {first}".encode()
    assert counted(proxy, "upstream_rq_hedge") == 1
    assert counted(proxy, "upstream_rq_hedge_won") == winner - 1
    assert counted(proxy, "upstream_rq_hedge_cancelled") == 1
    assert (counted(proxy, "upstream_rq_retry"), counted(proxy, "upstream_rq_total")) == (0, 2)
    until(lambda: counted(proxy, "upstream_rq_hedge_active") == 0, "its place to be free")


def test_what_is_slower_than_most_is_sent_as_well(place):
    ups, proxy = place({"quantile": 0.9})
    assert "once it is known" in explained(proxy)
    for _ in range(100):
        assert ask(proxy).status == 200
    until(lambda: "90 % of answers" in explained(proxy), "it to be known")
    assert counted(proxy, "upstream_rq_hedge") == 0, "nothing was known yet"
    hold(ups)
    asking = Asking(proxy.port(), target="/slow")
    until(lambda: all(up.seen[-1]["target"] == "/slow" for up in ups), "the second try")
    ups[1].open_gate("gate 1")
    assert asking.answer().body == b"from 1"


@pytest.mark.parametrize("extra", [1, 2])
def test_a_request_is_sent_as_well_so_many_times(place, extra):
    ups, proxy = place({**AFTER, "extra": extra, "budget": {"minimum": 5}}, upstreams=3)
    hold(ups)
    asking = Asking(proxy.port())
    until(lambda: len(by_try(ups)) == extra + 1, "the last try")
    last = by_try(ups)[extra + 1]
    ups[last].open_gate(f"gate {last}")
    assert asking.answer().body == f"from {last}".encode()
    assert (counted(proxy, "upstream_rq_hedge"), counted(proxy, "upstream_rq_hedge_cancelled")) == (extra, extra)
    assert counted(proxy, "upstream_rq_total") == extra + 1


@pytest.mark.parametrize(
    ("budget", "hedges"), [({"share": {"value": 0}, "minimum": 0}, 0), ({"share": {"value": 100}, "minimum": 0}, 1)]
)
def test_only_so_much_is_sent_as_well(place, budget, hedges):
    ups, proxy = place({**AFTER, "budget": budget})
    hold(ups)
    asking = Asking(proxy.port())
    name = "upstream_rq_hedge" if hedges else "upstream_rq_hedge_overflow"
    until(lambda: counted(proxy, name) == 1, "the decision")
    open_all(ups)
    assert asking.answer().status == 200
    assert counted(proxy, "upstream_rq_total") == 1 + hedges


@pytest.mark.parametrize(
    ("policy", "method", "headers", "is_sent"),
    [
        ({}, "GET", [], True),
        ({}, "POST", [], False),
        ({}, "POST", [KEY], True),
        ({"request_headers": [{"name": ":method", "string_match": {"exact": "POST"}}]}, "POST", [], True),
        ({"request_headers": [{"name": "x-yes", "present_match": True}]}, "GET", [], False),
    ],
)
def test_what_is_not_harmless_is_sent_once(place, policy, method, headers, is_sent):
    ups, proxy = place({**AFTER, **policy, "budget": {"minimum": 9}}, upstreams=3)
    hold(ups)
    asking = Asking(proxy.port(), method=method, headers=headers, body="all of it" if method == "POST" else None)
    until(lambda: any(up.seen for up in ups), "the request")
    # Another one, which came later, is slow by now.
    other = Asking(proxy.port(), method="POST" if "request_headers" in policy else "GET", headers=[("x-yes", "1"), KEY])
    until(lambda: counted(proxy, "upstream_rq_hedge") == 1 + is_sent, "what is slow to be sent as well")
    open_all(ups)
    assert asking.answer().status == 200 and other.answer().status == 200
    of_it = [seen for up in ups for seen in up.seen if "x-yes" not in dict(seen["headers"])]
    assert len(of_it) == 1 + is_sent
    assert all(seen["body"] == ("all of it" if method == "POST" else "") for seen in of_it)


def test_what_fails_is_tried_again_as_ever(place):
    retry = {"retry_on": "5xx", "num_retries": 2, "retry_back_off": {"base_interval": "0.001s"}}
    ups, proxy = place({"after": "20s"}, route_more={"retry_policy": retry})
    for up in ups:
        up.script = [{"status": 503}]
    assert ask(proxy).status == 200
    assert (counted(proxy, "upstream_rq_retry"), counted(proxy, "upstream_rq_hedge")) == (2, 0)


def test_who_failed_last_is_told(place):
    ups, proxy = place(AFTER)
    for at, up in enumerate(ups):
        up.script = [{"gate": f"gate {at}", "hangup": "before"}]
    asking = Asking(proxy.port())
    until(lambda: len(by_try(ups)) == 2, "the second try")
    open_all(ups)
    got = asking.answer()
    assert got.status == 503 and "per_try" not in got.header("proxy-status")


def test_a_session_is_kept_by_one_endpoint(place):
    state = {
        "name": "envoy.http.stateful_session.cookie",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
            "cookie": {"name": "place"},
        },
    }
    ups, proxy = place(AFTER, filters=[put("stateful_session.v3.StatefulSession", session_state=state)])
    cookie = ("cookie", ask(proxy).header("set-cookie").partition(";")[0])
    hold(ups)
    kept = Asking(proxy.port(), headers=[cookie])
    until(lambda: sum(len(up.seen) for up in ups) == 2, "the request of the session")
    other = Asking(proxy.port(), headers=[("x-yes", "1")])
    until(lambda: counted(proxy, "upstream_rq_hedge") == 1, "one that came later to be sent as well")
    open_all(ups)
    assert kept.answer().status == 200 and other.answer().status == 200
    assert sum("cookie" in dict(seen["headers"]) for up in ups for seen in up.seen) == 1
