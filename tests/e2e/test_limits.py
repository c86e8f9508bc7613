"""Limits of a cluster: connections, requests waiting and under way, and a share that is dropped."""

import json
import socket
import struct
import threading

import pytest

from harness import http1
from harness.config import bootstrap, cluster, endpoint, hcm, listener, route, routes, tcp_proxy, virtual_host
from harness.upstream import Tcp
from harness.waiting import until

GATED = [("x-respond", '{"gate": "later"}')]


def limited(up, thresholds, *ports, **more):
    """A bootstrap whose only cluster has these circuit breakers."""
    breakers = {"circuit_breakers": {"thresholds": [{"priority": "DEFAULT", **thresholds}]}}
    return to(cluster("up", *(ports or [up.port]), **(breakers if thresholds else {}), **more))


def to(made):
    # Nothing is given up while a test waits for others on a busy machine.
    main = routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up", "timeout": "0s"})))
    return bootstrap([listener("main", hcm(main))], [made])


class Held:
    """Requests under way, each on a connection of its own."""

    def __init__(self, port):
        self._port, self._open = port, []

    def send(self, target="/held", method="GET", headers=GATED):
        connection = http1.Connection(self._port)
        connection.send(http1.encode(method, target, headers))
        self._open.append(connection)
        return connection

    def reset(self):
        for connection in self._open:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    def answers(self):
        found = [connection.read() for connection in self._open]
        for connection in self._open:
            connection.close()
        return found


def assert_overloaded(answer):
    assert answer.status == 503
    assert answer.header("x-envoy-overloaded") == "true"
    assert answer.text == "upstream connect error or disconnect/reset before headers. reset reason: overflow"


def test_requests_above_the_limit_are_told_so(start, http_upstream):
    up = http_upstream("up")
    proxy = start(limited(up, {"max_requests": 2}))
    held = Held(proxy.port())
    held.send()
    held.send()
    until(lambda: len(up.seen) == 2, "two requests to arrive")
    assert_overloaded(http1.request(proxy.port()))
    assert proxy.admin.stats()["cluster.up.circuit_breakers.default.rq_open"] == 1
    up.open_gate("later")
    assert [answer.status for answer in held.answers()] == [200, 200]
    until(lambda: proxy.admin.stats()["cluster.up.upstream_rq_active"] == 0, "both to have ended")
    assert http1.request(proxy.port()).status == 200
    stats = proxy.admin.stats()
    assert stats["cluster.up.upstream_rq_active_overflow"] == 1
    assert stats["cluster.up.circuit_breakers.default.rq_open"] == 0


def test_a_request_comes_in_while_it_waits_for_a_connection(start, http_upstream):
    up = http_upstream("up")
    table = routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up", "timeout": "0s"})))
    breakers = {"circuit_breakers": {"thresholds": [{"priority": "DEFAULT", "max_connections": 1}]}}
    proxy = start(bootstrap([listener("main", hcm(table, request_timeout="0.4s"))], [cluster("up", up.port, **breakers)]))
    held = Held(proxy.port())
    held.send("/first")
    until(lambda: len(up.seen) == 1, "the first request to arrive")
    held.send("/whole", "POST")
    head = b"POST /half HTTP/1.1\r\nhost: weft.test\r\ncontent-length: 9\r\n\r\nhalf"
    with http1.Connection(proxy.port()) as half:
        half.send(head)
        late = half.read("POST")
    assert (late.status, late.text) == (408, "request timeout")
    with http1.Connection(proxy.port()) as posted:
        posted.send(http1.encode("POST", "/posted", (), "a body that is here"))
        until(lambda: proxy.admin.stats()["cluster.up.upstream_rq_pending_active"] == 2, "two requests to wait")
        with http1.Connection(proxy.port()) as half:
            half.send(head)
            assert half.read("POST").status == 408
        up.open_gate("later")
        assert posted.read("POST").status == 200
    assert [answer.status for answer in held.answers()] == [200, 200]
    assert [seen["body"] for seen in up.seen if seen["target"] == "/posted"] == ["a body that is here"]


