"""Active health checks: endpoints are asked whether they are well."""

import base64
import json
import socket

import pytest

from harness import http1
from harness.config import (
    address,
    ads_bootstrap,
    assignment,
    bootstrap,
    cluster,
    eds_cluster,
    hcm,
    listener,
    route,
    routes,
    virtual_host,
)
from harness.management import ManagementServer
from harness.upstream import Server
from harness.waiting import until

OFTEN = {name: "0.05s" for name in ("interval", "no_traffic_interval", "unhealthy_interval")}
SELDOM = {name: "3600s" for name in OFTEN}
HEALTH = "/health"
CHECK = "/grpc.health.v1.Health/Check"


def check(times=OFTEN, **more):
    question = {} if any(name.endswith("_health_check") for name in more) else {"http_health_check": {"path": HEALTH}}
    return {"timeout": "5s", "unhealthy_threshold": 1, "healthy_threshold": 1, **times, **question, **more}


def front(cluster_name="up"):
    return listener("main", hcm(routes("main", virtual_host("all", ["*"], route("/", {"cluster": cluster_name})))))


@pytest.fixture
def ups(http_upstream):
    return [http_upstream(name, body=name) for name in ("one", "two")]


@pytest.fixture
def begin(start):
    """Starts a proxy whose cluster has a health check, in front of some endpoints."""

    def make(ports, question=None, common=None, http2=False, **more):
        common = {"healthy_panic_threshold": {"value": 0}, **(common or {})}
        asked = [check() if question is None else question]
        chosen = cluster("up", *ports, http2=http2, health_checks=asked, common_lb_config=common, **more)
        return start(bootstrap([front()], [chosen]))

    return make


def ask(proxy, **more):
    return http1.request(proxy.port(), **more)


def taken_by(proxy, requests=8):
    return {ask(proxy).body.decode() for _ in range(requests)}


def counted(proxy, name):
    return int(proxy.admin.stats().get(f"cluster.up.health_check.{name}", 0))


def flags(proxy):
    """The health of each endpoint, by its port."""
    rows = [line.split("::") for line in proxy.admin.get("/clusters").body.decode().splitlines()]
    return {int(row[1].rpartition(":")[2]): row[3] for row in rows if row[0] == "up" and row[2:3] == ["health_flags"]}


def checks_seen(up, target=HEALTH):
    return [seen for seen in up.seen if seen["target"] == target]


def fields_of(seen):
    return {name.lower(): value for name, value in seen["headers"]}


def test_requests_go_to_endpoints_that_are_well(begin, ups):
    ups[1].answers[HEALTH] = {"status": 503}
    proxy = begin([up.port for up in ups])
    # Nothing was served before both had been asked.
    assert taken_by(proxy) == {"one"}
    assert flags(proxy) == {ups[0].port: "healthy", ups[1].port: "/failed_active_hc"}
    assert counted(proxy, "healthy") == 1
    del ups[1].answers[HEALTH]
    until(lambda: taken_by(proxy) == {"one", "two"}, "both")
    ups[0].answers[HEALTH] = {"status": 500}
    until(lambda: taken_by(proxy) == {"two"}, "the second alone")
    assert counted(proxy, "failure") > 0 and counted(proxy, "success") > 0
    assert counted(proxy, "attempt") > 0


def test_nobody_there_is_not_well(begin, ups):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        proxy = begin([ups[0].port, port])
        assert taken_by(proxy) == {"one"}
        assert flags(proxy)[port].startswith("/failed_active_hc")
        assert counted(proxy, "network_failure") > 0


def test_an_answer_that_takes_too_long_is_none(begin, ups):
    ups[1].answers[HEALTH] = {"gate": "never"}
    proxy = begin([up.port for up in ups], check(timeout="0.1s"))
    assert taken_by(proxy) == {"one"}
    assert flags(proxy)[ups[1].port].startswith("/failed_active_hc")
    assert counted(proxy, "network_failure") > 0
    ups[1].open_gate("never")


def test_it_takes_some_failures_and_some_good_answers(begin, ups):
    ups[0].answers[HEALTH] = {"hangup": "before"}
    question = check(unhealthy_threshold=3, healthy_threshold=3, always_log_health_check_failures=True)
    proxy = begin([ups[0].port], question)
    until(lambda: counted(proxy, "network_failure") >= 3, "failures")
    del ups[0].answers[HEALTH]
    until(lambda: flags(proxy) == {ups[0].port: "healthy"}, "a healthy endpoint")
    good = counted(proxy, "success")
    assert good >= 3
    failed = counted(proxy, "network_failure")
    ups[0].answers[HEALTH] = {"hangup": "before"}
    until(lambda: flags(proxy)[ups[0].port].startswith("/failed_active_hc"), "an unhealthy endpoint")
    assert counted(proxy, "network_failure") - failed >= 3


