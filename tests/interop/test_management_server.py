"""The proxy driven by a management server that is not ours, in both variants of ADS."""

import signal

import pytest

from harness import http1
from harness.config import (
    ads_bootstrap,
    assignment,
    cluster,
    direct,
    eds_cluster,
    hcm,
    listener,
    route,
    routes,
    tcp_proxy,
    virtual_host,
)
from harness.management import CDS, EDS, LDS, RDS, any_pb2
from harness.waiting import until


@pytest.fixture
def driven(start, server, mode):
    """Starts the proxy under test with nothing but the way to the server."""

    def launch(wait=True):
        return start(ads_bootstrap(server.port, mode), wait=wait)

    return launch


def to(name, domains=("*",)):
    return routes("main", virtual_host("all", domains, route("/", name)))


def put_world(server, *ports, name="up"):
    server.put(
        clusters=[eds_cluster(name)],
        assignments=[assignment(name, *ports)],
        listeners=[listener("main", hcm(rds="main"))],
        routes=[to(name)],
    )


def accepts(proxy):
    port = proxy.admin.listeners().get("main")
    try:
        return port is not None and http1.Connection(port).close() is None
    except ConnectionRefusedError:
        return False


def serving(port, upstream):
    until(lambda: http1.request(port).json()["upstream"] == upstream, f"requests to reach {upstream}")


def test_a_whole_world_arrives_and_serves(driven, server, http_upstream, mode):
    up = http_upstream("up")
    put_world(server, up.port)
    proxy = driven()
    assert http1.request(proxy.port()).json()["upstream"] == "up"
    server.wait_settled(CDS, EDS, LDS, RDS)
    assert {request.mode for request in server.requests} == {mode}
    assert not any(server.nacks(kind) for kind in (CDS, EDS, LDS, RDS))


def test_the_node_is_told_once(driven, server):
    driven()
    until(lambda: len(server.requests) >= 2, "two requests")
    nodes = [request.node for request in server.requests if request.node is not None]
    assert len(nodes) == 1
    assert nodes[0].id == "test"
    assert nodes[0].locality.zone == "z1"
    assert nodes[0].user_agent_name


@pytest.mark.weft_only
def test_the_node_says_weft_and_what_it_can_do(driven, server):
    driven()
    until(lambda: server.requests, "a request")
    node = server.requests[0].node
    assert node.user_agent_name == "weft"
    extensions = {e.name for e in node.extensions} | {u for e in node.extensions for u in e.type_urls}
    assert any("router" in name for name in extensions)


def test_the_order_is_clusters_then_listeners(driven, server, http_upstream):
    put_world(server, http_upstream("up").port)
    proxy = driven()
    proxy.port()
    firsts = list(dict.fromkeys(request.type_url for request in server.requests))
    assert firsts.index(CDS) < firsts.index(LDS)
    assert firsts.index(LDS) < firsts.index(RDS)
    assert server.of(EDS)[0].names == ["up"]
    assert server.of(RDS)[0].names == ["main"]


def test_endpoints_move(driven, server, http_upstream):
    one, two = http_upstream("one"), http_upstream("two")
    put_world(server, one.port)
    port = driven().port()
    serving(port, "one")
    server.put(assignments=[assignment("up", two.port)])
    serving(port, "two")


def test_routes_move(driven, server, http_upstream):
    one, two = http_upstream("one"), http_upstream("two")
    put_world(server, one.port)
    port = driven().port()
    serving(port, "one")
    server.put(clusters=[cluster("other", two.port)], routes=[to("other")])
    serving(port, "two")


def test_listeners_come_and_go(driven, server, http_upstream):
    put_world(server, http_upstream("up").port)
    proxy = driven()
    first = proxy.port()
    serving(first, "up")
    server.put(listeners=[listener("second", hcm(to("up")))])
    second = proxy.port("second")
    assert http1.request(second).status == 200
    server.remove(LDS, "main")
    until(lambda: "main" not in proxy.admin.listeners(), "the listener to go")

    def refused():
        try:
            http1.request(first)
        except ConnectionRefusedError:
            return True

    until(refused, "the port to close")
    assert http1.request(second).status == 200


def test_a_listener_waits_for_its_routes(driven, server, http_upstream):
    up = http_upstream("up")
    server.put(clusters=[cluster("up", up.port)], listeners=[listener("main", hcm(rds="main"))])
    proxy = driven(wait=False)
    until(lambda: server.of(RDS), "the question for routes")
    assert not accepts(proxy), "no listener takes connections before it knows its routes"
    server.put(routes=[to("up")])
    proxy.wait_until_ready()
    serving(proxy.port(), "up")


def test_a_removed_cluster_is_503(driven, server, http_upstream):
    put_world(server, http_upstream("up").port)
    port = driven().port()
    serving(port, "up")
    server.remove(CDS, "up")
    until(lambda: http1.request(port).status == 503, "503 for the missing cluster")


