"""What makes no sense is refused with its whole path wherever it is read: durations below zero or past what one holds,
shares of more than all, and regular expressions that grow without bounds.

The places are those of the worlds that both proxies are compared in, which set nearly every field that is honoured.
"""

import json
from contextlib import suppress
from itertools import chain

import pytest
from google.protobuf import any_pb2

from differential.behind import TYPE
from differential.coverage import honoured, message, parsed
from differential.filtering import put
from differential.test_coverage import compared
from harness.config import ROUTER, bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.process import run
from harness.proxy import binary

pytestmark = pytest.mark.weft_only

POLICY = f"{TYPE}envoy.extensions.load_balancing_policies"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
DYNAMIC_CLUSTER = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"
DURATION = "google.protobuf.Duration"
SHARE = "envoy.type.v3.FractionalPercent"
PATTERN = "envoy.type.matcher.v3.RegexMatcher"
BELOW, PAST = "-1s", "315576000001s"
EXPLODES = "((a{100}){100}){100}"


class Key(str):
    """A step of a way that is a key of a map, and no field."""


def places(value, path=()):
    """Each duration, share and expression of a message: the field, and the way to it."""
    if isinstance(value, any_pb2.Any) and not value.type_url:
        return  # says no more than that it is there
    if isinstance(value, any_pb2.Any):
        inner = message(value.TypeName())()
        value.Unpack(inner)
        value = inner
    for field, part in value.ListFields():
        if field.message_type is None:
            continue
        here = (*path, field.name)
        if field.message_type.full_name in (DURATION, SHARE, PATTERN):
            ways = [(*here, number) for number in range(len(part))] if field.is_repeated else [here]
            for way in ways:
                yield (field.message_type.full_name, f"{value.DESCRIPTOR.full_name}.{field.name}"), way
        elif field.message_type.GetOptions().map_entry:
            for key, each in part.items():
                if hasattr(each, "ListFields"):
                    yield from places(each, (*here, Key(key)))
        elif field.is_repeated:
            for index, each in enumerate(part):
                yield from places(each, (*here, index))
        elif not field.message_type.full_name.startswith("google.protobuf.") or isinstance(part, any_pb2.Any):
            yield from places(part, here)


def elsewhere():
    """What worlds do not set, because its effect is shown in tests of its own."""
    slow_start = {"slow_start_config": {"slow_start_window": "1s"}}
    times = "interval initial_jitter interval_jitter no_traffic_interval no_traffic_healthy_interval unhealthy_interval"
    times = dict.fromkeys(f"{times} unhealthy_edge_interval healthy_edge_interval timeout".split(), "1s")
    check = {**times, "unhealthy_threshold": 2, "healthy_threshold": 1, "tcp_health_check": {}}
    outliers = dict.fromkeys("base_ejection_time interval max_ejection_time max_ejection_time_jitter".split(), "1s")
    pings = {"connection_keepalive": dict.fromkeys(("interval", "timeout", "connection_idle_interval"), "1s")}
    h2 = {"@type": TYPE + HTTP_OPTIONS, "explicit_http_config": {"http2_protocol_options": pings}}
    robin = {"@type": f"{POLICY}.round_robin.v3.RoundRobin", **slow_start}
    policies = {"policies": [{"typed_extension_config": {"name": "robin", "typed_config": robin}}]}
    cache = dict.fromkeys("dns_refresh_rate dns_min_refresh_rate host_ttl dns_query_timeout".split(), "5s")
    cache |= {"name": "cache", "dns_lookup_family": "V4_ONLY"}
    named = {"name": "named", "typed_config": {"@type": TYPE + DYNAMIC_CLUSTER, "dns_cache_config": cache}}
    hosts = cluster("hosts", lb_policy="CLUSTER_PROVIDED", cluster_type=named)
    del hosts["type"], hosts["load_assignment"]
    clusters = [
        cluster("up", 1, health_checks=[check], outlier_detection=outliers, typed_extension_protocol_options={HTTP_OPTIONS: h2}),
        cluster("slow", 1, round_robin_lb_config=slow_start),
        cluster("policy", 1, load_balancing_policy=policies),
        hosts,
    ]
    told = {"max_interval": "1s", "reset_headers": [{"name": "retry-after", "format": "SECONDS"}]}
    pauses = {"base_interval": "0.1s", "max_interval": "1s"}
    retries = {"retry_on": "5xx", "per_try_idle_timeout": "1s", "retry_back_off": pauses, "rate_limited_retry_back_off": told}
    table = routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up", "retry_policy": retries})))
    for measured in ({"interval": "60s"}, {"fixed_value": "1s"}):
        params = {"concurrency_limit_params": {"concurrency_update_interval": "1s"}, "min_rtt_calc_params": measured}
        adaptive = put("adaptive_concurrency.v3.AdaptiveConcurrency", gradient_controller_config=params)
        yield bootstrap([listener("main", hcm(table, http_filters=[adaptive, ROUTER]))], clusters)


