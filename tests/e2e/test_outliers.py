"""Outlier detection: endpoints that fail are left alone for a while."""

import json
import socket

import pytest

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, tcp_proxy, virtual_host
from harness.waiting import until

FOREVER = "3600s"
# Not enforced unless asked for; what is asked for follows.
QUIET = {"enforcing_consecutive_5xx": 0, "enforcing_success_rate": 0}


def answer(status, **more):
    return {"status": status, "body": f"said {status}", **more}


@pytest.fixture
def place(start, http_upstream):
    """Starts a proxy in front of some upstreams, each of which answers with its name."""

    def make(detection, upstreams=2, ports=(), **more):
        ups = [http_upstream(f"up-{index}", body=f"up-{index}") for index in range(upstreams)]
        chosen = cluster(
            "up",
            *[up.port for up in ups],
            *ports,
            outlier_detection={"max_ejection_percent": 100, **detection},
            common_lb_config={"healthy_panic_threshold": {"value": 0}},
        )
        main = listener("main", hcm(routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up"})))))
        raw = listener("raw", tcp_proxy("up"))
        return ups, start(bootstrap([main, raw], [chosen], **more))

    return make


@pytest.fixture
def refused_port():
    """A port that is taken, where nobody accepts."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def counted(proxy, name):
    return int(proxy.admin.stats().get(f"cluster.up.outlier_detection.{name}", 0))


def ask(proxy, **more):
    return http1.request(proxy.port(), **more)


def flags(proxy):
    """The health of each endpoint, by its port."""
    rows = [line.split("::") for line in proxy.admin.get("/clusters").body.decode().splitlines()]
    return {int(row[1].rpartition(":")[2]): row[3] for row in rows if len(row) > 3 and row[2] == "health_flags"}


def ejected(proxy):
    return [port for port, health in flags(proxy).items() if health != "healthy"]


def taken_by(proxy, requests=8):
    return {ask(proxy).body.decode() for _ in range(requests)}


def test_an_endpoint_that_fails_is_ejected_and_returns(place):
    (good, bad), proxy = place({"consecutive_5xx": 3, "interval": "0.1s", "base_ejection_time": "0.3s"})
    bad.script = [answer(500) for _ in range(3)]
    until(lambda: ask(proxy) and not bad.script, "three failures")
    until(lambda: counted(proxy, "ejections_enforced_consecutive_5xx") == 1, "the ejection")
    until(lambda: counted(proxy, "ejections_active") == 0, "the return")
    until(lambda: "up-1" in taken_by(proxy), "requests for the one that is back")
    assert counted(proxy, "ejections_enforced_total") == 1


def test_an_ejected_endpoint_gets_no_requests(place):
    (good, bad), proxy = place({"consecutive_5xx": 3, "base_ejection_time": FOREVER})
    bad.script = [answer(500) for _ in range(3)]
    until(lambda: ask(proxy) and not bad.script, "three failures")
    until(lambda: ejected(proxy) == [bad.port], "the ejection")
    assert flags(proxy)[bad.port] == "/failed_outlier_check"
    before = len(bad.seen)
    until(lambda: taken_by(proxy) == {"up-0"}, "no requests for the ejected one")
    assert taken_by(proxy, 20) == {"up-0"}
    assert len(bad.seen) - before <= 8
    assert proxy.admin.stats()["cluster.up.membership_healthy"] == 1


def test_a_good_answer_ends_a_run(place):
    (up, other), proxy = place({"consecutive_5xx": 2, "base_ejection_time": FOREVER})
    for server in (up, other):
        server.script = [answer(500), answer(200), answer(500), answer(404), answer(500), answer(200)]
    for _ in range(12):
        ask(proxy)
    assert counted(proxy, "ejections_detected_consecutive_5xx") == 0


def test_no_more_are_ejected_than_may_be(place):
    detection = {"consecutive_5xx": 1, "base_ejection_time": FOREVER, "max_ejection_percent": 10}
    (first, second, third), proxy = place({**detection, "always_eject_one_host": True}, upstreams=3)
    for server in (first, second):
        server.script = [answer(500)]
    until(lambda: ask(proxy) and not first.script and not second.script, "two failures")
    until(lambda: counted(proxy, "ejections_overflow") == 1, "the one that stays")
    assert len(ejected(proxy)) == 1


@pytest.mark.weft_only
def test_the_last_endpoint_stays(place):
    (up,), proxy = place({"consecutive_5xx": 1, "base_ejection_time": FOREVER}, upstreams=1)
    up.script = [answer(500)]
    assert ask(proxy).status == 500
    until(lambda: counted(proxy, "ejections_overflow") == 1, "the one that stays")
    assert ask(proxy).status == 200
    (event,) = json.loads(proxy.admin.get("/events").body)["events"]
    assert (event["action"], event["spared_because"]) == ("SPARE", "last_host")


def test_an_endpoint_without_a_server_is_ejected(place, refused_port):
    enforced = {"consecutive_gateway_failure": 2, "enforcing_consecutive_gateway_failure": 100}
    _, proxy = place({**QUIET, **enforced, "base_ejection_time": FOREVER}, upstreams=1, ports=[refused_port])
    until(lambda: ask(proxy) and counted(proxy, "ejections_enforced_consecutive_gateway_failure") == 1, "the ejection")
    assert ejected(proxy) == [refused_port]


def test_failed_connections_are_told_apart(place, refused_port):
    enforced = {"consecutive_local_origin_failure": 2, "enforcing_consecutive_local_origin_failure": 100}
    split = {"split_external_local_origin_errors": True, "base_ejection_time": FOREVER}
    _, proxy = place({**QUIET, **enforced, **split}, upstreams=1, ports=[refused_port])
    name = "ejections_enforced_consecutive_local_origin_failure"
    until(lambda: ask(proxy) and counted(proxy, name) == 1, "the ejection")
    assert ejected(proxy) == [refused_port]
    assert counted(proxy, "ejections_detected_consecutive_5xx") == 0


def test_raw_connections_count(place, refused_port):
    _, proxy = place({"consecutive_5xx": 2, "base_ejection_time": FOREVER}, upstreams=1, ports=[refused_port])

    def connect():
        try:
            http1.request(proxy.port("raw"))
        except OSError:
            pass
        return counted(proxy, "ejections_enforced_total") == 1

    until(connect, "the ejection")
    assert ejected(proxy) == [refused_port]


def test_a_share_of_failures_ejects(place):
    enforced = {"failure_percentage_threshold": 50, "enforcing_failure_percentage": 100}
    volume = {"failure_percentage_minimum_hosts": 2, "failure_percentage_request_volume": 5}
    detection = {**QUIET, **enforced, **volume, "interval": "0.5s", "base_ejection_time": FOREVER}
    (good, bad), proxy = place(detection)
    bad.script = [answer(500 if index % 4 else 200) for index in range(2000)]
    until(lambda: taken_by(proxy) and counted(proxy, "ejections_enforced_failure_percentage") == 1, "the ejection")
    assert ejected(proxy) == [bad.port]


def test_a_share_far_below_the_average_ejects(place):
    volume = {"success_rate_minimum_hosts": 3, "success_rate_request_volume": 5}
    detection = {**volume, "enforcing_consecutive_5xx": 0, "success_rate_stdev_factor": 1000}
    ups, proxy = place({**detection, "interval": "0.5s", "base_ejection_time": FOREVER}, upstreams=4)
    ups[2].script = [answer(500) for _ in range(2000)]
    until(lambda: taken_by(proxy) and counted(proxy, "ejections_enforced_success_rate") == 1, "the ejection")
    assert ejected(proxy) == [ups[2].port]


def grpc_answer(status, in_trailers):
    fields = [["grpc-status", str(status)]]
    head = [["content-type", "application/grpc"]]
    where = {"headers": head, "trailers": fields} if in_trailers else {"headers": head + fields}
    return {"status": 200, "body": "", "framing": "chunked", **where}


@pytest.mark.weft_only
@pytest.mark.parametrize("in_trailers", [False, True], ids=["head", "trailers"])
def test_grpc_calls_are_judged_by_their_status(place, in_trailers):
    """Envoy looks at statuses in the head only, where a call that has sent a message has none."""
    (good, bad), proxy = place({"consecutive_5xx": 3, "base_ejection_time": FOREVER})
    good.script = [grpc_answer(5, in_trailers) for _ in range(100)]
    bad.script = [grpc_answer(14, in_trailers) for _ in range(100)]
    call = [("content-type", "application/grpc"), ("te", "trailers")]
    until(lambda: ask(proxy, method="POST", headers=call, body=b"") and ejected(proxy) == [bad.port], "the ejection")


@pytest.mark.weft_only
def test_events_say_why(place):
    (good, bad), proxy = place({"consecutive_5xx": 2, "interval": "0.1s", "base_ejection_time": "0.2s"})
    bad.script = [answer(500), answer(500)]
    until(lambda: ask(proxy) and not bad.script, "two failures")
    until(lambda: counted(proxy, "ejections_enforced_total") == 1, "the ejection")
    until(lambda: counted(proxy, "ejections_active") == 0, "the return")
    gone, back = json.loads(proxy.admin.get("/events").body)["events"]
    assert (gone["action"], gone["type"], gone["enforced"]) == ("EJECT", "CONSECUTIVE_5XX", True)
    assert back["action"] == "UNEJECT"
    assert {event["upstream_url"] for event in (gone, back)} == {f"127.0.0.1:{bad.port}"}


def test_events_are_written_down(place, tmp_path):
    path = tmp_path / "outliers.log"
    detection = {"consecutive_5xx": 2, "interval": "0.1s", "base_ejection_time": "0.2s"}
    manager = {"outlier_detection": {"event_log_path": str(path)}}
    (good, bad), proxy = place(detection, cluster_manager=manager)
    bad.script = [answer(500), answer(500)]
    until(lambda: ask(proxy) and not bad.script, "two failures")

    def events():
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    gone, back = until(lambda: len(events()) == 2 and events(), "both events")
    assert (gone["action"], gone["type"], gone["enforced"]) == ("EJECT", "CONSECUTIVE_5XX", True)
    assert (back["action"], back["num_ejections"]) == ("UNEJECT", 1)
    assert {event["upstream_url"] for event in (gone, back)} == {f"127.0.0.1:{bad.port}"}
    assert {event["cluster_name"] for event in (gone, back)} == {"up"}
