"""Settings of the mesh model that make no sense are refused with their file, line and field, by the command itself."""

import copy
import json
import re

import pytest

from harness.process import run
from harness.proxy import binary

pytestmark = pytest.mark.weft_only

GATEWAY = "gateway.networking.k8s.io/v1"
# There is one of these.
NAMES = {"MeshConfig": "default"}
VERSIONS = {"HTTPRoute": GATEWAY, "GRPCRoute": GATEWAY}
ABOUT = {"targetRef": {"kind": "Service", "name": "shop"}}
RULE = {"parentRefs": [{"kind": "Service", "name": "shop"}]}
PORTS = {"ports": [{"port": 80}]}
LIMIT = {"limits": [{"requests": 1, "per": "1s"}]}
ASKED = {"global": {"service": {"name": "shop"}, "domain": "d", "descriptors": [{"entries": [{"header": "x"}]}]}}
HASHED = {"loadBalancer": {"policy": "RingHash"}}
EWMA = {"loadBalancer": {"policy": "PeakEWMA"}}
SHARE = {"failurePercentage": {"threshold": 50}}

BELOW, PAST, NONE = "-1s", "99999999999999999999s", "0s"
NO_TIME = (BELOW, PAST, NONE)
NO_SPAN = (BELOW, PAST, "1.5s", 1)
NO_NUMBER = (-1, 4294967296, 18446744073709551616, 1.5)
EXPLODES = "((a{100}){100}){100}"

