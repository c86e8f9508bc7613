"""What `/clusters` tells of each endpoint."""

import socket

import pytest

from harness import http1
from harness.config import bootstrap, cluster, hcm, http2_options, listener, route, routes, tcp_proxy, virtual_host
from harness.upstream import Http, Tcp
from harness.waiting import until


def counters(proxy, port, name="up"):
    """Of one endpoint, as text and as JSON."""
    statuses = proxy.admin.json("/clusters?format=json")["cluster_statuses"]
    hosts = [host for status in statuses if status["name"] == name for host in status["host_statuses"]]
    (host,) = [h for h in hosts if h["address"]["socket_address"]["port_value"] == port]
    as_json = {metric["name"]: int(metric.get("value", 0)) for metric in host["stats"]}
    lines = [line.split("::") for line in proxy.admin.get("/clusters").text.splitlines()]
    facts = {line[2]: line[3] for line in lines if line[:2] == [name, f"127.0.0.1:{port}"]}
    return as_json, facts


COUNTED = ["cx_active", "cx_connect_fail", "cx_total", "rq_active", "rq_error", "rq_success", "rq_timeout", "rq_total"]


@pytest.mark.parametrize("protocol", ["http1", "h2"])
def test_requests_are_counted_by_their_end(start, protocol):
    main = routes(
        "main",
        virtual_host("all", ["*"], route("/slow", {"cluster": "up", "timeout": "0.3s"}), route("/", {"cluster": "up"})),
    )
    with Http("up") as up, socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        refusing = held.getsockname()[1]
        options = http2_options() if protocol == "h2" else {}
        clusters = [cluster("up", up.port, **options), cluster("no", refusing, **options)]
        main["virtual_hosts"][0]["routes"].insert(0, route("/no", {"cluster": "no"}))
        proxy = start(bootstrap([listener("main", hcm(main))], clusters))
        with http1.Connection(proxy.port()) as client:
            for _ in range(3):
                assert client.request("GET", "/").status == 200
            assert client.request("GET", "/", [("x-respond", '{"status": 404}')]).status == 404
            for _ in range(2):
                assert client.request("GET", "/", [("x-respond", '{"status": 503}')]).status == 503
            assert client.request("GET", "/slow", [("x-respond", '{"gate": "never"}')]).status == 504
            assert client.request("POST", "/", [("x-respond", '{"hangup": "before"}')], b"x").status == 503
            assert client.request("GET", "/no").status == 503
        as_json, facts = counters(proxy, up.port)
        assert set(COUNTED) <= set(as_json)
        assert {name: int(facts[name]) for name in COUNTED} == {name: as_json[name] for name in COUNTED}
        assert {n: as_json[n] for n in ("rq_active", "rq_error", "rq_success", "rq_timeout", "rq_total")} == {
            "rq_active": 0, "rq_error": 4, "rq_success": 4, "rq_timeout": 1, "rq_total": 8,
        }
        assert 1 <= as_json["cx_total"] <= 4 and as_json["cx_connect_fail"] == 0
        assert (facts["weight"], facts["priority"], facts["success_rate"], facts["health_flags"]) == ("1", "0", "-1", "healthy")
        nobody, _ = counters(proxy, refusing, "no")
        assert nobody["cx_connect_fail"] == nobody["cx_total"] >= 1
        assert (nobody["rq_total"], nobody["cx_active"]) == (0, 0)


def test_raw_connections_are_counted(start):
    with Tcp("up") as up:
        proxy = start(bootstrap([listener("main", tcp_proxy("up"))], [cluster("up", up.port)]))
        with http1.Connection(proxy.port()) as client:
            assert client.socket.recv(3) == b"up\n"
            now, _ = counters(proxy, up.port)
            assert (now["cx_active"], now["cx_total"]) == (1, 1)
        until(lambda: counters(proxy, up.port)[0]["cx_active"] == 0, "the connection to be closed")