def test_endpoints_deleted_while_referenced_stay(driven, server, http_upstream, mode):
    put_world(server, http_upstream("up").port)
    port = driven().port()
    serving(port, "up")
    server.remove(EDS, "up")
    server.put(clusters=[cluster("other", 1)])
    server.wait_settled(CDS)
    assert http1.request(port).status == 200


def test_it_keeps_serving_without_the_server_and_reconnects(driven, server, http_upstream, mode):
    one, two = http_upstream("one"), http_upstream("two")
    put_world(server, one.port)
    port = driven().port()
    serving(port, "one")
    server.stop()
    assert http1.request(port).status == 200
    seen = len(server.requests)
    server.start()
    until(lambda: len(server.requests) > seen, "the proxy to come back", 40)
    server.put(assignments=[assignment("up", two.port)])
    serving(port, "two")
    back = [request for request in server.requests[seen:] if request.type_url == CDS][0]
    if mode == "delta":
        assert back.initial.get("up"), "what it has is told on reconnect"
    else:
        assert back.nonce == ""


def test_cut_streams_are_reopened(driven, server, http_upstream):
    one, two = http_upstream("one"), http_upstream("two")
    put_world(server, one.port)
    port = driven().port()
    for round in range(3):
        until(lambda: server.streams() == 1, "a stream", 30)
        server.cut()
        until(lambda: server.requests[-1].stream >= round + 2, "another stream", 30)
    server.put(assignments=[assignment("up", two.port)])
    serving(port, "two")


def test_wrapped_resources_are_unwrapped(driven, server, http_upstream):
    server.wrap_resources = True
    put_world(server, http_upstream("up").port)
    assert http1.request(driven().port()).json()["upstream"] == "up"


def test_a_repeated_response_is_acknowledged_and_harmless(driven, server, http_upstream):
    server.twice = True
    put_world(server, http_upstream("up").port)
    port = driven().port()
    serving(port, "up")
    for kind in (CDS, EDS, LDS, RDS):
        sent = {nonce for type_url, nonce in server.sent if type_url == kind}
        until(lambda: sent <= {r.nonce for r in server.of(kind)}, f"every {kind} acknowledged")


def test_a_response_out_of_turn_is_acknowledged_by_its_nonce(driven, server, http_upstream):
    put_world(server, http_upstream("up").port)
    port = driven().port()
    server.out_of_turn(CDS, "odd")
    until(lambda: [r for r in server.acks(CDS) if r.nonce == "odd"], "the odd nonce acknowledged")
    serving(port, "up")


def test_a_muted_type_delays_only_itself(driven, server, http_upstream):
    up = http_upstream("up")
    server.put(clusters=[cluster("up", up.port)], listeners=[listener("main", hcm(to("up")))])
    server.mute(EDS)
    server.put(clusters=[eds_cluster("slow")], assignments=[assignment("slow", up.port)])
    proxy = driven(wait=False)
    until(lambda: server.of(EDS), "the question for endpoints")
    server.unmute(EDS)
    proxy.wait_until_ready()
    serving(proxy.port(), "up")


BAD = {
    "enum": ({**cluster("bad", 1), "lb_policy": 77}, "lb_policy"),
    "rule": ({**cluster("bad", 1), "connect_timeout": "0s"}, "connect_timeout"),
    "no-name": ({**cluster("bad", 1), "load_assignment": {"endpoints": []}}, "cluster_name"),
}


@pytest.mark.weft_only
@pytest.mark.parametrize("case", BAD)
def test_a_bad_cluster_is_refused_by_name_and_field(driven, server, http_upstream, case):
    value, field = BAD[case]
    put_world(server, http_upstream("up").port)
    proxy = driven()
    server.put(clusters=[value])
    text = server.wait_nack(CDS)
    assert "bad" in text and field in text, text
    proxy.process.require_alive()
    assert http1.request(proxy.port()).status == 200


@pytest.mark.weft_only
def test_the_good_neighbours_of_a_bad_resource_are_applied(driven, server, http_upstream):
    up, good = http_upstream("up"), http_upstream("good")
    put_world(server, up.port)
    port = driven().port()
    serving(port, "up")
    server.put(clusters=[cluster("good", good.port), {**cluster("bad", 1), "connect_timeout": "0s"}])
    assert "bad" in server.wait_nack(CDS)
    server.put(routes=[to("good")])
    serving(port, "good")


@pytest.mark.weft_only
def test_the_last_good_version_of_a_bad_resource_stays(driven, server, http_upstream):
    up = http_upstream("up")
    put_world(server, up.port)
    port = driven().port()
    serving(port, "up")
    broken = to("up")
    broken["virtual_hosts"].append(broken["virtual_hosts"][0])
    server.put(routes=[broken])
    assert "main" in server.wait_nack(RDS)
    assert http1.request(port).status == 200
    server.put(routes=[routes("main", virtual_host("all", ["*"], direct("/", 418)))])
    until(lambda: http1.request(port).status == 418, "the repaired routes")


