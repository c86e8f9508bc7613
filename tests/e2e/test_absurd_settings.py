"""Settings that make no sense are refused with the path of the field, and never bent into something else."""

import json

import pytest

from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.process import run
from harness.proxy import binary

pytestmark = pytest.mark.weft_only

EXTENSIONS = "type.googleapis.com/envoy.extensions"
LONG = "315576000001s"


def with_route(**action):
    host = virtual_host("all", ["*"], route("/", action if "weighted_clusters" in action else {"cluster": "up", **action}))
    return bootstrap([listener("main", hcm(routes("main", host)))], [cluster("up", 1)])


def retries(**policy):
    return with_route(retry_policy={"retry_on": "5xx", **policy})


def weights(*all_weights, **more):
    split = [{"name": "up", "weight": weight} for weight in all_weights]
    return with_route(weighted_clusters={"clusters": split, **more})


def with_cluster(**more):
    return bootstrap([], [{**cluster("up", 1), **more}])


def thresholds(**more):
    return with_cluster(circuit_breakers={"thresholds": [more]})


def outliers(**more):
    return with_cluster(outlier_detection=more)


def checks(**more):
    check = {"timeout": "1s", "interval": "1s", "unhealthy_threshold": 2, "healthy_threshold": 1, "tcp_health_check": {}}
    return with_cluster(health_checks=[{**check, **more}])


def endpoints(*localities, **policy):
    made = {"cluster_name": "up", "endpoints": list(localities), **({"policy": policy} if policy else {})}
    return with_cluster(load_assignment=made)


def hedging(**policy):
    policy = {"@type": "type.googleapis.com/weft.hedging.v1.HedgePolicy", **policy}
    return with_cluster(metadata={"typed_filter_metadata": {"weft.hedging": policy}})


def locality(weight, *hosts, first=1, **more):
    addresses = [{"socket_address": {"address": "127.0.0.1", "port_value": port}} for port in range(first, first + len(hosts))]
    there = [{**host, "endpoint": {"address": address}} for host, address in zip(hosts, addresses, strict=True)]
    return {"lb_endpoints": there, **({"load_balancing_weight": weight} if weight is not None else {}), **more}


def with_filter(kind, **settings):
    filters = [
        {"name": kind, "typed_config": {"@type": f"{EXTENSIONS}.filters.http.{kind}", **settings}},
        {"name": "router", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}},
    ]
    host = virtual_host("all", ["*"], route("/", {"cluster": "up"}))
    return bootstrap([listener("main", hcm(routes("main", host), http_filters=filters))], [cluster("up", 1)])


def limit(**bucket):
    return with_filter("local_ratelimit.v3.LocalRateLimit", stat_prefix="limit", token_bucket=bucket)


def with_manager(**more):
    host = virtual_host("all", ["*"], route("/", {"cluster": "up"}))
    return bootstrap([listener("main", hcm(routes("main", host), **more))], [cluster("up", 1)])


def matching(regex):
    chosen = {"match": {"safe_regex": {"regex": regex}}, "route": {"cluster": "up"}}
    return bootstrap([listener("main", hcm(routes("main", virtual_host("all", ["*"], chosen))))], [cluster("up", 1)])


