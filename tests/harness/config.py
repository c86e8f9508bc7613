"""Envoy's resources as plain values, shared by bootstraps and management servers."""

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
}
ADS = {"ads": {}, "resource_api_version": "V3"}


def address(port, host="127.0.0.1"):
    return {"socket_address": {"address": host, "port_value": port}}


def endpoint(port, **more):
    return {"endpoint": {"address": address(port)}, **more}


def assignment(name, *ports):
    """A load assignment with one locality; `port` numbers or endpoint values."""
    endpoints = [endpoint(port) if isinstance(port, int) else port for port in ports]
    groups = [{"lb_endpoints": endpoints}] if endpoints else []
    return {"cluster_name": name, "endpoints": groups}


def http2_options():
    """Makes a cluster speak h2c."""
    explicit = {"http2_protocol_options": {}}
    return {
        "typed_extension_protocol_options": {
            HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
                "explicit_http_config": explicit,
            }
        }
    }


def cluster(name, *ports, http2=False, **more):
    """A STATIC cluster."""
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": assignment(name, *ports),
        **(http2_options() if http2 else {}),
        **more,
    }


def aggregate(name, *members):
    """A cluster that consists of others."""
    config = {
        "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
        "clusters": list(members),
    }
    return {
        "name": name,
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {"name": "envoy.clusters.aggregate", "typed_config": config},
    }


def eds_cluster(name, http2=False, source=ADS, **more):
    return {
        "name": name,
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {"eds_config": source},
        **(http2_options() if http2 else {}),
        **more,
    }


def route(match, action=None, **more):
    """A route; a string matches by prefix, and an action that is a string names a cluster."""
    match = {"prefix": match} if isinstance(match, str) else match
    if isinstance(action, str):
        action = {"cluster": action}
    return {"match": match, **({"route": action} if action else {}), **more}


def direct(match, status, body=None, **more):
    answer = {"status": status, **({"body": {"inline_string": body}} if body is not None else {})}
    return route(match, direct_response=answer, **more)


def virtual_host(name, domains, *routes, **more):
    return {"name": name, "domains": list(domains), "routes": list(routes), **more}


def routes(name, *hosts, **more):
    return {"name": name, "virtual_hosts": list(hosts), **more}


def hcm(route_config=None, rds=None, source=ADS, **more):
    """An HTTP connection manager as the only filter of a chain."""
    source = {"rds": {"route_config_name": rds, "config_source": source}} if rds else {"route_config": route_config}
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "ingress",
            "http_filters": [ROUTER],
            **source,
            **more,
        },
    }


def tcp_proxy(cluster, **more):
    return {
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "tcp",
            "cluster": cluster,
            **more,
        },
    }


def listener(name, network_filter, port=0, **more):
    return {
        "name": name,
        "address": address(port),
        "filter_chains": [{"filters": [network_filter]}],
        **more,
    }


def bootstrap(listeners=(), clusters=(), node="test", **more):
    """A bootstrap with admin on a port of the kernel's choice."""
    return {
        "node": {"id": node, "cluster": "tests", "locality": {"region": "r1", "zone": "z1"}},
        "admin": {"address": address(0)},
        "static_resources": {"listeners": list(listeners), "clusters": list(clusters)},
        **more,
    }


def api_source(*clusters, mode="sotw", **more):
    """A stream for one type, to the first server that can be reached of the clusters named."""
    return {
        "resource_api_version": "V3",
        "api_config_source": {
            "api_type": {"sotw": "GRPC", "delta": "DELTA_GRPC"}[mode],
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": name}} for name in clusters],
            **more,
        },
    }


def path_source(path, **more):
    """A file."""
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path), **more}}


def ads_bootstrap(server_port, mode="sotw", node="test", clusters=(), listeners=(), metadata=None):
    """A bootstrap that takes listeners and clusters from a management server on loopback."""
    api_type = {"sotw": "GRPC", "delta": "DELTA_GRPC"}[mode]
    ads = {
        "api_type": api_type,
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
    }
    made = bootstrap(
        listeners,
        [cluster("xds", server_port, http2=True), *clusters],
        node,
        dynamic_resources={"ads_config": ads, "lds_config": ADS, "cds_config": ADS},
    )
    if metadata:
        made["node"]["metadata"] = metadata
    return made