def test_requests_wait_in_order_for_a_connection(start, http_upstream):
    up = http_upstream("up")
    proxy = start(limited(up, {"max_connections": 1}))
    held = Held(proxy.port())
    held.send("/first")
    until(lambda: len(up.seen) == 1, "the first request to arrive")
    for number in range(1, 6):
        held.send(f"/waiting-{number}", headers=())
        until(
            lambda waiting=number: proxy.admin.stats()["cluster.up.upstream_rq_pending_active"] == waiting,
            f"{number} requests to wait",
        )
    up.open_gate("later")
    assert all(answer.status == 200 for answer in held.answers())
    assert [seen["target"] for seen in up.seen] == ["/first", *(f"/waiting-{n}" for n in range(1, 6))]
    assert up.connections == 1
    assert proxy.admin.stats()["cluster.up.upstream_cx_overflow"] >= 5


def test_no_more_wait_than_may(start, http_upstream):
    up = http_upstream("up")
    proxy = start(limited(up, {"max_connections": 1, "max_pending_requests": 1}))
    held = Held(proxy.port())
    held.send()
    until(lambda: len(up.seen) == 1, "the first request to arrive")
    held.send()
    until(lambda: proxy.admin.stats()["cluster.up.upstream_rq_pending_active"] == 1, "a request to wait")
    assert_overloaded(http1.request(proxy.port()))
    assert proxy.admin.stats()["cluster.up.circuit_breakers.default.rq_pending_open"] == 1
    up.open_gate("later")
    assert [answer.status for answer in held.answers()] == [200, 200]