XDS = {
    "a timeout below zero": (with_route(timeout="-1s"), "route.timeout"),
    "a timeout past what a duration holds": (with_route(timeout=LONG), "timeout"),
    "an idle timeout below zero": (with_route(idle_timeout="-0.001s"), "idle_timeout"),
    "a try of no time": (retries(per_try_timeout="-1s"), "per_try_timeout"),
    "a pause of no time": (retries(retry_back_off={"base_interval": "0s"}), "base_interval"),
    "a longest pause below the shortest": (
        retries(retry_back_off={"base_interval": "1s", "max_interval": "0.5s"}),
        "max_interval",
    ),
    "weights of nothing": (weights(0, 0), "weighted_clusters"),
    "weights past 32 bits": (weights(4294967295, 1), "weighted_clusters"),
    "no weights": (weights(), "weighted_clusters"),
    "an endpoint of weight 0": (endpoints(locality(None, {"load_balancing_weight": 0})), "load_balancing_weight"),
    "endpoints past 32 bits": (
        endpoints(locality(None, {"load_balancing_weight": 4294967295}, {"load_balancing_weight": 1})),
        "lb_endpoints",
    ),
    "localities past 32 bits": (
        endpoints(locality(4294967295, {}, locality={"zone": "a"}), locality(1, {}, first=2, locality={"zone": "b"})),
        "endpoints",
    ),
    "an overprovisioning of nothing": (endpoints(locality(None, {}), overprovisioning_factor=0), "overprovisioning_factor"),
    "a ring without bounds": (
        with_cluster(lb_policy="RING_HASH", ring_hash_lb_config={"minimum_ring_size": 8388609}),
        "minimum_ring_size",
    ),
    "a ring that is smaller than its least": (
        with_cluster(lb_policy="RING_HASH", ring_hash_lb_config={"minimum_ring_size": 9, "maximum_ring_size": 8}),
        "ring_size",
    ),
    "a table that is not prime": (with_cluster(lb_policy="MAGLEV", maglev_lb_config={"table_size": 65536}), "table_size"),
    "a table without bounds": (with_cluster(lb_policy="MAGLEV", maglev_lb_config={"table_size": 5000077}), "table_size"),
    "a choice among one": (
        with_cluster(lb_policy="LEAST_REQUEST", least_request_lb_config={"choice_count": 1}),
        "choice_count",
    ),
    "a start that takes no time": (
        with_cluster(round_robin_lb_config={"slow_start_config": {"slow_start_window": "-1s"}}),
        "slow_start_window",
    ),
    "a panic above all": (with_cluster(common_lb_config={"healthy_panic_threshold": {"value": 101}}), "healthy_panic_threshold"),
    "a connect timeout of nothing": (with_cluster(connect_timeout="0s"), "connect_timeout"),
    "a budget above all": (thresholds(retry_budget={"budget_percent": {"value": 101}}), "budget_percent"),
    "ejections above all": (outliers(max_ejection_percent=101), "max_ejection_percent"),
    "an enforcement above all": (outliers(enforcing_success_rate=101), "enforcing_success_rate"),
    "looking for outliers all the time": (outliers(interval="0s"), "interval"),
    "an ejection for no time": (outliers(base_ejection_time="0s"), "base_ejection_time"),
    "a longest ejection below the shortest": (
        outliers(base_ejection_time="60s", max_ejection_time="30s"),
        "max_ejection_time",
    ),
    "a check of no time": (checks(timeout="0s"), "timeout"),
    "checks all the time": (checks(interval="0s"), "interval"),
    "a threshold that is not said": (checks(unhealthy_threshold=None), "unhealthy_threshold"),
    "a jitter below zero": (checks(interval_jitter="-1s"), "interval_jitter"),
    "a bucket that is never filled": (limit(max_tokens=1, tokens_per_fill=0, fill_interval="1s"), "tokens_per_fill"),
    "a bucket that is filled all the time": (limit(max_tokens=1, fill_interval="0.049s"), "fill_interval"),
    "a delay of no time": (
        with_filter("fault.v3.HTTPFault", delay={"fixed_delay": "0s", "percentage": {"numerator": 1}}),
        "fixed_delay",
    ),
    "an abort that is no status": (
        with_filter("fault.v3.HTTPFault", abort={"http_status": 99, "percentage": {"numerator": 1}}),
        "http_status",
    ),
    "a buffer of nothing": (with_filter("buffer.v3.Buffer", max_request_bytes=0), "max_request_bytes"),
    "streams of no number": (with_manager(http2_protocol_options={"max_concurrent_streams": 0}), "max_concurrent_streams"),
    "a head of no size": (with_manager(max_request_headers_kb=0), "max_request_headers_kb"),
    "a regex that explodes": (matching("((a{100}){100}){100}"), "regex"),
    "a regex that is none": (matching("(a"), "regex"),
    "a hash of no cookie": (with_route(hash_policy=[{"cookie": {"name": ""}}]), "cookie.name"),
    "hedges of what is slower than none": (hedging(quantile=0), "quantile"),
    "hedges of what is slower than all": (hedging(quantile=1), "quantile"),
    "hedges at less than no quantile": (hedging(quantile=-0.5), "quantile"),
    "hedges at a quantile that nothing tells from 0": (hedging(quantile=1e-12), "quantile"),
    "hedges of what takes no time": (hedging(after="0s"), "after"),
    "hedges of what takes less than no time": (hedging(after="-1s"), "after"),
    "hedges of nobody knows what": (hedging(), "weft.hedging"),
    "hedges that are none": (hedging(after="1s", extra=0), "extra"),
    "hedges without end": (hedging(after="1s", extra=6), "extra"),
    "hedges of more than all": (hedging(after="1s", budget={"share": {"value": 101}}), "budget.share.value"),
    "hedges of less than nothing": (hedging(after="1s", budget={"share": {"value": -1}}), "budget.share.value"),
}


@pytest.mark.parametrize("what", XDS)
def test_xds(tmp_path, what):
    config, path = XDS[what]
    file = tmp_path / "bootstrap.json"
    file.write_text(json.dumps(config))
    said = run([binary("weft-proxy"), "check", "-c", file], tmp_path)
    assert said.returncode == 1, f"accepted: {said.stdout} {said.stderr}"
    assert path in said.stdout + said.stderr
