"""Clusters that hash, said in both ways, and what requests are hashed by."""

from differential.balancing import policy
from harness.config import bootstrap, cluster, endpoint, hcm, listener, route, routes, virtual_host

COOKIE = {
    "cookie": {
        "name": "who",
        "ttl": "60s",
        "path": "/cookie",
        "attributes": [{"name": "Secure"}, {"name": "SameSite", "value": "Lax"}],
    }
}
BY_USER = {"header": {"header_name": "x-user"}}
POLICIES = {
    "header": [BY_USER],
    "path": [{"header": {"header_name": ":path"}}],
    "rewritten": [{"header": {"header_name": "x-user", "regex_rewrite": {"pattern": {"regex": "[0-4]"}, "substitution": "0"}}}],
    "cookie": [COOKIE],
    "query": [{"query_parameter": {"name": "q"}}],
    "source": [{"connection_properties": {"source_ip": True}}],
    "parts": [BY_USER, {"query_parameter": {"name": "q"}}],
    "terminal": [{**BY_USER, "terminal": True}, {"query_parameter": {"name": "q"}}],
}
BY_NAME = {"consistent_hashing_lb_config": {"use_hostname_for_hashing": True}}
SMALL = {"minimum_ring_size": 17, "maximum_ring_size": 23}
CLUSTERS = {
    "ring": {"lb_policy": "RING_HASH"},
    "small": {"lb_policy": "RING_HASH", "ring_hash_lb_config": SMALL},
    "by-name": {"lb_policy": "RING_HASH", "common_lb_config": BY_NAME},
    "maglev": {"lb_policy": "MAGLEV"},
    "table": {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 257}},
}
# The same by extension, and what only that can say.
EXTENSIONS = {
    "extended-ring": policy("ring_hash", "RingHash", **SMALL, hash_function="XX_HASH", use_hostname_for_hashing=True),
    "extended-by-name": policy("ring_hash", "RingHash", **BY_NAME),
    "extended-zones": policy("ring_hash", "RingHash", locality_weighted_lb_config={}),
    "extended-maglev": policy("maglev", "Maglev", table_size=257, **BY_NAME),
    "extended-maglev-zones": policy("maglev", "Maglev", locality_weighted_lb_config={}),
}


def endpoints(ports):
    """Weights differ, one endpoint has a key of its own for hashing, and all have names."""
    for weight, port in enumerate(ports, start=1):
        key = {"filter_metadata": {"envoy.lb": {"hash_key": "its-own-key"}}}
        more = {"metadata": key} if weight == 2 else {}
        made = endpoint(port, load_balancing_weight=weight, **more)
        made["endpoint"]["hostname"] = f"host-{weight}"
        yield made


def clustered(name, ports, more):
    """In two localities of different weight where that is asked for."""
    made = cluster(name, *endpoints(ports), **more)
    if "hostname" in str(more):
        # Envoy has names of endpoints only where it looks them up.
        made["type"] = "STRICT_DNS"
    if name.endswith("zones"):
        all_of_them = made["load_assignment"]["endpoints"][0]["lb_endpoints"]
        made["load_assignment"]["endpoints"] = [
            {"locality": {"zone": zone}, "load_balancing_weight": weight, "lb_endpoints": part}
            for zone, weight, part in (("z1", 1, all_of_them[:2]), ("z2", 4, all_of_them[2:]))
        ]
    return made


def world(ports):
    """`/policy/cluster/` leads to that cluster by that policy; `/cookie` gives one."""
    clusters = [clustered(name, ports, more) for name, more in (CLUSTERS | EXTENSIONS).items()]
    entries = [
        route(f"/{policy}/{name}/", {"cluster": name, "hash_policy": parts})
        for policy, parts in POLICIES.items()
        for name in (CLUSTERS | EXTENSIONS)
    ]
    entries.append(route("/cookie", {"cluster": "ring", "hash_policy": [COOKIE]}))
    config = hcm(routes("r", virtual_host("main", ["*"], *entries)))
    return bootstrap([listener("main", config)], clusters)