@pytest.mark.parametrize("reuse", [True, False])
def test_connections_are_kept_or_not(begin, ups, reuse):
    proxy = begin([ups[0].port], check(reuse_connection=reuse))
    until(lambda: len(checks_seen(ups[0])) >= 4, "some checks")
    connections = {seen["connection"] for seen in checks_seen(ups[0])}
    assert len(connections) == 1 if reuse else len(connections) >= 4
    assert counted(proxy, "failure") == 0


@pytest.mark.parametrize("codec", ["HTTP1", "HTTP2"])
def test_a_check_is_the_request_that_was_asked_for(begin, ups, codec):
    add = [{"header": {"key": "x-from", "value": "checks"}}]
    question = {
        "path": "/well?all=1",
        "host": "well.example",
        "method": "POST",
        "send": {"text": "68656c6c6f"},
        "request_headers_to_add": add,
        "request_headers_to_remove": ["user-agent"],
        "codec_client_type": codec,
    }
    begin([ups[0].port], check(http_health_check=question))
    seen = checks_seen(ups[0], "/well?all=1")[0]
    assert (seen["method"], seen["body"]) == ("POST", "hello")
    assert seen["protocol"] == ("HTTP/2" if codec == "HTTP2" else "HTTP/1.1")
    fields = fields_of(seen)
    assert seen.get("authority") or fields["host"] == "well.example"
    assert fields["x-from"] == "checks"
    assert "user-agent" not in fields


def test_a_check_is_for_the_cluster_unless_it_names_a_host(begin, ups):
    begin([ups[0].port])
    assert fields_of(checks_seen(ups[0])[0])["host"] == "up"


def test_the_body_of_an_answer_counts(begin, ups):
    question = {"path": HEALTH, "receive": [{"text": "6f6b"}, {"text": "21"}], "response_buffer_size": 8}
    ups[0].answers[HEALTH] = {"body": "it is ok!"[3:]}
    ups[1].answers[HEALTH] = {"body": "much too late: ok!"}
    proxy = begin([up.port for up in ups], check(http_health_check=question))
    assert taken_by(proxy) == {"one"}


def test_statuses_are_expected_or_forgiven(begin, ups):
    question = {
        "path": HEALTH,
        "expected_statuses": [{"start": 204, "end": 205}],
        "retriable_statuses": [{"start": 500, "end": 504}],
    }
    ups[0].answers[HEALTH] = {"status": 204}
    proxy = begin([ups[0].port], check(http_health_check=question, unhealthy_threshold=1000))
    assert flags(proxy) == {ups[0].port: "healthy"}
    ups[0].answers[HEALTH] = {"status": 503}
    before = counted(proxy, "failure")
    until(lambda: counted(proxy, "failure") >= before + 2, "failures that are forgiven")
    assert flags(proxy) == {ups[0].port: "healthy"}
    ups[0].answers[HEALTH] = {"status": 200}
    until(lambda: flags(proxy)[ups[0].port] == "/failed_active_hc", "a status that is not expected")


def test_another_service_is_not_well(begin, ups):
    name = "x-envoy-upstream-healthchecked-cluster"
    ups[0].answers[HEALTH] = {"headers": [[name, "catalog-7"]]}
    ups[1].answers[HEALTH] = {"headers": [[name, "orders-7"]]}
    question = {"path": HEALTH, "service_name_matcher": {"prefix": "catalog"}}
    proxy = begin([up.port for up in ups], check(http_health_check=question))
    assert taken_by(proxy) == {"one"}
    assert counted(proxy, "verify_cluster") > 0


def test_endpoints_may_be_degraded(begin, ups):
    ups[1].answers[HEALTH] = {"headers": [["x-envoy-degraded", "true"]]}
    proxy = begin([up.port for up in ups])
    until(lambda: flags(proxy)[ups[1].port] == "/degraded_active_hc", "a degraded endpoint")
    assert counted(proxy, "degraded") == 1
    ups[0].answers[HEALTH] = {"status": 503}
    until(lambda: taken_by(proxy) == {"two"}, "the degraded one alone")


