"""Settings that make no sense are refused with the path of the field, and never bent into something else."""

import json

import pytest

from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.process import run
from harness.proxy import binary

pytestmark = pytest.mark.weft_only

EXTENSIONS = "type.googleapis.com/envoy.extensions"
ASKED = {"transport_api_version": "V3", "grpc_service": {"envoy_grpc": {"cluster_name": "up"}}}
LONG = "315576000001s"
CLUSTER = "static_resources.clusters[0]"
MANAGER = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config"
ROUTE = f"{MANAGER}.route_config.virtual_hosts[0].routes[0]"
MIRRORING = ROUTE + '.typed_per_filter_config["mirroring"]'
FILTER = f"{MANAGER}.http_filters[0].typed_config"


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


def limit(filter_enabled=None, **bucket):
    more = {"filter_enabled": filter_enabled} if filter_enabled else {}
    return with_filter("local_ratelimit.v3.LocalRateLimit", stat_prefix="limit", token_bucket=bucket, **more)


def adaptive(limits=None, **more):
    common = {"concurrency_limit_params": {"concurrency_update_interval": "0.1s", **(limits or {})}, "min_rtt_calc_params": {"interval": "60s"}}
    return with_filter("adaptive_concurrency.v3.AdaptiveConcurrency", gradient_controller_config={**common, **more})


def session(**cookie):
    kept = {"@type": f"{EXTENSIONS}.http.stateful_session.cookie.v3.CookieBasedSessionState", "cookie": cookie}
    return with_filter("stateful_session.v3.StatefulSession", session_state={"name": "cookie", "typed_config": kept})


def with_manager(**more):
    host = virtual_host("all", ["*"], route("/", {"cluster": "up"}))
    return bootstrap([listener("main", hcm(routes("main", host), **more))], [cluster("up", 1)])


def matching(regex):
    chosen = {"match": {"safe_regex": {"regex": regex}}, "route": {"cluster": "up"}}
    return bootstrap([listener("main", hcm(routes("main", virtual_host("all", ["*"], chosen))))], [cluster("up", 1)])


def copies(*all_copies, level=None, **compare):
    """A route that says so of its copies; `level` says it elsewhere."""
    said = list(all_copies) or [{"cluster": "up", "compare": compare}]
    said = {"mirroring": {"@type": "type.googleapis.com/weft.mirroring.v1.Mirroring", "copies": said}}
    made = with_route(request_mirror_policies=[{"cluster": "up"}])
    chain = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    host = chain["route_config"]["virtual_hosts"][0]
    (host if level == "host" else host["routes"][0])["typed_per_filter_config"] = said
    return made