@pytest.mark.weft_only
@pytest.mark.parametrize(
    "packed",
    [b"\xff\xff\xff\xff", b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"", b"\x0a\x03bad\x12"],
    ids=["tag", "length", "empty", "truncated"],
)
def test_bytes_that_are_no_cluster_are_refused(driven, server, http_upstream, packed):
    put_world(server, http_upstream("up").port)
    proxy = driven()
    server.put_raw(CDS, "bad", packed)
    server.wait_nack(CDS)
    assert http1.request(proxy.port()).status == 200
    server.remove(CDS, "bad")
    server.wait_settled(CDS)


@pytest.mark.weft_only
def test_a_resource_of_the_wrong_type_is_refused(driven, server, http_upstream):
    put_world(server, http_upstream("up").port)
    proxy = driven()
    server.put_raw(CDS, "bad", any_pb2.Any(type_url=LDS, value=b"\x0a\x03bad"))
    assert "Listener" in server.wait_nack(CDS)
    proxy.process.require_alive()


@pytest.mark.weft_only
def test_a_refusal_is_shown_at_the_admin_port(driven, server, http_upstream):
    put_world(server, http_upstream("up").port)
    proxy = driven()
    server.put(clusters=[{**cluster("bad", 1), "connect_timeout": "0s"}])
    server.wait_nack(CDS)
    assert "connect_timeout" in proxy.admin.get("/config_dump").text


def test_ten_thousand_clusters_in_one_update_are_acknowledged_once(driven, server, http_upstream, mode):
    up, many = http_upstream("up"), http_upstream("many")
    put_world(server, up.port)
    proxy = driven()
    port = proxy.port()
    server.wait_settled(CDS)
    before = len(server.acks(CDS))
    server.put(
        clusters=[eds_cluster(f"c{i}") for i in range(10_000)],
        assignments=[assignment(f"c{i}", many.port) for i in range(10_000)],
    )
    server.wait_settled(CDS, deadline=90)
    until(lambda: proxy.admin.stats().get("cluster_manager.active_clusters", 0) >= 10_001, "the clusters", 60)
    assert not server.nacks(CDS) and not server.nacks(EDS)
    assert len(server.acks(CDS)) - before == 1
    until(lambda: asked_for(server, mode) >= 10_001, "every assignment asked for", 60)
    server.put(routes=[to("c9999")])
    serving(port, "many")


def asked_for(server, mode):
    if mode == "sotw":
        return max((len(request.names) for request in server.of(EDS)), default=0)
    return len({name for request in server.of(EDS) for name in request.names})


@pytest.mark.weft_only
def test_the_names_of_one_update_are_asked_for_together(driven, server, http_upstream):
    up = http_upstream("up")
    put_world(server, up.port)
    driven()
    server.wait_settled(CDS, EDS)
    server.put(clusters=[eds_cluster(f"c{i}") for i in range(500)])
    until(lambda: any("c499" in request.names for request in server.of(EDS)), "the new names")
    lists = {frozenset(request.names) for request in server.of(EDS) if "c0" in request.names}
    assert len(lists) == 1, "never a part of the names"
    assert {f"c{i}" for i in range(500)} <= lists.pop()


@pytest.mark.parametrize("attempt", range(6))
def test_an_update_right_behind_the_last_of_the_first_is_followed(driven, server, http_upstream, attempt):
    """Both responses lie in the proxy's socket when it looks; chance decides what it does between them."""
    up = http_upstream("up")
    put_world(server, up.port)
    server.mute(RDS)
    proxy = driven(wait=False)
    until(lambda: server.of(RDS), "the routes to be asked for")
    server.wait_settled(CDS, EDS, LDS)
    proxy.process.signal(signal.SIGSTOP)
    sent = len(server.sent)
    server.unmute(RDS)
    until(lambda: len(server.sent) > sent, "the routes to be sent")
    server.put(clusters=[eds_cluster("late")], assignments=[assignment("late", up.port)], routes=[to("late")])
    until(lambda: len(server.sent) > sent + 1, "the cluster to be sent")
    proxy.process.signal(signal.SIGCONT)
    until(lambda: http1.request(proxy.port()).status == 200, "the new cluster to serve", 10)


def test_a_tcp_listener_by_ads(driven, server):
    from harness.upstream import Tcp

    with Tcp("bytes") as up:
        server.put(
            clusters=[eds_cluster("tcp")],
            assignments=[assignment("tcp", up.port)],
            listeners=[listener("main", tcp_proxy("tcp"))],
        )
        with http1.Connection(driven().port()) as connection:
            connection.socket.shutdown(1)
            assert connection.read_to_end() == b"bytes\n"


def test_it_ends_cleanly_with_a_stream_open(driven, server, http_upstream):
    put_world(server, http_upstream("up").port)
    proxy = driven()
    proxy.process.signal(signal.SIGTERM)
    assert proxy.process.wait() == 0
    until(lambda: server.streams() == 0, "the stream to end")
