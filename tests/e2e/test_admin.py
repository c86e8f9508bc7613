"""The admin endpoints: Envoy's names and formats."""

import pytest

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.waiting import until


@pytest.fixture
def proxy(start, http_upstream):
    up = http_upstream("up")
    main = routes("main", virtual_host("all", ["*"], route("/", "up")))
    return start(bootstrap([listener("main", hcm(main))], [cluster("up", up.port)]))


def test_ready_says_live(proxy):
    answer = proxy.admin.get("/ready")
    assert (answer.status, answer.text) == (200, "LIVE\n")


def test_server_info_names_version_state_and_node(proxy):
    info = proxy.admin.json("/server_info")
    assert info["state"] == "LIVE"
    assert info["version"]
    assert info["node"]["id"] == "test"
    assert info["command_line_options"]["concurrency"] == 1


def test_stats_count_what_went_through(proxy):
    port = proxy.port()
    for _ in range(5):
        assert http1.request(port).status == 200
    stats = proxy.admin.stats()
    assert stats["http.ingress.downstream_rq_total"] == 5
    assert stats["http.ingress.downstream_rq_2xx"] == 5
    assert stats["cluster.up.upstream_rq_total"] == 5
    assert stats["cluster.up.upstream_rq_2xx"] == 5
    assert stats["cluster.up.membership_total"] == 1
    filtered = proxy.admin.get("/stats?filter=upstream_rq_total").text.split()
    assert "cluster.up.upstream_rq_total:" in filtered
    assert not [line for line in filtered if "downstream" in line]


def test_prometheus_text_has_types_and_labels(proxy):
    assert http1.request(proxy.port()).status == 200
    text = proxy.admin.get("/stats/prometheus").text
    assert "# TYPE envoy_cluster_upstream_rq_total counter" in text
    assert 'envoy_cluster_upstream_rq_total{envoy_cluster_name="up"} 1' in text


def test_config_dump_has_what_was_configured(proxy):
    dump = proxy.admin.json("/config_dump")["configs"]
    kinds = {part["@type"].rsplit(".", 1)[-1]: part for part in dump}
    assert {"BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump", "RoutesConfigDump"} <= set(kinds)
    static = kinds["ClustersConfigDump"]["static_clusters"]
    assert [c["cluster"]["name"] for c in static] == ["up"]


def test_clusters_say_where_hosts_are(start, http_upstream):
    up = cluster("up", http_upstream("up").port)
    place = {"region": "eu-1", "zone": "eu-1a", "sub_zone": "rack-7"}
    up["load_assignment"]["endpoints"][0]["locality"] = place
    main = routes("main", virtual_host("all", ["*"], route("/", "up")))
    proxy = start(bootstrap([listener("main", hcm(main))], [up]))
    [status] = [one for one in proxy.admin.json("/clusters?format=json")["cluster_statuses"] if one["name"] == "up"]
    assert status["host_statuses"][0]["locality"] == place
    text = proxy.admin.get("/clusters").text
    assert all(f"::{part}::{value}\n" in text for part, value in place.items())


def test_clusters_lists_hosts(proxy):
    statuses = proxy.admin.json("/clusters?format=json")["cluster_statuses"]
    (up,) = [status for status in statuses if status["name"] == "up"]
    assert up["host_statuses"][0]["address"]["socket_address"]["address"] == "127.0.0.1"
    assert "up::" in proxy.admin.get("/clusters").text


def test_listeners_tell_their_bound_ports(proxy):
    assert f"main::127.0.0.1:{proxy.port()}" in proxy.admin.get("/listeners").text


def test_logging_levels_change_at_run_time(proxy):
    answer = proxy.admin.post("/logging?level=debug")
    assert answer.status == 200


def test_what_changes_something_wants_post(proxy):
    assert proxy.admin.get("/quitquitquit").status == 405
    proxy.process.require_alive()


def test_an_unknown_path_is_404(proxy):
    assert proxy.admin.get("/no/such/thing").status == 404


@pytest.mark.weft_only
def test_live_answers_while_the_process_does(proxy):
    assert proxy.admin.get("/live").status == 200


def test_quitquitquit_ends_it(proxy):
    assert proxy.admin.post("/quitquitquit").status == 200
    assert proxy.process.wait() == 0


def test_drain_listeners_closes_the_door_and_keeps_admin(proxy):
    port = proxy.port()
    assert http1.request(port).status == 200
    assert proxy.admin.post("/drain_listeners").status == 200

    def refused():
        try:
            http1.request(port)
        except ConnectionRefusedError:
            return True

    until(refused, "the listener to close")
    assert proxy.admin.get("/server_info").status == 200


@pytest.mark.weft_only
def test_a_web_page_cannot_reach_it_by_a_name_of_its_own(proxy):
    answer = http1.request(proxy.admin.port, "POST", "/quitquitquit", host="rebound.example")
    assert answer.status == 403
    proxy.process.require_alive()
