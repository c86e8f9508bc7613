"""Clusters that have all they may: limits, and requests that are under way meanwhile."""

from dataclasses import dataclass, field

from harness.config import HTTP_OPTIONS, bootstrap, cluster, hcm, listener, route, routes, virtual_host

# Limits, each alone and some together.
LIMITS = {
    "none": {},
    "requests-1": {"max_requests": 1},
    "requests-2": {"max_requests": 2},
    "requests-4": {"max_requests": 4},
    "connections-1": {"max_connections": 1},
    "connections-2": {"max_connections": 2},
    "connections-3": {"max_connections": 3},
    "pending-1": {"max_connections": 1, "max_pending_requests": 1},
    "pending-2": {"max_connections": 1, "max_pending_requests": 2},
    "pending-2-of-2": {"max_connections": 2, "max_pending_requests": 2},
    "no-pending": {"max_connections": 1, "max_pending_requests": 0},
    "requests-within-connections": {"max_connections": 3, "max_requests": 2},
    "connections-within-requests": {"max_connections": 1, "max_requests": 2},
    "all-of-1": {"max_connections": 1, "max_pending_requests": 1, "max_requests": 1},
    "all-of-2": {"max_connections": 2, "max_pending_requests": 2, "max_requests": 2},
    "pools-1": {"max_connection_pools": 1},
}
PRIORITIES = ("DEFAULT", "HIGH")
# The last of one stream at a time on each connection.
KINDS = ("h1", "h2", "h2-of-1")


def name_of(kind, limits):
    return f"{kind}-{limits}"


@dataclass
class Case:
    """So many requests at once, some of them of high priority."""

    kind: str
    limits: str
    # `d` and `h`, by priority, in the order in which they are sent.
    requests: str

    @property
    def name(self):
        return f"{self.kind}/{self.limits}/{self.requests}"

    @property
    def cluster(self):
        return name_of(self.kind, self.limits)


def cases():
    for kind in KINDS:
        for limits in LIMITS:
            for requests in ("d", "ddd", "ddddd", "hhh", "dhdh", "dddhhh", "hdddd"):
                yield Case(kind, limits, requests)


def protocol(kind):
    streams = {"max_concurrent_streams": 1} if kind == "h2-of-1" else {}
    of_http2 = {"@type": f"type.googleapis.com/{HTTP_OPTIONS}", "explicit_http_config": {"http2_protocol_options": streams}}
    return {} if kind == "h1" else {"typed_extension_protocol_options": {HTTP_OPTIONS: of_http2}}


def world(port):
    """`/cluster/priority` reaches that cluster as a request of that priority."""
    made, entries = [], []
    for kind in KINDS:
        for limits, said in LIMITS.items():
            name = name_of(kind, limits)
            thresholds = [{"priority": priority, "track_remaining": True, **said} for priority in PRIORITIES]
            made.append(cluster(name, port, circuit_breakers={"thresholds": thresholds}, **protocol(kind)))
            entries += [route(f"/{name}/{priority[0].lower()}", {"cluster": name, "priority": priority, "timeout": "0s"}) for priority in PRIORITIES]
    return bootstrap([listener("main", hcm(routes("r", virtual_host("all", ["*"], *entries))))], made)


# What a cluster tells of its limits.
GAUGES = tuple(
    f"circuit_breakers.{priority}.{name}"
    for priority in ("default", "high")
    for name in ("cx_open", "rq_pending_open", "rq_open", "rq_retry_open", "cx_pool_open", "remaining_cx", "remaining_pending", "remaining_rq", "remaining_retries", "remaining_cx_pools")
)
COUNTERS = ("upstream_rq_pending_overflow", "upstream_rq_pending_total", "upstream_rq_total", "upstream_cx_total", "upstream_cx_overflow", "upstream_cx_pool_overflow", "upstream_rq_active_overflow")


@dataclass(frozen=True)
class Difference:
    """One that is on purpose."""

    cases: str
    paths: str
    why: str = field(repr=False)


DIFFERENT = [
    Difference(
        r"[^/]*/(?!pools).*",
        r"meanwhile\.circuit_breakers\.(default|high)\.remaining_cx_pools",
        "Pools are counted where there may be only so many; of the endless many that else may be, Envoy tells how many are left.",
    ),
    Difference(
        r"[^/]*/no-pending/.*",
        r"meanwhile\.circuit_breakers\.(default|high)\.rq_pending_open",
        "A limit of 0 is reached from the start; Envoy tells so only when something has changed that it limits.",
    ),
    Difference(
        r"(h1|h2-of-1)/.*",
        r"counter\.upstream_cx_overflow",
        "Each request that finds no connection is counted once; Envoy counts it again whenever it looks whether there is one now.",
    ),
]