def found_places():
    """One place of each field that worlds set and we honour, with the configuration it stands in."""
    found, known = {}, honoured()
    for made in chain(compared(), elsewhere()):
        for (kind, field), path in places(parsed(made)):
            if field in known:
                found.setdefault((kind, field), (made, path))
    return found


FOUND = found_places()


def of_kind(kind):
    return sorted(field for found, field in FOUND if found == kind)


def written(path):
    """As the proxy names a field."""
    def step(one):
        match one:
            case int():
                return f"[{one}]"
            case Key():
                return f'["{one}"]'
            case _:
                return f".{one}"

    return "".join(map(step, path)).removeprefix(".")


def checked(config, directory):
    file = directory / "bootstrap.json"
    file.write_text(json.dumps(config))
    said = run([binary("weft-proxy"), "check", "-c", file], directory)
    return said.returncode, said.stdout + said.stderr


def changed(made, path, value):
    """With names of their own for all listeners: worlds of many keep them apart otherwise."""
    copy = json.loads(json.dumps(made))
    for number, one in enumerate(copy["static_resources"].get("listeners", ())):
        one["name"] = f"listener {number}"
    node = copy
    for step in path[:-1]:
        node = node[step]
    assert isinstance(path[-1], int) or path[-1] in node
    node[path[-1]] = value
    return copy


def fields_of_kind(kind):
    """Every field of this type that the table honours."""
    for name in honoured():
        owner, _, field = name.rpartition(".")
        # The descriptors for Python are a little older than Envoy.
        known = None
        with suppress(KeyError):
            known = message(owner).DESCRIPTOR.fields_by_name.get(field)
        if known and known.message_type and known.message_type.full_name == kind:
            yield name


def refused(tmp_path, made, path, value, named):
    code, said = checked(changed(made, path, value), tmp_path)
    assert code == 1, f"{written(path)}: {value} was accepted"
    assert written(named) in said


def test_what_is_not_bent_is_accepted(tmp_path):
    for made in elsewhere():
        assert checked(made, tmp_path)[0] == 0


@pytest.mark.parametrize("kind", [DURATION, SHARE, PATTERN])
def test_every_field_has_a_place(kind):
    assert sorted(set(fields_of_kind(kind)) - set(of_kind(kind))) == []


@pytest.mark.parametrize("field", of_kind(DURATION))
def test_no_duration_is_bent(tmp_path, field):
    made, path = FOUND[DURATION, field]
    for value in (BELOW, PAST):
        refused(tmp_path, made, path, value, path)


@pytest.mark.parametrize("field", of_kind(SHARE))
def test_no_share_is_more_than_all(tmp_path, field):
    made, path = FOUND[SHARE, field]
    for numerator, denominator in ((101, "HUNDRED"), (10_001, "TEN_THOUSAND"), (1_000_001, "MILLION")):
        value = {"numerator": numerator, "denominator": denominator}
        refused(tmp_path, made, path, value, (*path, "numerator"))


@pytest.mark.parametrize("field", of_kind(PATTERN))
def test_no_expression_grows_without_bounds(tmp_path, field):
    made, path = FOUND[PATTERN, field]
    refused(tmp_path, made, path, {"regex": EXPLODES}, (*path, "regex"))
