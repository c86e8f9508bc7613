"""Clusters of several upstreams: whom requests reach, and how they are shared out."""

from differential.behind import TYPE, to_each
from harness.config import cluster, eds_cluster, endpoint, path_source

POLICIES = "envoy.extensions.load_balancing_policies."
UPSTREAMS = "abcd"
ASSIGNMENT = "envoy.config.endpoint.v3.ClusterLoadAssignment"


def policy(kind, message, **config):
    """A load balancer said by extension, after one that nobody has."""
    unknown = {"name": "unknown", "typed_config": {"@type": TYPE + "google.protobuf.StringValue", "value": "nobody's"}}
    known = {"name": kind, "typed_config": {"@type": f"{TYPE}{POLICIES}{kind}.v3.{message}", **config}}
    made = [unknown, known] if kind == "round_robin" else [known]
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": one} for one in made]}}


def group(*endpoints, zone=None, **more):
    place = {"locality": {"region": "r1", "zone": zone, "sub_zone": f"{zone}-sub"}} if zone else {}
    return {"lb_endpoints": list(endpoints), **place, **more}


def of(name, *groups, policy=None, **more):
    """A cluster of these localities."""
    made = cluster(name, **more)
    made["load_assignment"] = {"cluster_name": name, "endpoints": list(groups), **({"policy": policy} if policy else {})}
    return made


def clusters(ports):
    """All of them; `ports` are those of the upstreams by name."""
    a, b, c, d = (ports[name] for name in UPSTREAMS)
    plain = group(*map(endpoint, (a, b, c)))
    state = lambda port, status: endpoint(port, health_status=status)
    weight = lambda port, parts: endpoint(port, load_balancing_weight=parts)
    sick = group(state(a, "UNHEALTHY"), state(b, "TIMEOUT"), state(c, "DRAINING"))
    zones = [group(endpoint(a), zone="z1", load_balancing_weight=1), group(endpoint(b), endpoint(c), zone="z2", load_balancing_weight=3)]
    two_levels = lambda *first: [group(*first), group(endpoint(d), priority=1)]
    by_zone = {"locality_weighted_lb_config": {}}
    failing = {"zone_aware_lb_config": {"fail_traffic_on_panic": True}}
    biased = {"active_request_bias": {"default_value": 1.0, "runtime_key": "bias"}}
    return [
        of("round-robin", plain),
        of("least", plain, lb_policy="LEAST_REQUEST", least_request_lb_config={"choice_count": 3, **biased}),
        of("random", plain, lb_policy="RANDOM"),
        of("by-extension", plain, **policy("round_robin", "RoundRobin")),
        of("least-by-extension", plain, **policy("least_request", "LeastRequest", choice_count=3, selection_method="N_CHOICES", **biased)),
        of("random-by-extension", plain, **policy("random", "Random")),
        of("said-to-be-by-extension", plain, lb_policy="LOAD_BALANCING_POLICY_CONFIG", **policy("random", "Random")),
        of("weights", group(weight(a, 1), weight(b, 3))),
        of("least-weights", group(weight(a, 1), weight(b, 3)), lb_policy="LEAST_REQUEST"),
        of("some-sick", group(endpoint(a), state(b, "UNHEALTHY"), state(c, "HEALTHY"), state(d, "UNKNOWN"))),
        of("degraded", group(endpoint(a), state(b, "DEGRADED"))),
        of("all-degraded", group(state(a, "DEGRADED"), state(b, "DEGRADED"))),
        of("panic", sick),
        of("no-panic", sick, common_lb_config={"healthy_panic_threshold": {"value": 0}}),
        of("panic-fails", sick, common_lb_config=failing),
        of("panic-fails-by-extension", sick, **policy("round_robin", "RoundRobin", locality_lb_config=failing)),
        of("panic-fails-by-random", sick, **policy("random", "Random", locality_lb_config=failing)),
        of("panic-fails-by-least", sick, **policy("least_request", "LeastRequest", locality_lb_config=failing)),
        of("first-level", *two_levels(endpoint(a))),
        of("next-level", *two_levels(state(a, "UNHEALTHY"))),
        of("spilling", *two_levels(endpoint(a), state(b, "UNHEALTHY"))),
        of("spilling-less", *two_levels(endpoint(a), state(b, "UNHEALTHY")), policy={"overprovisioning_factor": 200}),
        of("spilling-more", *two_levels(endpoint(a), state(b, "UNHEALTHY")), policy={"overprovisioning_factor": 100}),
        of("zones", *zones),
        of("zones-weighted", *zones, common_lb_config={**by_zone, "close_connections_on_host_set_change": True}),
        of("zones-by-extension", *zones, **policy("round_robin", "RoundRobin", locality_lb_config=by_zone)),
        of("nobody"),
    ]


def by_file(folder):
    """A cluster whose endpoints a file says."""
    made = eds_cluster("by-file", source=path_source(f"{folder}/endpoints.json", watched_directory={"path": folder}))
    made["eds_cluster_config"]["service_name"] = "service"
    return made


def world(ports, folder):
    return to_each([*clusters(ports), by_file(folder)])


def endpoints_file(ports):
    """The file of that cluster."""
    said = {"@type": TYPE + ASSIGNMENT, "cluster_name": "service", "endpoints": [group(endpoint(ports["a"]), endpoint(ports["d"]))]}
    return {"version_info": "1", "resources": [said]}