XDS = {
    "copies of no cluster": (copies({"compare": {}}), MIRRORING + ".copies[0].cluster"),
    "copies for a cluster that gets none": (copies({"cluster": "other"}), MIRRORING + ".copies[0].cluster"),
    "copies of a cluster twice": (copies({"cluster": "up"}, {"cluster": "up"}), MIRRORING + ".copies[1].cluster"),
    "what is said of copies of a whole host": (copies(level="host"), 'virtual_hosts[0].typed_per_filter_config["mirroring"]'),
    "a compared header that is none": (copies(headers=["a b"]), MIRRORING + ".copies[0].compare.headers[0]"),
    "a header compared twice": (copies(headers=["x", "X"]), MIRRORING + ".copies[0].compare.headers[1]"),
    "the values of a header that is not compared": (copies(headers=["x"], shown_headers=["y"]), MIRRORING + ".copies[0].compare.shown_headers[0]"),
    "the values of a secret": (copies(headers=["set-cookie"], shown_headers=["set-cookie"]), MIRRORING + ".copies[0].compare.shown_headers[0]"),
    "more of bodies than is ever hashed": (copies(max_body_bytes=67108865), MIRRORING + ".copies[0].compare.max_body_bytes"),
    "more differences than are ever logged": (copies(max_logs_per_minute=6001), MIRRORING + ".copies[0].compare.max_logs_per_minute"),
    "a timeout below zero": (with_route(timeout="-1s"), ROUTE + ".route.timeout"),
    "a timeout past what a duration holds": (with_route(timeout=LONG), ROUTE + ".route.timeout"),
    "an idle timeout below zero": (with_route(idle_timeout="-0.001s"), ROUTE + ".route.idle_timeout"),
    "a try of no time": (retries(per_try_timeout="-1s"), ROUTE + ".route.retry_policy.per_try_timeout"),
    "a pause of no time": (retries(retry_back_off={"base_interval": "0s"}), ROUTE + ".route.retry_policy.retry_back_off.base_interval"),
    "a longest pause below the shortest": (
        retries(retry_back_off={"base_interval": "1s", "max_interval": "0.5s"}),
        ROUTE + ".route.retry_policy.retry_back_off.max_interval",
    ),
    "weights of nothing": (weights(0, 0), ROUTE + ".route.weighted_clusters.clusters"),
    "weights past 32 bits": (weights(4294967295, 1), ROUTE + ".route.weighted_clusters.clusters"),
    "no weights": (weights(), ROUTE + ".route.weighted_clusters.clusters"),
    "an endpoint of weight 0": (endpoints(locality(None, {"load_balancing_weight": 0})), CLUSTER + ".load_assignment.endpoints[0].lb_endpoints[0].load_balancing_weight"),
    "endpoints past 32 bits": (
        endpoints(locality(None, {"load_balancing_weight": 4294967295}, {"load_balancing_weight": 1})),
        CLUSTER + ".load_assignment.endpoints[0].lb_endpoints",
    ),
    "localities past 32 bits": (
        endpoints(locality(4294967295, {}, locality={"zone": "a"}), locality(1, {}, first=2, locality={"zone": "b"})),
        CLUSTER + ".load_assignment.endpoints",
    ),
    "an overprovisioning of nothing": (endpoints(locality(None, {}), overprovisioning_factor=0), CLUSTER + ".load_assignment.policy.overprovisioning_factor"),
    "a ring without bounds": (
        with_cluster(lb_policy="RING_HASH", ring_hash_lb_config={"minimum_ring_size": 8388609}),
        CLUSTER + ".ring_hash_lb_config.minimum_ring_size",
    ),
    "a ring that is smaller than its least": (
        with_cluster(lb_policy="RING_HASH", ring_hash_lb_config={"minimum_ring_size": 9, "maximum_ring_size": 8}),
        CLUSTER + ".ring_hash_lb_config.minimum_ring_size",
    ),
    "a table that is not prime": (with_cluster(lb_policy="MAGLEV", maglev_lb_config={"table_size": 65536}), CLUSTER + ".maglev_lb_config.table_size"),
    "a table without bounds": (with_cluster(lb_policy="MAGLEV", maglev_lb_config={"table_size": 5000077}), CLUSTER + ".maglev_lb_config.table_size"),
    "a choice among one": (
        with_cluster(lb_policy="LEAST_REQUEST", least_request_lb_config={"choice_count": 1}),
        CLUSTER + ".least_request_lb_config.choice_count",
    ),
    "a start that takes no time": (
        with_cluster(round_robin_lb_config={"slow_start_config": {"slow_start_window": "-1s"}}),
        CLUSTER + ".round_robin_lb_config.slow_start_config.slow_start_window",
    ),
    "a panic above all": (with_cluster(common_lb_config={"healthy_panic_threshold": {"value": 101}}), CLUSTER + ".common_lb_config.healthy_panic_threshold.value"),
    "a connect timeout of nothing": (with_cluster(connect_timeout="0s"), CLUSTER + ".connect_timeout"),
    "a budget above all": (thresholds(retry_budget={"budget_percent": {"value": 101}}), CLUSTER + ".circuit_breakers.thresholds[0].retry_budget.budget_percent.value"),
    "ejections above all": (outliers(max_ejection_percent=101), CLUSTER + ".outlier_detection.max_ejection_percent"),
    "an enforcement above all": (outliers(enforcing_success_rate=101), CLUSTER + ".outlier_detection.enforcing_success_rate"),
    "looking for outliers all the time": (outliers(interval="0s"), CLUSTER + ".outlier_detection.interval"),
    "an ejection for no time": (outliers(base_ejection_time="0s"), CLUSTER + ".outlier_detection.base_ejection_time"),
    "a longest ejection below the shortest": (
        outliers(base_ejection_time="60s", max_ejection_time="30s"),
        CLUSTER + ".outlier_detection.max_ejection_time",
    ),
    "a check of no time": (checks(timeout="0s"), CLUSTER + ".health_checks[0].timeout"),
    "checks all the time": (checks(interval="0s"), CLUSTER + ".health_checks[0].interval"),
    "a threshold that is not said": (checks(unhealthy_threshold=None), CLUSTER + ".health_checks[0].unhealthy_threshold"),
    "a jitter below zero": (checks(interval_jitter="-1s"), CLUSTER + ".health_checks[0].interval_jitter"),
    "a bucket that is never filled": (limit(max_tokens=1, tokens_per_fill=0, fill_interval="1s"), FILTER + ".token_bucket.tokens_per_fill"),
    "a bucket that is filled all the time": (limit(max_tokens=1, fill_interval="0.049s"), FILTER + ".token_bucket.fill_interval"),
    "a delay of no time": (
        with_filter("fault.v3.HTTPFault", delay={"fixed_delay": "0s", "percentage": {"numerator": 1}}),
        FILTER + ".delay.fixed_delay",
    ),
    "an abort that is no status": (
        with_filter("fault.v3.HTTPFault", abort={"http_status": 99, "percentage": {"numerator": 1}}),
        FILTER + ".abort.http_status",
    ),
    "a buffer of nothing": (with_filter("buffer.v3.Buffer", max_request_bytes=0), FILTER + ".max_request_bytes"),
    "streams of no number": (with_manager(http2_protocol_options={"max_concurrent_streams": 0}), MANAGER + ".http2_protocol_options.max_concurrent_streams"),
    "a head of no size": (with_manager(max_request_headers_kb=0), MANAGER + ".max_request_headers_kb"),
    "a regex that explodes": (matching("((a{100}){100}){100}"), ROUTE + ".match.safe_regex.regex"),
    "a regex that is none": (matching("(a"), ROUTE + ".match.safe_regex.regex"),
    "a hash of no cookie": (with_route(hash_policy=[{"cookie": {"name": ""}}]), ROUTE + ".route.hash_policy[0].cookie.name"),
    "hedges of what is slower than none": (hedging(quantile=0), CLUSTER + '.metadata.typed_filter_metadata["weft.hedging"].quantile'),
    "hedges of what is slower than all": (hedging(quantile=1), CLUSTER + '.metadata.typed_filter_metadata["weft.hedging"].quantile'),
    "hedges at less than no quantile": (hedging(quantile=-0.5), CLUSTER + '.metadata.typed_filter_metadata["weft.hedging"].quantile'),
    "hedges at a quantile that nothing tells from 0": (hedging(quantile=1e-12), CLUSTER + '.metadata.typed_filter_metadata["weft.hedging"].quantile'),
    "hedges of what takes no time": (hedging(after="0s"), CLUSTER + '.metadata.typed_filter_metadata["weft.hedging"].after'),
    "hedges of what takes less than no time": (hedging(after="-1s"), CLUSTER + '.metadata.typed_filter_metadata["weft.hedging"].after'),
    "hedges of nobody knows what": (hedging(), CLUSTER + '.metadata.typed_filter_metadata["weft.hedging"].slow'),
    "hedges that are none": (hedging(after="1s", extra=0), CLUSTER + '.metadata.typed_filter_metadata["weft.hedging"].extra'),
    "hedges without end": (hedging(after="1s", extra=6), CLUSTER + '.metadata.typed_filter_metadata["weft.hedging"].extra'),
    "hedges of more than all": (hedging(after="1s", budget={"share": {"value": 101}}), CLUSTER + '.metadata.typed_filter_metadata["weft.hedging"].budget.share.value'),
    "hedges of less than nothing": (hedging(after="1s", budget={"share": {"value": -1}}), CLUSTER + '.metadata.typed_filter_metadata["weft.hedging"].budget.share.value'),
    "looking for outliers more often than can be": (outliers(interval="0.0009s"), CLUSTER + ".outlier_detection.interval"),
    "checks more often than can be": (checks(interval="0.0009s"), CLUSTER + ".health_checks[0].interval"),
    "a check that no answer can meet": (checks(timeout="0.0009s"), CLUSTER + ".health_checks[0].timeout"),
    "checks of new endpoints without a pause": (checks(unhealthy_edge_interval="0.0009s"), CLUSTER + ".health_checks[0].unhealthy_edge_interval"),
    "an endpoint that is ill after no answer": (checks(unhealthy_threshold=0), CLUSTER + ".health_checks[0].unhealthy_threshold"),
    "an endpoint that is well after no answer": (checks(healthy_threshold=0), CLUSTER + ".health_checks[0].healthy_threshold"),
    "drops of more than all": (
        endpoints(locality(None, {}), drop_overloads=[{"category": "c", "drop_percentage": {"numerator": 101}}]),
        CLUSTER + ".load_assignment.policy.drop_overloads[0].drop_percentage.numerator",
    ),
    "a delay of more than all": (
        with_filter("fault.v3.HTTPFault", delay={"fixed_delay": "1s", "percentage": {"numerator": 10_001, "denominator": "TEN_THOUSAND"}}),
        FILTER + ".delay.percentage.numerator",
    ),
    "a limit for more than all": (
        limit(max_tokens=1, fill_interval="1s", filter_enabled={"default_value": {"numerator": 1_000_001, "denominator": "MILLION"}}),
        FILTER + ".filter_enabled.default_value.numerator",
    ),
    "answers that come at no rate": (
        with_filter("fault.v3.HTTPFault", response_rate_limit={"fixed_limit": {"limit_kbps": 0}, "percentage": {"numerator": 100}}),
        FILTER + ".response_rate_limit.fixed_limit.limit_kbps",
    ),
    "copies of more than all": (
        with_route(request_mirror_policies=[{"cluster": "up", "runtime_fraction": {"default_value": {"numerator": 101}}}]),
        ROUTE + ".route.request_mirror_policies[0].runtime_fraction.default_value.numerator",
    ),
    "hedges of no request": (with_route(hedge_policy={"initial_requests": 0, "hedge_on_per_try_timeout": True}), ROUTE + ".route.hedge_policy.initial_requests"),
    "a status on no limit": (
        with_filter("ratelimit.v3.RateLimit", domain="", rate_limit_service=ASKED),
        FILTER + ".domain",
    ),
    "a service that is waited for for less than no time": (
        with_filter("ratelimit.v3.RateLimit", domain="d", timeout="-1s", rate_limit_service=ASKED),
        FILTER + ".timeout",
    ),
    "a stage of no filter": (
        with_filter("ratelimit.v3.RateLimit", domain="d", stage=11, rate_limit_service=ASKED),
        FILTER + ".stage",
    ),
    "concurrency that is looked at all the time": (adaptive({"concurrency_update_interval": "0s"}), FILTER + ".gradient_controller_config.concurrency_limit_params.concurrency_update_interval"),
    "concurrency by more than all": (
        adaptive(sample_aggregate_percentile={"value": 101}),
        FILTER + ".gradient_controller_config.sample_aggregate_percentile.value",
    ),
    "a concurrency of nothing": (adaptive(min_rtt_calc_params={"interval": "60s", "request_count": 0}), FILTER + ".gradient_controller_config.min_rtt_calc_params.request_count"),
    "a session of no name": (session(name="", path="/"), FILTER + ".session_state.typed_config.cookie.name"),
    "a session below zero": (session(name="s", path="/", ttl="-1s"), FILTER + ".session_state.typed_config.cookie.ttl"),
    "a subset by no key": (
        with_cluster(lb_subset_config={"subset_selectors": [{"keys": []}]}),
        CLUSTER + ".lb_subset_config.subset_selectors[0].keys",
    ),
}


@pytest.mark.parametrize("what", XDS)
def test_xds(tmp_path, what):
    config, path = XDS[what]
    file = tmp_path / "bootstrap.json"
    file.write_text(json.dumps(config))
    said = run([binary("weft-proxy"), "check", "-c", file], tmp_path)
    assert said.returncode == 1, f"accepted: {said.stdout} {said.stderr}"
    assert f"{path}: " in said.stdout + said.stderr
