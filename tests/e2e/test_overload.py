"""The guards against running out of memory, of time and of files."""

import json
import signal
import subprocess
import time

import pytest

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.proxy import binary
from harness.waiting import until


@pytest.fixture
def place(start, http_upstream):
    """A proxy with these flags before an upstream."""

    def make(*flags):
        up = http_upstream("up", body="fine")
        high = route("/high/", {"cluster": "up", "priority": "HIGH"})
        table = routes("main", virtual_host("all", ["*"], high, route("/", "up")))
        config = bootstrap([listener("main", hcm(table, stat_prefix="main"))], [cluster("up", up.port)])
        return up, start(config, arguments=list(flags))

    return make


def stat(proxy, name):
    return int(proxy.admin.stats()[name])


def test_requests_are_refused_above_a_bound(place):
    """With a time after which to ask again; nothing of them reaches an upstream."""
    up, proxy = place("--shed-memory-mib", "1", "--max-memory-mib", "0")
    until(lambda: stat(proxy, "overload.sheds_requests") == 1, "the guard to look")
    answer = http1.request(proxy.port())
    assert (answer.status, answer.body) == (503, b"the proxy is overloaded")
    assert (answer.header("retry-after"), answer.header("connection")) == ("1", "close")
    assert up.seen == []
    assert stat(proxy, "http.main.downstream_rq_overload_close") == 1
    assert stat(proxy, "overload.sheds_connections") == 0
    assert stat(proxy, "overload.memory_bytes") > 1 << 20


def test_requests_of_high_priority_are_refused_last(place):
    """They go on where others are refused, until there is no room for connections either."""
    up, proxy = place("--shed-memory-mib", "1", "--max-memory-mib", "100000")
    until(lambda: stat(proxy, "overload.sheds_requests") == 1, "the guard to look")
    assert [http1.request(proxy.port(), target=target).status for target in ("/high/1", "/low", "/high/2")] == [200, 503, 200]
    assert [seen["target"] for seen in up.seen] == ["/high/1", "/high/2"]
    detail = proxy.admin.get("/ready?verbose")
    assert detail.status == 200
    assert "load: memory is beyond --shed-memory-mib or stop_accepting_requests: requests of default priority are refused\n" in detail.text


def test_connections_are_closed_above_another(place):
    up, proxy = place("--shed-memory-mib", "0", "--max-memory-mib", "1")
    until(lambda: stat(proxy, "overload.sheds_connections") == 1, "the guard to look")
    with http1.Connection(proxy.port()) as client:
        assert client.read_to_end() == b""
    assert up.seen == []


def test_a_bound_that_is_not_reached_changes_nothing(place):
    _, proxy = place("--shed-memory-mib", "100000", "--max-memory-mib", "100000")
    until(lambda: stat(proxy, "overload.memory_bytes") > 0, "the guard to look")
    assert http1.request(proxy.port()).body == b"fine"
    assert stat(proxy, "overload.sheds_requests") == 0


def test_requests_are_refused_by_a_worker_that_is_late(place):
    up, proxy = place("--shed-lag-ms", "20", "--shed-memory-mib", "0", "--max-memory-mib", "0")

    def held_up():
        """Stops the process for a while, as a machine with too much to do would."""
        proxy.process.signal(signal.SIGSTOP)
        time.sleep(0.15)
        proxy.process.signal(signal.SIGCONT)
        return http1.request(proxy.port())

    refused = until(lambda: next((got for got in [held_up()] if got.status == 503), None), "a request to be refused")
    assert (refused.body, refused.header("retry-after")) == (b"the proxy is overloaded", "1")
    assert stat(proxy, "http.main.downstream_rq_overload_close") >= 1
    until(lambda: http1.request(proxy.port()).status == 200, "it to be in time again")
    until(lambda: stat(proxy, "overload.late_workers") == 0, "that to be said")


def test_connections_above_a_number_are_closed(place):
    _, proxy = place("--max-connections", "1")
    with http1.Connection(proxy.port()) as first:
        assert first.request("GET", "/").status == 200
        with http1.Connection(proxy.port()) as second:
            assert second.read_to_end() == b""
        assert first.request("GET", "/").status == 200
    until(lambda: http1.request(proxy.port()).status == 200, "its place to be free")



HEAP = "type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig"
ACTIONS = "envoy.overload_actions."


def manager(bytes_, **thresholds):
    """An overload manager whose actions begin at these shares of a heap."""
    actions = [
        {"name": ACTIONS + name, "triggers": [{"name": "heap", "threshold": {"value": value}}]}
        for name, value in thresholds.items()
    ]
    monitor = {"name": "heap", "typed_config": {"@type": HEAP, "max_heap_size_bytes": bytes_}}
    return {"resource_monitors": [monitor], "actions": actions}


def test_an_overload_manager_bounds_memory(start, http_upstream):
    """Each action by its own threshold: at a share of next to nothing it is on, and at all of a large heap it is not."""
    up = http_upstream("up", body="fine")
    table = routes("main", virtual_host("all", ["*"], route("/", "up")))
    parts = ([listener("main", hcm(table, stat_prefix="main"))], [cluster("up", up.port)])

    def proxy(name, **thresholds):
        return start(bootstrap(*parts, overload_manager=manager(1 << 40, **thresholds)), name=name)

    # A millionth of 1 TiB is 1 MiB, which every process holds.
    requests = proxy("requests", stop_accepting_requests=1e-6, reject_incoming_connections=1.0)
    until(lambda: stat(requests, "overload.sheds_requests") == 1, "the guard to look")
    assert http1.request(requests.port()).status == 503
    assert stat(requests, "overload.sheds_connections") == 0

    connections = proxy("connections", stop_accepting_requests=1e-6, reject_incoming_connections=1e-6)
    until(lambda: stat(connections, "overload.sheds_connections") == 1, "the guard to look")
    with http1.Connection(connections.port()) as client:
        assert client.read_to_end() == b""
    assert up.seen == []

    idle = proxy("idle", stop_accepting_requests=1.0, stop_accepting_connections=1.0, shrink_heap=1e-6)
    until(lambda: stat(idle, "overload.memory_bytes") > 0, "the guard to look")
    assert http1.request(idle.port()).status == 200
    assert stat(idle, "overload.sheds_requests") == 0


def validated(tmp_path, config):
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(config))
    checked = subprocess.run([binary("weft-proxy"), "check", "-c", path], capture_output=True, text=True, timeout=60)
    return checked.returncode, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (manager(1 << 30, disable_http_keepalive=0.5), "overload_manager.actions[0].name"),
        (manager(0, shrink_heap=0.5), "overload_manager.resource_monitors[0].typed_config.max_heap_size_bytes"),
        (manager(1 << 30, shrink_heap=1.5), "overload_manager.actions[0].triggers[0].threshold.value"),
        ({**manager(1 << 30, shrink_heap=0.5), "resource_monitors": manager(1 << 30)["resource_monitors"] * 2}, "resource_monitors[1].name"),
    ],
)
def test_what_an_overload_manager_cannot_have_is_refused(tmp_path, wrong, said):
    code, output = validated(tmp_path, bootstrap([], [], overload_manager=wrong))
    assert code == 1
    assert said in output, output