# Kind, field, values of it, and what stands around it.
SETTINGS = [
    ("TrafficPolicy", "timeouts.request", NO_SPAN, {}),
    ("TrafficPolicy", "timeouts.streamIdle", NO_SPAN, {}),
    ("TrafficPolicy", "timeouts.connect", NO_TIME, {}),
    ("TrafficPolicy", "timeouts.maxStream", NO_TIME, {}),
    ("TrafficPolicy", "timeouts.requestHeaders", NO_TIME, {}),
    ("TrafficPolicy", "retries.attempts", (101, *NO_NUMBER), {}),
    ("TrafficPolicy", "retries.on", ([],), {}),
    ("TrafficPolicy", "retries.on[0]", ("Never",), {}),
    ("TrafficPolicy", "retries.codes[0]", (200, 600, -1), {}),
    ("TrafficPolicy", "retries.methods", ([],), {}),
    ("TrafficPolicy", "retries.perTryTimeout", NO_TIME, {}),
    ("TrafficPolicy", "retries.backoff", NO_TIME, {}),
    ("TrafficPolicy", "retries.budget.percent", (101, *NO_NUMBER), {}),
    ("TrafficPolicy", "retries.budget.minConcurrent", NO_NUMBER, {}),
    ("TrafficPolicy", "hedging.percentile", (0, 100, *NO_NUMBER), {}),
    ("TrafficPolicy", "hedging.after", NO_TIME, {}),
    ("TrafficPolicy", "hedging.extra", (0, 6, *NO_NUMBER), {"hedging": {"percentile": 95}}),
    ("TrafficPolicy", "hedging.methods", ([],), {"hedging": {"percentile": 95}}),
    ("TrafficPolicy", "loadBalancer.decayTime", NO_TIME, EWMA),
    ("TrafficPolicy", "loadBalancer.hashOn", ([],), HASHED),
    ("TrafficPolicy", "loadBalancer.hashOn[0].cookie.ttl", (BELOW, PAST), HASHED),
    ("TrafficPolicy", "loadBalancer.slowStart.window", NO_TIME, {}),
    ("TrafficPolicy", "loadBalancer.slowStart.minWeightPercent", (0, 101, *NO_NUMBER), {"loadBalancer": {"slowStart": {"window": "1s"}}}),
    ("TrafficPolicy", "loadBalancer.panicThreshold", (101, *NO_NUMBER), {}),
    ("TrafficPolicy", "loadBalancer.zoneWeights", ([],), {}),
    ("TrafficPolicy", "loadBalancer.zoneWeights[0].weight", (0, 1_000_001, *NO_NUMBER), {"loadBalancer": {"zoneWeights": [{"zone": "a"}]}}),
    ("TrafficPolicy", "outlierDetection.consecutiveErrors", (0, *NO_NUMBER), {}),
    ("TrafficPolicy", "outlierDetection.consecutiveGatewayErrors", (0, *NO_NUMBER), {}),
    ("TrafficPolicy", "outlierDetection.interval", NO_TIME, {}),
    ("TrafficPolicy", "outlierDetection.baseEjectionTime", NO_TIME, {}),
    ("TrafficPolicy", "outlierDetection.maxEjectionPercent", (101, *NO_NUMBER), {}),
    ("TrafficPolicy", "outlierDetection.failurePercentage.threshold", (0, 101, *NO_NUMBER), {}),
    ("TrafficPolicy", "outlierDetection.failurePercentage.requestVolume", (0, *NO_NUMBER), {"outlierDetection": SHARE}),
    ("TrafficPolicy", "outlierDetection.failurePercentage.minimumHosts", (0, *NO_NUMBER), {"outlierDetection": SHARE}),
    ("TrafficPolicy", "healthCheck.interval", NO_TIME, {"healthCheck": {"tcp": {}}}),
    ("TrafficPolicy", "healthCheck.timeout", NO_TIME, {"healthCheck": {"tcp": {}}}),
    ("TrafficPolicy", "healthCheck.healthyThreshold", (0, 1001, *NO_NUMBER), {"healthCheck": {"tcp": {}}}),
    ("TrafficPolicy", "healthCheck.unhealthyThreshold", (0, 1001, *NO_NUMBER), {"healthCheck": {"tcp": {}}}),
    ("TrafficPolicy", "healthCheck.http.statuses[0]", (99, 600, *NO_NUMBER), {"healthCheck": {"http": {"path": "/"}}}),
    ("TrafficPolicy", "circuitBreaker.maxConnections", (0, *NO_NUMBER), {}),
    ("TrafficPolicy", "circuitBreaker.maxPending", NO_NUMBER, {}),
    ("TrafficPolicy", "circuitBreaker.maxRequests", (0, *NO_NUMBER), {}),
    ("TrafficPolicy", "circuitBreaker.maxRetries", NO_NUMBER, {}),
    ("TrafficPolicy", "circuitBreaker.maxConnectionsPerEndpoint", (0, *NO_NUMBER), {}),
    ("TrafficPolicy", "connectionPool.maxRequestsPerConnection", (0, *NO_NUMBER), {}),
    ("TrafficPolicy", "connectionPool.idleTimeout", NO_SPAN, {}),
    ("TrafficPolicy", "connectionPool.maxConnectionDuration", NO_TIME, {}),
    ("TrafficPolicy", "drop.percent", (101, *NO_NUMBER), {}),
    ("TrafficPolicy", "drop.fraction.numerator", (3, *NO_NUMBER), {"drop": {"fraction": {"denominator": 2}}}),
    ("TrafficPolicy", "drop.fraction.denominator", (0, *NO_NUMBER), {"drop": {"fraction": {"numerator": 0}}}),
    ("TrafficPolicy", "fault.delay.time", NO_TIME, {}),
    ("TrafficPolicy", "fault.delay.percent", (101, *NO_NUMBER), {"fault": {"delay": {"time": "1s"}}}),
    ("TrafficPolicy", "fault.abort.status", (99, 200, 600, *NO_NUMBER), {}),
    ("TrafficPolicy", "fault.abort.grpcStatus", ("SOMETHING",), {}),
    ("TrafficPolicy", "fault.maxActive", (0, *NO_NUMBER), {"fault": {"delay": {"time": "1s"}}}),
    ("TrafficPolicy", "stickiness.cookie.ttl", NO_SPAN, {"stickiness": {"cookie": {"name": "c"}}}),
    ("TrafficPolicy", "stickiness.cookie.name", ("", "a b"), {}),
    ("RateLimitPolicy", "limits", ([],), {}),
    ("RateLimitPolicy", "limits[0].requests", (0, *NO_NUMBER), LIMIT),
    ("RateLimitPolicy", "limits[0].per", ("49ms", *NO_TIME), LIMIT),
    ("RateLimitPolicy", "limits[0].burst", (0, *NO_NUMBER), LIMIT),
    ("RateLimitPolicy", "limits[0].by", ([],), LIMIT),
    ("RateLimitPolicy", "status", (200, 600, *NO_NUMBER), LIMIT),
    ("RateLimitPolicy", "global.timeout", NO_TIME, ASKED),
    ("RateLimitPolicy", "global.domain", ("", "d" * 257), ASKED),
    ("RateLimitPolicy", "global.descriptors", ([],), ASKED),
    ("RateLimitPolicy", "global.descriptors[0].entries", ([],), ASKED),
    ("RateLimitPolicy", "global.service.port", (0, 65536, *NO_NUMBER), ASKED),
    ("HTTPRoute", "rules", ([],), RULE),
    ("HTTPRoute", "rules[0].timeouts.request", NO_SPAN, RULE),
    ("HTTPRoute", "rules[0].timeouts.backendRequest", NO_SPAN, RULE),
    ("HTTPRoute", "rules[0].retry.attempts", (101, *NO_NUMBER), RULE),
    ("HTTPRoute", "rules[0].retry.backoff", NO_TIME, RULE),
    ("HTTPRoute", "rules[0].retry.codes[0]", (200, 600), RULE),
    ("HTTPRoute", "rules[0].backendRefs[0].weight", (1_000_001, *NO_NUMBER), {**RULE, "rules": [{"backendRefs": [{"name": "shop", "port": 80}]}]}),
    ("HTTPRoute", "rules[0].backendRefs[0].port", (0, 65536, *NO_NUMBER), {**RULE, "rules": [{"backendRefs": [{"name": "shop"}]}]}),
    ("HTTPRoute", "rules[0].matches[0].path.value", (EXPLODES, "(a"), {**RULE, "rules": [{"matches": [{"path": {"type": "RegularExpression"}}]}]}),
    (
        "HTTPRoute",
        "rules[0].matches[0].headers[0].value",
        (EXPLODES, "(a"),
        {**RULE, "rules": [{"matches": [{"headers": [{"name": "x", "type": "RegularExpression"}]}]}]},
    ),
    (
        "HTTPRoute",
        "rules[0].matches[0].queryParams[0].value",
        (EXPLODES, "(a"),
        {**RULE, "rules": [{"matches": [{"queryParams": [{"name": "x", "type": "RegularExpression"}]}]}]},
    ),
    (
        "HTTPRoute",
        "rules[0].filters[0].requestMirror.percent",
        (101, *NO_NUMBER),
        {**RULE, "rules": [{"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "shop", "port": 80}}}]}]},
    ),
    (
        "HTTPRoute",
        "rules[0].filters[0].requestRedirect.statusCode",
        (200, 304, *NO_NUMBER),
        {**RULE, "rules": [{"filters": [{"type": "RequestRedirect", "requestRedirect": {}}]}]},
    ),
    (
        "HTTPRoute",
        "rules[0].filters[0].cors.maxAge",
        (0, *NO_NUMBER),
        {**RULE, "rules": [{"filters": [{"type": "CORS", "cors": {"allowOrigins": ["*"]}}]}]},
    ),
    ("GRPCRoute", "rules", ([],), RULE),
    ("GRPCRoute", "rules[0].matches[0].method.service", (EXPLODES, "(a"), {**RULE, "rules": [{"matches": [{"method": {"type": "RegularExpression"}}]}]}),
    ("GRPCRoute", "rules[0].matches[0].method.method", (EXPLODES, "(a"), {**RULE, "rules": [{"matches": [{"method": {"type": "RegularExpression"}}]}]}),
    (
        "GRPCRoute",
        "rules[0].matches[0].headers[0].value",
        (EXPLODES, "(a"),
        {**RULE, "rules": [{"matches": [{"headers": [{"name": "x", "type": "RegularExpression"}]}]}]},
    ),
    ("GRPCRoute", "rules[0].backendRefs[0].weight", (1_000_001, *NO_NUMBER), {**RULE, "rules": [{"backendRefs": [{"name": "shop", "port": 80}]}]}),
    ("Service", "ports", ([],), {}),
    ("Service", "ports[0].port", (0, 65536, *NO_NUMBER), {}),
    ("Service", "endpoints[0].static[0].weight", (0, 10_001, *NO_NUMBER), {**PORTS, "endpoints": [{"static": [{"address": "127.0.0.1:1"}]}]}),
    ("Service", "endpoints[0].static[0].port", (0, 65536, *NO_NUMBER), {**PORTS, "endpoints": [{"static": [{"address": "127.0.0.1:1"}]}]}),
    ("MeshConfig", "defaults.timeouts.connect", NO_TIME, {}),
    ("MeshConfig", "defaults.retries.attempts", (101, *NO_NUMBER), {}),
    ("MeshConfig", "egress.hosts[0].port", (0, 65536, *NO_NUMBER), {"egress": {"policy": "AllowList", "hosts": [{"host": "far.test"}]}}),
]
AROUND = {"TrafficPolicy": ABOUT, "RateLimitPolicy": ABOUT, "HTTPRoute": {}, "GRPCRoute": {}, "Service": {}, "MeshConfig": {}}
CASES = [(kind, field, value, around) for kind, field, values, around in SETTINGS for value in values]


def steps(field):
    return [int(step) if step.isdigit() else step for step in re.findall(r"\w+", field)]


def put(spec, path, value):
    """The spec with this value at that place; what is not there on the way is made."""
    spec = copy.deepcopy(spec)
    node = spec
    for step, following in zip(path, [*path[1:], None], strict=True):
        if isinstance(step, int) and len(node) == step:
            node.append(None)
        there = node[step] if isinstance(step, int) else node.get(step)
        if following is None:
            node[step] = value
        elif there is None:
            node[step] = [] if isinstance(following, int) else {}
        node = node[step]
    return spec


def document(kind, name, spec):
    version = VERSIONS.get(kind, "weft.dev/v1")
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  {json.dumps(spec)}\n"


def checked(tmp_path, kind, spec):
    text = document(kind, NAMES.get(kind, "absurd"), spec)
    if kind != "Service":
        text = document("Service", "shop", {"ports": [{"port": 80}]}) + "---\n" + text
    file = tmp_path / "mesh.yaml"
    file.write_text(text)
    said = run([binary("weft"), "up", file, "--check"], tmp_path)
    return said.returncode, said.stdout + said.stderr, text.count("\n")


@pytest.mark.parametrize(("kind", "field", "value", "around"), CASES, ids=[f"{kind} {field} {value}"[:90] for kind, field, value, _ in CASES])
def test_it_is_refused_where_it_stands(tmp_path, kind, field, value, around):
    code, said, line = checked(tmp_path, kind, put({**AROUND[kind], **around}, steps(field), value))
    assert code == 1, f"accepted: {said}"
    name = NAMES.get(kind, "absurd")
    assert re.search(rf"mesh\.yaml:{line}:\d+: {kind}/{name} spec\.{re.escape(field)}: ", said), said
    assert "hint: " in said
