"""Which endpoints the second try of a request goes to."""

import json

import pytest

from harness import http1
from harness.config import bootstrap, cluster, endpoint, hcm, listener, route, routes, virtual_host
from harness.process import run
from harness.proxy import binary

HOST = "envoy.extensions.retry.host"


def predicate(kind, **config):
    return {"name": "any", "typed_config": {"@type": f"type.googleapis.com/{HOST}.{kind}", **config}}


def labels(**said):
    return {"filter_metadata": {"envoy.lb": said}}


PREVIOUS = predicate("previous_hosts.v3.PreviousHostsPredicate")
CANARIES = predicate("omit_canary_hosts.v3.OmitCanaryHostsPredicate")
OLD = predicate("omit_host_metadata.v3.OmitHostMetadataConfig", metadata_match=labels(version="v1"))
OLD_OF_TEST = predicate("omit_host_metadata.v3.OmitHostMetadataConfig", metadata_match=labels(version="v1", stage="test"))


def with_predicates(predicates, places):
    policy = {
        "retry_on": "5xx",
        "retry_back_off": {"base_interval": "0.001s"},
        "retry_host_predicate": predicates,
        "host_selection_retry_max_attempts": 20,
    }
    host = virtual_host("all", ["*"], route("/", {"cluster": "up", "retry_policy": policy}))
    return bootstrap([listener("main", hcm(routes("main", host)))], [cluster("up", *places)])


@pytest.mark.parametrize(
    ("predicates", "second"),
    [
        ([PREVIOUS], {"old": {"canary", "plain"}, "canary": {"old", "plain"}, "plain": {"old", "canary"}}),
        ([CANARIES, PREVIOUS], {"old": {"plain"}, "canary": {"old", "plain"}, "plain": {"old"}}),
        ([OLD, PREVIOUS], {"old": {"canary", "plain"}, "canary": {"plain"}, "plain": {"canary"}}),
        ([OLD, CANARIES], {"old": {"plain"}, "canary": {"plain"}, "plain": {"plain"}}),
        ([OLD_OF_TEST, CANARIES, PREVIOUS], {"old": {"plain"}, "canary": {"old", "plain"}, "plain": {"old"}}),
    ],
)
def test_some_endpoints_are_left_out_of_retries(start, http_upstream, predicates, second):
    said = {"old": {"version": "v1"}, "canary": {"canary": True}, "plain": {"canary": "true"}}
    servers = {name: http_upstream(name) for name in said}
    places = [endpoint(servers[name].port, metadata=labels(**said[name])) for name in said]
    proxy = start(with_predicates(predicates, places))
    order = []
    for server in servers.values():
        server.failing.add("/fails")
        server.plan = recording(order, server)
    for _ in range(24):
        order.clear()
        assert http1.request(proxy.port(), target="/fails").status == 503
        first, again = order
        assert again in second[first], (first, again)


@pytest.mark.parametrize(("every", "order"), [(1, "012012"), (2, "0011220"), (3, "0001112"), (9, "0000")])
def test_other_priorities_are_tried(start, http_upstream, every, order):
    """Those of the tries before are avoided, until none is left; `every` says how often it is looked where they went."""
    servers = [http_upstream(str(priority)) for priority in range(3)]
    config = {"@type": "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"}
    policy = {
        "retry_on": "5xx",
        "num_retries": len(order) - 1,
        "retry_back_off": {"base_interval": "0.001s"},
        "retry_priority": {"name": "any", "typed_config": {**config, "update_frequency": every}},
    }
    host = virtual_host("all", ["*"], route("/", {"cluster": "up", "retry_policy": policy}))
    made = cluster("up")
    made["load_assignment"]["endpoints"] = [
        {"priority": priority, "lb_endpoints": [endpoint(server.port)]} for priority, server in enumerate(servers)
    ]
    proxy = start(bootstrap([listener("main", hcm(routes("main", host)))], [made]))
    tried = []
    for server in servers:
        server.failing.add("/fails")
        server.plan = recording(tried, server)
    for _ in range(3):
        tried.clear()
        assert http1.request(proxy.port(), target="/fails").status == 503
        assert "".join(tried) == order


def recording(order, server):
    """Remembers who was asked, over all servers."""
    plan = server.plan

    def recorded(report):
        order.append(server.name)
        return plan(report)

    return recorded


def verdict(made, directory):
    path = directory / "bootstrap.json"
    path.write_text(json.dumps(made))
    told = run([binary("weft-proxy"), "check", "-c", path], directory)
    return told.stdout + told.stderr


@pytest.mark.weft_only
def test_predicates_are_known_by_their_types(tmp_path):
    unknown = {"name": "envoy.retry_host_predicates.previous_hosts"}
    found = verdict(with_predicates([unknown], [1]), tmp_path)
    assert "retry_host_predicate[0].typed_config" in found
    options = with_predicates([PREVIOUS], [1])
    virtual = options["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]
    virtual["routes"][0]["route"]["retry_policy"]["retry_options_predicates"] = [PREVIOUS]
    assert "retry_options_predicates" in verdict(options, tmp_path)