def test_a_response_may_ask_to_be_left_alone(begin, ups):
    ups[1].answers["/work"] = {"headers": [["x-envoy-immediate-health-check-fail", "true"]]}
    proxy = begin([up.port for up in ups], check(SELDOM))
    until(lambda: ask(proxy, target="/work") and flags(proxy)[ups[1].port] != "healthy", "a verdict")
    assert flags(proxy)[ups[1].port] == "/failed_active_hc/excluded_via_immediate_hc_fail"
    until(lambda: taken_by(proxy) == {"one"}, "the other alone")
    assert counted(proxy, "passive_failure") == 1


def serving(status):
    body = f"\0\0\0\0\2\x08{chr(status)}"
    return {"headers": [["content-type", "application/grpc"]], "body": body, "framing": "chunked", "trailers": [["grpc-status", "0"]]}


def test_grpc_services_are_asked_by_name(begin, ups):
    ups[0].answers[CHECK] = serving(1)
    ups[1].answers[CHECK] = serving(2)
    metadata = [{"header": {"key": "x-from", "value": "checks"}}]
    question = {"service_name": "shop.Catalog", "authority": "grpc.example", "initial_metadata": metadata}
    proxy = begin([up.port for up in ups], check(grpc_health_check=question), http2=True)
    assert taken_by(proxy) == {"one"}
    seen = checks_seen(ups[0], CHECK)[0]
    assert seen["body"] == "\0\0\0\0\x0e\x0a\x0cshop.Catalog"
    assert (seen["authority"], fields_of(seen)["x-from"]) == ("grpc.example", "checks")
    ups[1].answers[CHECK] = serving(1)
    until(lambda: taken_by(proxy) == {"one", "two"}, "both")
    ups[0].answers[CHECK] = {**serving(1), "trailers": [["grpc-status", "14"]]}
    until(lambda: taken_by(proxy) == {"two"}, "the second alone")


class Ponger(Server):
    """Answers every PING, with what it is told to; everybody else gets an answer of HTTP."""

    def __init__(self, name, answer):
        self.answer = answer
        super().__init__(name)

    def serve(self, connection, number):
        while data := connection.recv(4096):
            if data == b"PING":
                connection.sendall(self.answer)
            else:
                body = self.name.encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


def test_raw_servers_are_asked_in_bytes(begin):
    question = {"send": {"text": b"PING".hex()}, "receive": [{"text": b"PO".hex()}, {"binary": base64.b64encode(b"NG").decode()}]}
    with Ponger("good", b"+PO:NG+") as good, Ponger("bad", b"NGPO") as bad:
        proxy = begin([good.port, bad.port], check(tcp_health_check=question, timeout="0.3s"))
        assert taken_by(proxy) == {"good"}
        bad.answer = b"PONG"
        until(lambda: taken_by(proxy) == {"good", "bad"}, "both")


def test_a_connection_may_be_enough(begin, ups):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        proxy = begin([ups[0].port, taken.getsockname()[1]], check(tcp_health_check={}))
        assert taken_by(proxy) == {"one"}


def test_endpoints_may_be_asked_elsewhere(begin, ups, http_upstream):
    doctor = http_upstream("doctor")
    ups[1].answers[HEALTH] = {"status": 503}
    elsewhere = [
        {"port_value": doctor.port, "hostname": "by-port.example"},
        {"address": address(doctor.port), "hostname": "by-address.example"},
    ]
    places = [
        {"endpoint": {"address": address(up.port), "health_check_config": config}} for up, config in zip(ups, elsewhere)
    ]
    proxy = begin(places)
    until(lambda: taken_by(proxy) == {"one", "two"}, "both")
    hosts = {fields_of(seen)["host"] for seen in checks_seen(doctor)}
    assert hosts == {"by-port.example", "by-address.example"}
    assert not checks_seen(ups[0]) and not checks_seen(ups[1])


def test_endpoints_may_go_unasked(begin, ups):
    ups[1].answers[HEALTH] = {"status": 503}
    places = [
        {"endpoint": {"address": address(up.port), "health_check_config": {"disable_active_health_check": off}}}
        for up, off in zip(ups, (False, True))
    ]
    proxy = begin(places)
    assert taken_by(proxy) == {"one", "two"}
    assert not checks_seen(ups[1])


def test_a_good_answer_brings_back_who_was_ejected(begin, ups):
    detection = {"consecutive_5xx": 1, "max_ejection_percent": 100, "base_ejection_time": "3600s"}
    proxy = begin([up.port for up in ups], outlier_detection=detection)
    ups[1].answers["/work"] = {"status": 500}
    stats = "cluster.up.outlier_detection.ejections_enforced_total"
    until(lambda: ask(proxy, target="/work") and int(proxy.admin.stats().get(stats, 0)) > 0, "an ejection")
    until(lambda: taken_by(proxy) == {"one", "two"}, "both")


