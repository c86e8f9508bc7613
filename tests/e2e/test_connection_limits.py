"""How many connections are taken at once, by the process and by each listener."""

import contextlib

from differential.connections import listener
from harness.config import bootstrap
from harness.raw import connect, read_to_end
from harness.waiting import until

ECHO = {"name": "echo", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"}}
MONITOR = "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"


def echoing(name, **more):
    return listener(name, [{"filters": [ECHO]}], **more)


def answers(client):
    client.sendall(b"x")
    return client.recv(1) == b"x"


def counted(proxy, name):
    """A counter of all listeners together."""
    stats = proxy.admin.stats()
    return sum(value for key, value in stats.items() if key.startswith("listener.") and key.endswith(f".{name}"))


def fill(proxy, opened, name, count):
    clients = [opened.enter_context(connect(proxy.port(name))) for _ in range(count)]
    assert all(answers(client) for client in clients)
    return clients


def refused(proxy, name):
    with connect(proxy.port(name)) as client:
        return read_to_end(client).how in ("closed", "reset")


def test_the_process_takes_no_more_connections_than_it_may(start):
    config = {"@type": MONITOR, "max_active_downstream_connections": 3}
    monitor = {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": config}
    made = bootstrap(
        [echoing("one"), echoing("other"), echoing("free", ignore_global_conn_limit=True), echoing("past", bypass_overload_manager=True)],
        overload_manager={"refresh_interval": "0.25s", "resource_monitors": [monitor]},
    )
    made["admin"]["ignore_global_conn_limit"] = True
    proxy = start(made, workers=2)
    with contextlib.ExitStack() as opened:
        clients = fill(proxy, opened, "one", 2) + fill(proxy, opened, "other", 1)
        assert refused(proxy, "one") and refused(proxy, "other")
        until(lambda: counted(proxy, "downstream_global_cx_overflow") == 2, "both to be counted")
        fill(proxy, opened, "free", 2)
        if proxy.kind == "weft":
            fill(proxy, opened, "past", 2)
        # A place that becomes free is taken again.
        clients[0].close()

        def again():
            with connect(proxy.port("other")) as client:
                return answers(client)

        until(again, "a place")


def test_runtime_keys_limit_connections(start):
    layers = [
        {"name": "first", "static_layer": {"envoy": {"resource_limits": {"listener": {"few": {"connection_limit": 9}}}}}},
        {"name": "second", "static_layer": {"envoy.resource_limits.listener.few.connection_limit": 2}},
        {"name": "third", "static_layer": {"overload": {"global_downstream_max_connections": 4}}},
    ]
    proxy = start(bootstrap([echoing("few"), echoing("many")], layered_runtime={"layers": layers}), workers=2)
    with contextlib.ExitStack() as opened:
        fill(proxy, opened, "few", 2)
        assert refused(proxy, "few")
        until(lambda: counted(proxy, "downstream_cx_overflow") == 1, "it to be counted")
        if proxy.kind == "weft":
            # Envoy's admin interface takes part in the global limit.
            fill(proxy, opened, "many", 2)
            assert refused(proxy, "many")
            until(lambda: counted(proxy, "downstream_global_cx_overflow") == 1, "it to be counted, too")
