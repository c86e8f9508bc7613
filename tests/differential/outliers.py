"""Endpoints that fail: what is looked for, and what becomes of each request."""

from dataclasses import dataclass, field

from harness.config import HTTP_OPTIONS, bootstrap, cluster, endpoint, hcm, listener, route, routes, virtual_host

# Endpoints by a letter; nobody listens at the last one.
HOSTS = "abcdx"
# What is to become of a request; the last is no answer at all.
ANSWERS = {"o": 200, "4": 404, "5": 500, "2": 502, "3": 503, "9": 504, "r": None}

QUIET = dict.fromkeys(("enforcing_consecutive_5xx", "enforcing_consecutive_gateway_failure", "enforcing_success_rate", "enforcing_local_origin_success_rate", "enforcing_consecutive_local_origin_failure"), 0)
ALL = {"max_ejection_percent": 100}
SPLIT = {**QUIET, **ALL, "split_external_local_origin_errors": True}
GATEWAY = {**QUIET, **ALL, "consecutive_gateway_failure": 2, "enforcing_consecutive_gateway_failure": 100}

DETECTION = {
    "default": {},
    "all": {**ALL},
    "2": {**ALL, "consecutive_5xx": 2},
    "1": {**ALL, "consecutive_5xx": 1},
    "half": {"max_ejection_percent": 50, "consecutive_5xx": 2},
    "none": {"max_ejection_percent": 0, "consecutive_5xx": 2},
    "always-one": {"max_ejection_percent": 0, "always_eject_one_host": True, "consecutive_5xx": 2},
    "told": {**QUIET, **ALL, "consecutive_5xx": 2},
    "gateway": GATEWAY,
    "gateway-and-5xx": {**GATEWAY, "consecutive_5xx": 3, "enforcing_consecutive_5xx": 100},
    "gateway-told": {**QUIET, **ALL, "consecutive_gateway_failure": 2},
    "split": {**SPLIT, "consecutive_local_origin_failure": 2, "enforcing_consecutive_local_origin_failure": 100},
    "split-5xx": {**SPLIT, "consecutive_5xx": 2, "enforcing_consecutive_5xx": 100},
    "split-told": {**SPLIT, "consecutive_local_origin_failure": 2},
    "split-gateway": {**SPLIT, "consecutive_gateway_failure": 2, "enforcing_consecutive_gateway_failure": 100},
}
SCRIPTS = {
    "nothing": "ao bo co",
    "a run": "a5 a5 a5 a5 a5 ao bo",
    "two": "a5 a5 ao bo",
    "broken runs": "a5 ao a5 ao a5 a4 a5 ao",
    "runs of two": "a5 b5 a5 b5 ao bo",
    "three of them": "a5 a5 b5 b5 c5 c5 ao bo co do",
    "all of them": "x5 x5 a5 a5 b5 b5 c5 c5 d5 d5 do",
    "gateways": "a2 a3 ao bo",
    "a gateway between": "a2 a5 a3 a9 ao",
    "timed out beyond": "a9 a9 ao",
    "client errors": "a4 a4 a4 a4 a4 a4 ao",
    "hangs up": "ar ar ao bo",
    "hangs up and fails": "ar a5 ao",
    "nobody there": "xo xo xo ao",
    "nobody there for long": "xo xo xo xo xo xo ao",
    "nobody and somebody": "xo a5 xo a5 xo ao",
}


@dataclass
class Case:
    """A cluster of its own, which nobody else has asked anything."""

    detection: str
    script: str

    @property
    def name(self):
        return f"{self.detection}/{self.script}"

    @property
    def cluster(self):
        return self.name.replace(" ", "-").replace("/", "-of-")

    def steps(self):
        """Which endpoint is asked, and what it is to answer."""
        for step in SCRIPTS[self.script].split():
            yield step[0], ANSWERS[step[1]]


def cases():
    for detection in DETECTION:
        for script in SCRIPTS:
            yield Case(detection, script)


def world(ports):
    """`/cluster/host` asks that endpoint of that cluster, as long as it takes requests."""
    made, entries = [], []
    named = {letter: endpoint(port, metadata={"filter_metadata": {"envoy.lb": {"host": letter}}}) for letter, port in zip(HOSTS, ports)}
    for case in cases():
        detection = {"interval": "3600s", "base_ejection_time": "3600s", "max_ejection_time": "7200s", **DETECTION[case.detection]}
        subsets = {"subset_selectors": [{"keys": ["host"]}], "fallback_policy": "NO_FALLBACK"}
        made.append(
            cluster(
                case.cluster,
                *named.values(),
                outlier_detection=detection,
                lb_subset_config=subsets,
                # Envoy's workers are told of what changed within a second of another change a second later.
                common_lb_config={"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
                # A connection that ended is none to find out about with the next request.
                typed_extension_protocol_options={HTTP_OPTIONS: HTTP1},
            )
        )
        once = {"retry_policy": {"retry_on": "5xx", "num_retries": 0}}
        entries += [
            route(f"/{case.cluster}/{letter}", {"cluster": case.cluster, "metadata_match": named[letter]["metadata"], **once})
            for letter in named
        ]
    return bootstrap([listener("main", hcm(routes("r", virtual_host("all", ["*"], *entries))))], made)


HTTP1 = {
    "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
    "explicit_http_config": {"http_protocol_options": {}},
    "common_http_protocol_options": {"max_requests_per_connection": 1},
}
WAYS = ("consecutive_5xx", "consecutive_gateway_failure", "consecutive_local_origin_failure")
COUNTERS = ("ejections_active", "ejections_overflow", "ejections_enforced_total", *(f"ejections_{what}_{way}" for what in ("detected", "enforced") for way in WAYS))


@dataclass(frozen=True)
class Difference:
    """One that is on purpose."""

    cases: str
    paths: str
    why: str = field(repr=False)


DIFFERENT = [
    Difference(
        r"[12]/all of them",
        r"(8|9|10)\.(status|ejected)|ejections_.*",
        "The last endpoint that takes requests is never left alone; Envoy leaves all of them alone where max_ejection_percent is 100.",
    ),
]
