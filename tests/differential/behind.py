"""Worlds and cases of clusters: protocols, limits, addresses, names, and other ways to say them."""

from differential.case import both, plan
from harness.config import HTTP_OPTIONS, address, assignment, bootstrap, cluster, hcm, listener, route, routes, virtual_host

TYPE = "type.googleapis.com/"
CARES = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
DNS_CLUSTER = "envoy.extensions.clusters.dns.v3.DnsCluster"
AGGREGATE = "envoy.extensions.clusters.aggregate.v3.ClusterConfig"
RAW_BUFFER = {"name": "raw", "typed_config": {"@type": TYPE + "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}


def spoken(**config):
    """Says by extension how a cluster speaks."""
    return {"typed_extension_protocol_options": {HTTP_OPTIONS: {"@type": TYPE + HTTP_OPTIONS, **config}}}


def to_each(clusters, **more):
    """A world in which `/name` leads to the cluster of that name, with `more` in every route."""
    entries = (route(f"/{made['name']}", {"cluster": made["name"], **more}) for made in clusters)
    table = routes("main", virtual_host("main", ["*"], *entries))
    return bootstrap([listener("main", hcm(table))], clusters)


EXPLICIT_1 = {"explicit_http_config": {"http_protocol_options": {}}}
DOWNSTREAM = {"use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}}}


def protocols(ports):
    """How upstreams are spoken to, said in today's way and in the old one."""
    up = ports["up"]
    common = lambda **settings: spoken(common_http_protocol_options=settings, **EXPLICIT_1)
    old = {"common_http_protocol_options": {"idle_timeout": "9s"}, "transport_socket": RAW_BUFFER}
    return to_each(
        [
            cluster("explicit-1", up, **spoken(**EXPLICIT_1)),
            cluster("downstream", up, **spoken(**DOWNSTREAM)),
            cluster("downstream-1-only", up, **spoken(use_downstream_protocol_config={"http_protocol_options": {}})),
            cluster("old-downstream", up, protocol_selection="USE_DOWNSTREAM_PROTOCOL", http2_protocol_options={}),
            cluster("old-2", up, http2_protocol_options={}, **old),
            cluster("old-once", up, max_requests_per_connection=1),
            cluster("once", up, **common(max_requests_per_connection=1)),
            cluster("often", up, **common(max_requests_per_connection=1000, idle_timeout="9s", max_connection_duration="9s")),
            cluster("few-fields", up, **common(max_headers_count=4)),
            cluster("small-heads", up, **common(max_response_headers_kb=1)),
            cluster("short-streams", up, **common(max_stream_duration="0.3s")),
            cluster("pipe", endpoint_at({"pipe": {"path": ports["pipe"]}})),
            cluster("small-buffers", up, per_connection_buffer_limit_bytes=1024),
            cluster("far-side", {"endpoint": {"address": {"socket_address": {**address(up)["socket_address"], "protocol": "TCP"}}}}),
        ]
    )


def endpoint_at(place, **more):
    return {"endpoint": {"address": place, **more}}


def limits(ports):
    """Clusters that are full before anybody came, and some that are not."""
    up = ports["up"]
    breakers = lambda **one: {"circuit_breakers": {"thresholds": [one]}}
    overload = lambda numerator, denominator: {
        "policy": {"drop_overloads": [{"category": "load", "drop_percentage": {"numerator": numerator, "denominator": denominator}}]}
    }
    dropping = lambda name, *share: cluster(name) | {"load_assignment": {**assignment(name, up), **overload(*share)}}
    return to_each(
        [
            cluster("no-requests", up, **breakers(max_requests=0)),
            cluster("no-pending", up, **breakers(max_pending_requests=0)),
            cluster("no-requests-2", up, **breakers(max_requests=0), **spoken(explicit_http_config={"http2_protocol_options": {}})),
            cluster("high-only", up, **breakers(priority="HIGH", max_requests=0, max_connections=0)),
            cluster("one", up, **breakers(max_connections=1, max_requests=1, track_remaining=True)),
            dropping("drops-all", 100, "HUNDRED"),
            dropping("drops-all-by-millions", 1_000_000, "MILLION"),
            dropping("drops-none", 0, "TEN_THOUSAND"),
        ]
    )


def high(ports):
    """Requests of high priority to clusters that are full for one priority."""
    up = ports["up"]
    breakers = lambda **one: {"circuit_breakers": {"thresholds": [one], "per_host_thresholds": [{"max_connections": 9, "priority": one["priority"]}]}}
    return to_each(
        [
            cluster("full-for-high", up, **breakers(priority="HIGH", max_requests=0)),
            cluster("full-for-default", up, **breakers(priority="DEFAULT", max_requests=0)),
            cluster("without-limits", up),
        ],
        priority="HIGH",
    )


def addresses(ports):
    """Endpoints that take some trying, and connections that come from somewhere."""
    up = ports["up"]
    bound = lambda host, **more: {"upstream_bind_config": {"source_address": {"address": host, "port_value": 0}, **more}}
    further = [{"address": address(up)}]
    six = {"extra_source_addresses": [{"address": {"address": "::1", "port_value": 0}}]}
    aggregate = {"name": "envoy.clusters.aggregate", "typed_config": {"@type": TYPE + AGGREGATE, "clusters": ["nobody", "plain"]}}
    made = [
        cluster("bound", up, **bound("127.0.0.9", freebind=True)),
        cluster("bound-six", endpoint_at(address(ports["six"], "::1")), **bound("127.0.0.9", **six)),
        cluster("further", endpoint_at(address(ports["refused"]), additional_addresses=further)),
        cluster(
            "six-first",
            endpoint_at(address(ports["refused"]), additional_addresses=[{"address": address(ports["six"], "::1")}]),
            upstream_connection_options={"happy_eyeballs_config": {"first_address_family_version": "V6", "first_address_family_count": 2}},
        ),
        cluster("plain", up, upstream_connection_options={"tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 60, "keepalive_interval": 5}}),
        cluster("nobody"),
        cluster("aggregate", lb_policy="CLUSTER_PROVIDED", cluster_type=aggregate),
        cluster("destination", type="ORIGINAL_DST", lb_policy="CLUSTER_PROVIDED", original_dst_lb_config={"use_http_header": True}, cleanup_interval="9s"),
        cluster(
            "named-header",
            type="ORIGINAL_DST",
            lb_policy="CLUSTER_PROVIDED",
            original_dst_lb_config={"use_http_header": True, "http_header_name": "x-where", "upstream_port_override": up},
        ),
    ]
    for one in made:
        if one["name"] in ("aggregate", "destination", "named-header"):
            del one["load_assignment"]
        if one["name"] == "aggregate":
            del one["type"]
    return to_each(made)


def resolver(port, **more):
    """Has names looked up where the test says."""
    options = {"no_default_search_domain": True, **more}
    config = {
        "@type": TYPE + CARES,
        "resolvers": [address(port)],
        "dns_resolver_options": options,
        "query_timeout_seconds": 2,
        "query_tries": 2,
        "rotate_nameservers": True,
    }
    return {"typed_dns_resolver_config": {"name": "envoy.network.dns_resolver.cares", "typed_config": config}}


def names(ports):
    """Upstreams found by name."""
    up, dns = ports["up"], ports["dns"]
    rates = {"dns_refresh_rate": "5s", "dns_jitter": "0.1s"}
    failing = {"dns_failure_refresh_rate": {"base_interval": "1s", "max_interval": "3s"}}
    at = lambda host: endpoint_at(address(up, host))
    four = {"dns_lookup_family": "V4_ONLY"}
    old = {"dns_resolution_config": {"resolvers": [address(dns)], "dns_resolver_options": {"use_tcp_for_dns_lookups": True, "no_default_search_domain": True}}}
    ancient = {"dns_resolvers": [address(dns)], "use_tcp_for_dns_lookups": True}

    def by_extension(name, host, **more):
        config = {"@type": TYPE + DNS_CLUSTER, **four, **rates, **failing, "respect_dns_ttl": True, **resolver(dns), **more}
        made = cluster(name, at(host), cluster_type={"name": "envoy.cluster.dns", "typed_config": config})
        del made["type"]
        return made

    return to_each(
        [
            cluster("strict", at("up.test"), type="STRICT_DNS", **four, **rates, **failing, **resolver(dns)),
            cluster("logical", at("up.test"), type="LOGICAL_DNS", **four, respect_dns_ttl=True, **resolver(dns)),
            cluster("alias", at("alias.test"), type="LOGICAL_DNS", **four, **resolver(dns)),
            cluster("over-tcp", at("up.test"), type="STRICT_DNS", **four, **resolver(dns, use_tcp_for_dns_lookups=True)),
            cluster("unknown", at("unknown.test"), type="STRICT_DNS", **four, **resolver(dns)),
            cluster("no-wait", at("unknown.test"), type="LOGICAL_DNS", wait_for_warm_on_init=False, **four, **resolver(dns)),
            cluster("old", at("up.test"), type="STRICT_DNS", **four, **old),
            cluster("ancient", at("up.test"), type="STRICT_DNS", **four, **ancient),
            by_extension("extension", "up.test"),
            by_extension("extension-single", "up.test", all_addresses_in_single_endpoint=True),
        ]
    )


WORLDS = {"protocols": protocols, "cluster-limits": limits, "high-priority": high, "addresses": addresses, "names": names}


def cases():
    """Requests to every cluster of these worlds."""
    ports = {"up": 1, "six": 1, "refused": 1, "pipe": "/", "dns": 1}
    for world, make in WORLDS.items():
        for made in make(ports)["static_resources"]["clusters"]:
            name = made["name"]
            yield from both(world, name, target=f"/{name}", looks=("fresh",) if "once" in name else ())
            yield from both(world, f"{name} again", target=f"/{name}/x", method="POST", body="again", looks=("fresh",) if "once" in name else ())
    yield from both("protocols", "much through small buffers", target="/small-buffers", method="POST", body="b" * 50_000, headers=plan(fill=50_000))
    for count in (0, 2, 4, 6):
        yield from both("protocols", f"{count} fields in answer", target="/few-fields", headers=plan(headers=[[f"x-{n}", "v"] for n in range(count)]))
    for size in (100, 700, 1100, 5000):
        yield from both("protocols", f"{size} bytes in answer", target="/small-heads", headers=plan(headers=[["x-long", "v" * size]]))
    yield from both("protocols", "held for too long", target="/short-streams", headers=plan(gate="never"))
    grpc = (("content-type", "application/grpc"), ("te", "trailers"))
    for name in ("no-requests", "drops-all"):
        yield from both("cluster-limits", f"{name} for gRPC", target=f"/{name}", method="POST", body="", headers=grpc)
    for value in ("127.0.0.1:1", "nonsense", "127.0.0.1", "127.0.0.1:99999", "[::1]:1"):
        yield from both("addresses", f"destination {value}", target="/destination", headers=(("x-envoy-original-dst-host", value),))
        yield from both("addresses", f"where {value}", target="/named-header", headers=(("x-where", value),))