def events_in(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("by", ["event_log_path", "event_logger"])
def test_events_are_written_down(begin, ups, tmp_path, by):
    path = tmp_path / "events.log"
    sink = "type.googleapis.com/envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink"
    loggers = [{"name": "file", "typed_config": {"@type": sink, "event_log_path": str(path)}}]
    where = {"event_log_path": str(path)} if by == "event_log_path" else {"event_logger": loggers}
    always = {"always_log_health_check_failures": True, "always_log_health_check_success": True}
    begin([ups[0].port], check(**where, **always))

    def said(name):
        return [event for event in events_in(path) if name in event]

    (first,) = until(lambda: said("add_healthy_event"), "the endpoint is well")
    assert first["add_healthy_event"] == {"first_check": True}
    assert (first["health_checker_type"], first["cluster_name"]) == ("HTTP", "up")
    assert first["host"]["socket_address"]["port_value"] == ups[0].port
    until(lambda: said("successful_health_check_event"), "it still is")
    ups[0].answers[HEALTH] = {"status": 503}
    (ill, *_) = until(lambda: said("eject_unhealthy_event"), "the endpoint is not well")
    assert ill["eject_unhealthy_event"]["failure_type"] == "ACTIVE"
    until(lambda: said("health_check_failure_event"), "it still is not")


class Mesh:
    """A management server whose cluster `up` is found by EDS."""

    def __init__(self, server, question, **more):
        self.server = server
        self.server.put(
            clusters=[eds_cluster("up", health_checks=[question], **more)],
            listeners=[front()],
        )

    def endpoints(self, *ports):
        self.server.put(assignments=[assignment("up", *ports)])
        self.server.push()


@pytest.fixture
def mesh(start):
    made = []

    def make(question, ports, **more):
        server = ManagementServer()
        made.append(server)
        world = Mesh(server, question, **more)
        world.endpoints(*ports)
        return world, start(ads_bootstrap(server.port))

    yield make
    for server in made:
        server.stop()


def test_endpoints_that_are_gone_stay_while_they_are_well(mesh, ups):
    world, proxy = mesh(check(), [up.port for up in ups])
    assert taken_by(proxy) == {"one", "two"}
    world.endpoints(ups[0].port)
    until(lambda: flags(proxy).get(ups[1].port) == "/pending_dynamic_removal", "an endpoint that is to go")
    assert taken_by(proxy) == {"one", "two"}
    ups[1].answers[HEALTH] = {"status": 503}
    until(lambda: list(flags(proxy)) == [ups[0].port], "one endpoint")
    assert taken_by(proxy) == {"one"}


def test_endpoints_may_go_at_once(mesh, ups):
    world, proxy = mesh(check(), [up.port for up in ups], ignore_health_on_host_removal=True)
    assert taken_by(proxy) == {"one", "two"}
    world.endpoints(ups[0].port)
    until(lambda: list(flags(proxy)) == [ups[0].port], "one endpoint")


def test_new_endpoints_may_be_ignored_until_they_were_checked(mesh, ups):
    ups[1].answers[HEALTH] = {"gate": "first"}
    common = {"ignore_new_hosts_until_first_hc": True}
    world, proxy = mesh(check(), [ups[0].port], common_lb_config=common)
    assert taken_by(proxy) == {"one"}
    world.endpoints(*[up.port for up in ups])
    until(lambda: ups[1].port in flags(proxy), "a new endpoint")
    assert flags(proxy)[ups[1].port] == "/failed_active_hc/pending_active_hc"
    assert proxy.admin.stats()["cluster.up.membership_excluded"] == 1
    # Without it too few would be healthy, and everybody be used.
    assert taken_by(proxy) == {"one"}
    del ups[1].answers[HEALTH]
    ups[1].open_gate("first")
    until(lambda: taken_by(proxy) == {"one", "two"}, "both")



def test_nothing_is_served_before_the_first_round(start, ups):
    ups[0].answers[HEALTH] = {"gate": "first"}
    chosen = cluster("up", ups[0].port, health_checks=[check(timeout="60s")])
    proxy = start(bootstrap([front()], [chosen]), wait=False)
    until(lambda: checks_seen(ups[0]), "the first check")
    assert until(lambda: proxy.admin.get("/ready"), "the admin interface").status == 503
    ups[0].open_gate("first")
    assert ask(proxy).status == 200