def test_a_request_waits_no_longer_than_its_route_allows(start, http_upstream):
    up = http_upstream("up")
    made = limited(up, {"max_connections": 1})
    held = Held(start(made, name="patient").port())
    held.send()
    until(lambda: len(up.seen) == 1, "the first request to arrive")
    hcm_config = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    hcm_config["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["timeout"] = "0.2s"
    proxy = start(made, name="hasty")
    port = proxy.port()
    hasty = Held(port)
    hasty.send("/gives-up")
    hasty.send("/gives-up-too")
    assert [answer.status for answer in hasty.answers()] == [504, 504]
    assert proxy.admin.stats()["cluster.up.upstream_rq_pending_active"] == 0
    up.open_gate("later")
    assert http1.request(port).status == 200
    held.answers()


def test_a_connection_that_ends_lets_the_next_request_open_one(start, http_upstream):
    up = http_upstream("up")
    proxy = start(limited(up, {"max_connections": 1}))
    held = Held(proxy.port())
    held.send(headers=[("x-respond", '{"gate": "later", "framing": "close"}')])
    until(lambda: len(up.seen) == 1, "the first request to arrive")
    held.send(headers=())
    until(lambda: proxy.admin.stats()["cluster.up.upstream_rq_pending_active"] == 1, "a request to wait")
    up.open_gate("later")
    assert [answer.status for answer in held.answers()] == [200, 200]
    assert up.connections == 2


def test_what_remains_is_shown(start, http_upstream):
    up = http_upstream("up")
    thresholds = {"max_connections": 7, "max_pending_requests": 5, "max_requests": 3, "track_remaining": True}
    proxy = start(limited(up, thresholds))
    held = Held(proxy.port())
    held.send()
    until(lambda: len(up.seen) == 1, "the request to arrive")
    stats = proxy.admin.stats()
    names = ("remaining_cx", "remaining_pending", "remaining_rq")
    assert [stats[f"cluster.up.circuit_breakers.default.{name}"] for name in names] == [6, 5, 2]
    up.open_gate("later")
    held.answers()


def test_several_workers_keep_one_limit(start, http_upstream):
    """Four workers and far more callers: never more requests at the upstream than may be."""
    up = http_upstream("up")
    proxy = start(limited(up, {"max_requests": 3}), workers=4)
    held = Held(proxy.port())
    for _ in range(40):
        held.send()
    until(lambda: proxy.admin.stats()["cluster.up.upstream_rq_active_overflow"] == 37, "the others to be refused")
    until(lambda: len(up.seen) == 3, "the three that may")
    up.open_gate("later")
    answers = held.answers()
    assert sorted(answer.status for answer in answers) == [200] * 3 + [503] * 37


def test_several_workers_share_one_connection(start, http_upstream):
    """Workers without a connection wait for the one that another has, and only so many of their requests."""
    up = http_upstream("up")
    proxy = start(limited(up, {"max_connections": 1, "max_pending_requests": 5}), workers=4)
    held = Held(proxy.port())

    def settled():
        stats = proxy.admin.stats()
        names = ("upstream_rq_pending_active", "upstream_rq_pending_overflow")
        waiting, refused = (stats[f"cluster.up.{name}"] for name in names)
        return len(up.seen) + waiting + refused

    for number in range(1, 21):
        held.send()
        until(lambda sent=number: settled() == sent, f"request {number} to be sent, to wait or to be refused")
    assert (len(up.seen), proxy.admin.stats()["cluster.up.upstream_cx_active"]) == (1, 1)
    up.open_gate("later")
    assert sorted(answer.status for answer in held.answers()) == [200] * 6 + [503] * 14
    assert up.peak == 1


def test_whoever_has_waited_longest_goes_first_over_all_workers(start, http_upstream):
    up = http_upstream("up")
    proxy = start(limited(up, {"max_connections": 1}), workers=4)
    held = Held(proxy.port())
    held.send("/first")
    until(lambda: len(up.seen) == 1, "the first request to arrive")
    targets = [f"/waiting-{number}" for number in range(12)]
    for waiting, target in enumerate(targets, 1):
        held.send(target, headers=())
        until(
            lambda waiting=waiting: proxy.admin.stats()["cluster.up.upstream_rq_pending_active"] == waiting,
            f"{waiting} requests to wait",
        )
    up.open_gate("later")
    assert all(answer.status == 200 for answer in held.answers())
    of = {seen["target"]: seen["connection"] for seen in up.seen}
    # The first connection serves those of its own worker before it goes to others.
    others = [of[target] for target in targets if of[target] > 1]
    assert sorted(set(others), key=others.index) == sorted(set(others))
    assert others and up.peak == 1


def test_those_who_leave_while_they_wait_keep_nobody_waiting(start, http_upstream):
    up = http_upstream("up")
    proxy = start(limited(up, {"max_connections": 2}), workers=4)
    held = Held(proxy.port())
    for number in (1, 2):
        held.send()
    leaving = [Held(proxy.port()) for _ in range(20)]
    staying = Held(proxy.port())
    for each in leaving:
        each.send("/leaves", headers=())
        staying.send("/stays", headers=())
    until(lambda: proxy.admin.stats()["cluster.up.upstream_rq_pending_active"] == 40, "all of them to wait")
    for each in leaving:
        each.reset()
    until(lambda: proxy.admin.stats()["cluster.up.upstream_rq_pending_active"] == 20, "half of them to leave")
    up.open_gate("later")
    assert {answer.status for answer in held.answers() + staying.answers()} == {200}
    assert "/leaves" not in {seen["target"] for seen in up.seen}
    assert up.peak == 2
    assert http1.request(proxy.port()).status == 200


def test_an_idle_connection_makes_room_for_another_endpoint(start, http_upstream):
    ups = [http_upstream(name) for name in "abc"]
    for version in (1, 2):
        made = cluster(
            "up", *(up.port for up in ups), http2=version == 2, circuit_breakers={"thresholds": [{"max_connections": 1}]}
        )
        proxy = start(to(made), name=f"of-http{version}", workers=2)
        for _ in range(5):
            with http1.Connection(proxy.port()) as connection:
                answers = [connection.request("GET", "/").header("x-upstream") for _ in range(6)]
            assert sorted(answers) == ["a", "a", "b", "b", "c", "c"]
            assert proxy.admin.stats()["cluster.up.upstream_cx_active"] == 1
        stats = proxy.admin.stats()
        assert stats["cluster.up.upstream_cx_overflow"] > 20


@pytest.mark.parametrize("http2", [False, True])
def test_only_so_many_pools_have_connections(start, http_upstream, http2):
    """A pool that is used makes room for none; one that only keeps connections does."""
    ups = [http_upstream(name) for name in "ab"]
    thresholds = {"max_connection_pools": 1, "track_remaining": True}
    proxy = start(limited(ups[0], thresholds, *(up.port for up in ups), http2=http2))
    held = Held(proxy.port())
    held.send()
    until(lambda: sum(len(up.seen) for up in ups) == 1, "the request to arrive")
    refused = http1.request(proxy.port())
    assert_overloaded(refused)
    assert "max_connection_pools" in refused.header("proxy-status")
    stats = proxy.admin.stats()
    names = ("circuit_breakers.default.cx_pool_open", "circuit_breakers.default.remaining_cx_pools", "upstream_cx_pool_overflow")
    assert [stats[f"cluster.up.{name}"] for name in names] == [1, 0, 1]
    for up in ups:
        up.open_gate("later")
    assert [answer.status for answer in held.answers()] == [200]
    with http1.Connection(proxy.port()) as connection:
        answers = [connection.request("GET", "/") for _ in range(8)]
    assert [answer.status for answer in answers] == [200] * 8
    assert sorted(answer.header("x-upstream") for answer in answers) == ["a"] * 4 + ["b"] * 4
    assert proxy.admin.stats()["cluster.up.upstream_cx_active"] == 1


def test_streams_of_http2_are_not_waited_for_by_those_who_cannot_share_them(start, http_upstream):
    """A stream may last for hours, and it stays with its worker: others are let above the limit, and counted."""
    ups = [http_upstream(name) for name in "ab"]
    breakers = {"thresholds": [{"max_connections": 1}]}
    proxy = start(to(cluster("up", *(up.port for up in ups), http2=True, circuit_breakers=breakers)))
    held = Held(proxy.port())
    for number in (1, 2, 3, 4):
        held.send()
        until(lambda sent=number: sum(len(up.seen) for up in ups) == sent, f"request {number} to arrive")
    assert [len(up.seen) for up in ups] == [2, 2]
    stats = proxy.admin.stats()
    assert (stats["cluster.up.upstream_cx_active"], stats["cluster.up.upstream_cx_overflow"]) == (2, 1)
    for up in ups:
        up.open_gate("later")
    assert [answer.status for answer in held.answers()] == [200] * 4


def test_a_share_of_the_requests_is_dropped(start, http_upstream):
    up = http_upstream("up")
    made = limited(up, {})
    assignment = made["static_resources"]["clusters"][0]["load_assignment"]
    share = {"numerator": 40, "denominator": "HUNDRED"}
    assignment["policy"] = {"drop_overloads": [{"category": "test", "drop_percentage": share}]}
    proxy = start(made)
    with http1.Connection(proxy.port()) as connection:
        answers = [connection.request("GET", "/") for _ in range(400)]
    dropped = [answer for answer in answers if answer.status == 503]
    # Six standard deviations of a binomial distribution around 160.
    assert 100 <= len(dropped) <= 220
    assert len(up.seen) == 400 - len(dropped)
    assert {answer.text for answer in dropped} == {"drop overload"}
    assert {answer.header("x-envoy-drop-overload") for answer in dropped} == {"true"}


def test_tcp_connections_above_the_limit_are_closed(start):
    with Tcp("up") as up:
        breakers = {"thresholds": [{"max_connections": 1}]}
        made = cluster("up", up.port, circuit_breakers=breakers)
        proxy = start(bootstrap([listener("main", tcp_proxy("up"))], [made]))
        with http1.Connection(proxy.port()) as first:
            assert first.socket.recv(3) == b"up\n"
            with http1.Connection(proxy.port()) as second:
                assert second.at_end()
            assert proxy.admin.stats()["cluster.up.upstream_cx_overflow"] == 1
        until(lambda: proxy.admin.stats()["cluster.up.upstream_cx_active"] == 0, "the first to end")
        with http1.Connection(proxy.port()) as third:
            assert third.socket.recv(3) == b"up\n"


def test_panic_uses_every_endpoint_or_fails(start, http_upstream):
    ups = [http_upstream(name) for name in "abc"]

    def world(**common):
        made = cluster("up", *(up.port for up in ups), common_lb_config=common)
        for at, status in enumerate(["HEALTHY", "UNHEALTHY", "TIMEOUT"]):
            made["load_assignment"]["endpoints"][0]["lb_endpoints"][at]["health_status"] = status
        return to(made)

    def served(proxy):
        for up in ups:
            up.seen.clear()
        statuses = {http1.request(proxy.port()).status for _ in range(30)}
        return statuses, [len(up.seen) for up in ups]

    proxy = start(world(), name="panicking")
    assert served(proxy) == ({200}, [10, 10, 10])
    assert proxy.admin.stats()["cluster.up.lb_healthy_panic"] == 30
    steady = start(world(healthy_panic_threshold={"value": 0}), name="steady")
    assert served(steady) == ({200}, [30, 0, 0])
    failing = start(world(zone_aware_lb_config={"fail_traffic_on_panic": True}), name="failing")
    assert served(failing) == ({503}, [0, 0, 0])


def test_load_spills_over_to_the_next_priority(start, http_upstream):
    ups = [http_upstream(name) for name in "abcd"]
    made = cluster("up")
    states = [("HEALTHY", 0), ("UNHEALTHY", 0), ("HEALTHY", 1), ("DEGRADED", 1)]
    made["load_assignment"]["endpoints"] = [
        {"priority": priority, "lb_endpoints": [{"health_status": state, **endpoint(up.port)}]}
        for up, (state, priority) in zip(ups, states, strict=True)
    ]
    proxy = start(to(made))
    with http1.Connection(proxy.port()) as connection:
        for _ in range(1000):
            assert connection.request("GET", "/").status == 200
    counts = [len(up.seen) for up in ups]
    # One of two covers 70 %, and the healthy one of the next priority takes the rest.
    assert counts[1] == counts[3] == 0
    assert 610 <= counts[0] <= 790, counts


def test_a_burst_at_one_connection_is_answered_to_the_last(start, http_upstream):
    """Hundreds of callers at once, one connection: nobody is refused, nothing is lost."""
    up = http_upstream("up")
    proxy = start(limited(up, {"max_connections": 1}))
    port, statuses = proxy.port(), []

    def call(number):
        body = json.dumps({"caller": number})
        statuses.append(http1.request(port, "POST", f"/{number}", body=body).status)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(200)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert statuses == [200] * 200
    assert sorted(int(seen["target"][1:]) for seen in up.seen) == list(range(200))
    assert up.connections == 1


def test_priorities_have_limits_of_their_own(start, http_upstream):
    """Requests of high priority go on where those of default priority are refused, and the other way round."""
    up = http_upstream("up")
    thresholds = [
        {"priority": "DEFAULT", "max_requests": 1},
        {"priority": "HIGH", "max_requests": 2, "track_remaining": True},
    ]
    made = cluster("up", up.port, circuit_breakers={"thresholds": thresholds})
    to_up = {"cluster": "up", "timeout": "0s"}
    entries = [route("/high", {**to_up, "priority": "HIGH"}), route("/", to_up)]
    main = routes("main", virtual_host("all", ["*"], *entries))
    proxy = start(bootstrap([listener("main", hcm(main))], [made]), workers=2)
    held = Held(proxy.port())
    held.send("/low")
    until(lambda: len(up.seen) == 1, "the request of default priority")
    assert_overloaded(http1.request(proxy.port(), target="/low"))
    held.send("/high/1")
    held.send("/high/2")
    until(lambda: len(up.seen) == 3, "two requests of high priority")
    assert_overloaded(http1.request(proxy.port(), target="/high/3"))
    stats = proxy.admin.stats()
    assert stats["cluster.up.upstream_rq_active"] == 3
    assert stats["cluster.up.circuit_breakers.high.rq_open"] == 1
    assert stats["cluster.up.circuit_breakers.high.remaining_rq"] == 0
    assert "cluster.up.circuit_breakers.default.remaining_rq" not in stats
    up.open_gate("later")
    assert [answer.status for answer in held.answers()] == [200, 200, 200]


def test_an_endpoint_has_no_more_connections_than_it_may(start, http_upstream):
    """The limit is of each endpoint: of eight requests at two of them, as many as may be are sent at once."""
    ups = [http_upstream(name) for name in "ab"]
    breakers = {"per_host_thresholds": [{"max_connections": 2}]}
    proxy = start(to(cluster("up", *(up.port for up in ups), circuit_breakers=breakers)))
    held = Held(proxy.port())
    for _ in range(8):
        held.send()
    until(lambda: proxy.admin.stats()["cluster.up.upstream_cx_overflow"] >= 4, "the others to wait")
    until(lambda: [len(up.seen) for up in ups] == [2, 2], "the four that may")
    assert proxy.admin.stats()["cluster.up.upstream_rq_pending_active"] == 4
    for up in ups:
        up.open_gate("later")
    assert [answer.status for answer in held.answers()] == [200] * 8
    assert [up.connections for up in ups] == [2, 2]


def test_raw_connections_go_elsewhere_where_an_endpoint_is_full(start):
    with Tcp("a") as a, Tcp("b") as b:
        breakers = {"per_host_thresholds": [{"max_connections": 1}]}
        made = cluster("up", a.port, b.port, circuit_breakers=breakers)
        proxy = start(bootstrap([listener("main", tcp_proxy("up", max_connect_attempts=2))], [made]))
        with http1.Connection(proxy.port()) as one, http1.Connection(proxy.port()) as other:
            assert {one.socket.recv(2), other.socket.recv(2)} == {b"a\n", b"b\n"}
            with http1.Connection(proxy.port()) as third:
                assert third.at_end()
        assert proxy.admin.stats()["cluster.up.upstream_cx_overflow"] >= 2
