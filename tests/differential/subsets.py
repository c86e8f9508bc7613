"""Clusters divided by the metadata of their endpoints, and routes that ask for it."""

from harness.config import bootstrap, cluster, endpoint, hcm, listener, route, routes, virtual_host

# What each endpoint says of itself.
ENDPOINTS = [
    {"version": "v1", "stage": "prod"},
    {"version": "v1", "stage": "prod", "shape": ["round", "flat"]},
    {"version": "v2", "stage": "prod", "shape": "round"},
    {"version": "v2", "stage": "dev", "shape": ["flat"]},
    {"version": 2, "stage": "dev", "old": True},
    {},
]


def selectors(*keys):
    return {"subset_selectors": [{"keys": list(each)} for each in keys]}


OWN = [
    {"keys": ["version", "stage"], "fallback_policy": "KEYS_SUBSET", "fallback_keys_subset": ["stage"]},
    {"keys": ["stage"], "fallback_policy": "NO_FALLBACK"},
    {"keys": ["version"], "fallback_policy": "ANY_ENDPOINT"},
    {"keys": ["shape"], "fallback_policy": "DEFAULT_SUBSET"},
]
EACH = selectors(["version"], ["stage", "version"], ["shape"], ["old"])
CLUSTERS = {
    "none": EACH,
    "any": {**EACH, "fallback_policy": "ANY_ENDPOINT"},
    "default": {**EACH, "fallback_policy": "DEFAULT_SUBSET", "default_subset": {"stage": "dev"}},
    "lists": {**EACH, "list_as_any": True, "fallback_policy": "DEFAULT_SUBSET", "default_subset": {"shape": "flat"}},
    "panic": {**EACH, "fallback_policy": "DEFAULT_SUBSET", "default_subset": {"stage": "gone"}, "panic_mode_any": True},
    "nobody": {**EACH, "fallback_policy": "DEFAULT_SUBSET", "default_subset": {"stage": "gone"}},
    "own": {"subset_selectors": OWN, "default_subset": {"version": "v1"}},
    "zones": {**EACH, "locality_weight_aware": True},
    "unaware": EACH,
    "unselected": {"fallback_policy": "NO_FALLBACK"},
}
ASKED = {
    "nothing": {},
    "v1": {"version": "v1"},
    "v2": {"version": "v2"},
    "number": {"version": 2},
    "text": {"version": "2"},
    "both": {"version": "v2", "stage": "dev"},
    "neither": {"version": "v3", "stage": "dev"},
    "stage": {"stage": "prod"},
    "no-stage": {"stage": "test"},
    "v3": {"version": "v3"},
    "round": {"shape": "round"},
    "flat": {"shape": "flat"},
    "list": {"shape": ["round", "flat"]},
    "square": {"shape": "square"},
    "old": {"old": True},
    "unknown": {"colour": "red"},
    "too-many": {"version": "v1", "shape": "round", "stage": "prod"},
}


def labelled(labels):
    return {"filter_metadata": {"envoy.lb": labels}}


def divided(name, ports, rules):
    members = [endpoint(port, metadata=labelled(labels)) for port, labels in zip(ports, ENDPOINTS, strict=True)]
    made = cluster(name, *members, lb_subset_config=rules)
    if name in ("zones", "unaware"):
        # The second locality has no weight: where weights hold it takes nothing.
        made["common_lb_config"] = {"locality_weighted_lb_config": {}}
        made["load_assignment"]["endpoints"] = [
            {"locality": {"zone": "z1"}, "load_balancing_weight": 1, "lb_endpoints": [members[0], members[2], members[4]]},
            {"locality": {"zone": "z2"}, "lb_endpoints": [members[1], members[3], members[5]]},
        ]
    return made


def world(ports):
    """`/cluster/labels/` asks that cluster for these; `/split/` asks more of one of two clusters."""
    entries = [
        route(f"/{name}/{asked}/", {"cluster": name, "metadata_match": labelled(labels)})
        for name in CLUSTERS
        for asked, labels in ASKED.items()
    ]
    one = {"name": "any", "weight": 1, "metadata_match": labelled({"version": "v2"})}
    entries += [
        route(f"/split/{name}/", {"weighted_clusters": {"clusters": [one]}, "metadata_match": labelled(labels)})
        for name, labels in (("more", {"stage": "dev"}), ("other", {"version": "v1"}), ("nothing", {}))
    ]
    entries.append(route("/plain/", "default"))
    clusters = [divided(name, ports, rules) for name, rules in CLUSTERS.items()]
    config = hcm(routes("r", virtual_host("main", ["*"], *entries)))
    return bootstrap([listener("main", config)], clusters)
