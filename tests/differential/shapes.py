"""Bootstraps in the shapes that people have: of quick starts, sandboxes, example servers and agents.

Each is started with the flags that go with it, in Envoy and in weft-proxy, and asked the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from differential.case import Case, both, plan
from harness.config import HTTP_OPTIONS, ROUTER, address, api_source, assignment, cluster, eds_cluster, hcm, listener, route, routes, tcp_proxy, virtual_host

TYPE = "type.googleapis.com/"
# Of these a bootstrap is made where none is run.
NOWHERE = {"up": 1, "other": 1, "tcp": 1, "xds": 1, "socket": "/nowhere/xds.sock"}
STDOUT = [{"name": "stdout", "typed_config": {"@type": TYPE + "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"}}]


@dataclass(frozen=True)
class Shape:
    """A bootstrap, what its management server says, the flags, and what is asked."""

    name: str
    bootstrap: Callable
    cases: tuple
    resources: Callable = field(default=lambda ports: {})
    arguments: tuple = ()
    listener: str = "main"


def named(name, host, port, kind, **more):
    """A cluster found by name."""
    made = cluster(name, type=kind, dns_lookup_family="V4_ONLY", **more)
    made["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": address(port, host)}}]}]
    return made


def static(listeners, clusters, **more):
    return {"admin": {"address": address(0)}, "static_resources": {"listeners": listeners, "clusters": clusters}, **more}


def quick_start(ports):
    """One listener, one upstream found by name, its host in the place of the client's."""
    host = virtual_host("local_service", ["*"], route("/", {"cluster": "service", "host_rewrite_literal": "service.test"}))
    main = listener("main", hcm(routes("local_route", host), codec_type="AUTO", access_log=STDOUT))
    return static([main], [named("service", "localhost", ports["up"], "LOGICAL_DNS")])


def front_proxy(ports):
    """An edge before two services, one of which speaks h2."""
    host = virtual_host("backend", ["*"], route("/service/1", "service1"), route("/service/2", "service2"))
    main = listener("main", hcm(routes("local_route", host), codec_type="AUTO"))
    h2 = {"typed_extension_protocol_options": {HTTP_OPTIONS: {"@type": TYPE + HTTP_OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}}}
    one = named("service1", "localhost", ports["up"], "STRICT_DNS", lb_policy="ROUND_ROBIN", **h2)
    two = named("service2", "localhost", ports["other"], "STRICT_DNS", lb_policy="ROUND_ROBIN")
    layers = [{"name": "static_layer_0", "static_layer": {"envoy": {"resource_limits": {"listener": {"main": {"connection_limit": 10000}}}}}}]
    return static([main], [one, two], layered_runtime={"layers": layers})


def websocket(ports):
    """A chat behind one listener, upgrades allowed, no time limit on the route."""
    host = virtual_host("chat", ["*"], route("/", {"cluster": "chat", "timeout": "0s"}))
    main = listener("main", hcm(routes("local_route", host), upgrade_configs=[{"upgrade_type": "websocket"}], stream_idle_timeout="0s"))
    return static([main], [named("chat", "localhost", ports["up"], "STRICT_DNS")])


def grpc_front(ports):
    """gRPC services by their names, the rest by path."""
    host = virtual_host(
        "services",
        ["*"],
        route({"prefix": "/shop.Cart/", "grpc": {}}, {"cluster": "grpc", "timeout": "30s", "max_stream_duration": {"grpc_timeout_header_max": "0s"}}),
        route({"prefix": "/", "headers": [{"name": "content-type", "string_match": {"prefix": "application/grpc"}}]}, "grpc"),
        route("/", "web"),
    )
    main = listener("main", hcm(routes("local_route", host), codec_type="AUTO"))
    web = named("web", "localhost", ports["other"], "LOGICAL_DNS")
    return static([main], [named("grpc", "localhost", ports["up"], "LOGICAL_DNS", http2_protocol_options={}), web])


def tcp(ports):
    """A database behind a port."""
    return static([listener("main", tcp_proxy("db", access_log=STDOUT))], [named("db", "localhost", ports["tcp"], "STRICT_DNS")])


def by_stream(ports):
    """The bootstrap that goes with the example server for Go: everything over one stream."""
    server = cluster("xds_cluster", ports["xds"], http2=True)
    source = {"resource_api_version": "V3", "ads": {}}
    ads = {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds_cluster"}}]}
    return {
        "node": {"cluster": "test-cluster", "id": "test-id"},
        "admin": {"address": address(0)},
        "dynamic_resources": {"ads_config": ads, "cds_config": source, "lds_config": source},
        "static_resources": {"clusters": [server]},
        "layered_runtime": {"layers": [{"name": "runtime-0", "static_layer": {}}]},
    }


def example_server(ports):
    """What that server says: a name for a cluster, and routes by a stream of their own."""
    own = api_source("xds_cluster")
    host = virtual_host("local_service", ["*"], route("/", {"cluster": "example_proxy_cluster", "host_rewrite_literal": "www.service.test"}))
    return {
        "clusters": [named("example_proxy_cluster", "localhost", ports["up"], "LOGICAL_DNS", connect_timeout="5s", lb_policy="ROUND_ROBIN")],
        "listeners": [listener("main", hcm(rds="local_route", source=own))],
        "routes": [routes("local_route", host)],
    }


def of_agent(ports):
    """A sidecar of an agent that relays its configuration by a Unix socket."""
    relay = cluster("relay", {"endpoint": {"address": {"pipe": {"path": ports["socket"]}}}}, http2=True)
    service = {"envoy_grpc": {"cluster_name": "relay", "authority": "relay.test"}, "initial_metadata": [{"key": "x-agent", "value": "1"}]}
    ads = {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": True, "grpc_services": [service]}
    source = {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"}
    return {
        "node": {
            "id": "mesh/shop/virtualNode/cart",
            "cluster": "mesh/shop/virtualNode/cart",
            "locality": {"zone": "eu-west-1a"},
            "metadata": {"aws.appmesh.platformInfo": {"AvailabilityZone": "eu-west-1a"}, "aws.appmesh.task.interfaces": {}},
        },
        "admin": {"address": address(0)},
        "dynamic_resources": {"ads_config": ads, "cds_config": source, "lds_config": source},
        "static_resources": {"clusters": [relay]},
        "cluster_manager": {"outlier_detection": {"event_log_path": "/dev/null"}},
        "layered_runtime": {"layers": [{"name": "static_layer_0", "static_layer": {}}, {"name": "admin_layer", "admin_layer": {}}]},
    }


def agent_resources(ports):
    """A listener for the application's calls and one for others', clusters of endpoints that come by stream."""
    out = virtual_host("cart.shop", ["cart.shop", "cart.shop:8080"], route("/", {"cluster": "cart", "timeout": "15s"}))
    anywhere = virtual_host("rest", ["*"], route("/", "rest"))
    egress = listener("main", hcm(rds="egress", use_remote_address=False), traffic_direction="OUTBOUND")
    ingress = listener("ingress", hcm(routes("ingress", virtual_host("self", ["*"], route("/", "app")))), traffic_direction="INBOUND")
    return {
        "clusters": [eds_cluster("cart", http2=True), cluster("app", ports["other"]), cluster("rest")],
        "assignments": [assignment("cart", ports["up"])],
        "listeners": [egress, ingress],
        "routes": [routes("egress", out, anywhere, validate_clusters=False)],
    }


def asked(world, *paths, **more):
    """The same paths over HTTP/1.1 and h2."""
    return tuple(case for path in paths for case in both(world, path, target=path, **more))


SHIP = ("--service-cluster", "front", "--service-node", "front-1", "--service-zone", "z1")
DRAIN = ("--drain-time-s", "30", "--parent-shutdown-time-s", "45", "--drain-strategy", "immediate")
GRPC = (("content-type", "application/grpc"), ("te", "trailers"))
UPGRADE = (("connection", "upgrade"), ("upgrade", "websocket"), *plan(status=101, framing="none", body="", tunnel=True, headers=[["connection", "upgrade"], ["upgrade", "websocket"]]))
SHAPES = [
    Shape("quick-start", quick_start, asked("quick-start", "/", "/x?y=z"), arguments=DRAIN),
    Shape("front-proxy", front_proxy, asked("front-proxy", "/service/1", "/service/2/x", "/else"), arguments=SHIP),
    Shape("websocket", websocket, (*asked("websocket", "/"), Case("websocket", "upgrade", headers=UPGRADE, says=b"hello")), arguments=("--file-flush-interval-msec", "1000")),
    Shape("grpc-front", grpc_front, (*asked("grpc-front", "/shop.Cart/Get", method="POST", body="\0\0\0\0\0", headers=GRPC), *asked("grpc-front", "/shop.Cart/"))),
    Shape("by-stream", by_stream, asked("by-stream", "/", "/x"), example_server, SHIP),
    Shape("agent", of_agent, (*asked("agent", "/", host="cart.shop:8080"), *asked("agent", "/else", host="else")), agent_resources, ("--log-format", "%v", "--component-log-level", "upstream:info")),
]
TCP = Shape("tcp", tcp, ())


def _tls(ports):
    made = quick_start(ports)
    tls = {"@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni": "service.test"}
    made["static_resources"]["clusters"][0]["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    return made


def _filter(kind, message, **config):
    def make(ports):
        made = quick_start(ports)
        manager = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        one = {"name": kind, "typed_config": {"@type": f"{TYPE}envoy.extensions.filters.http.{kind}.v3.{message}", **config}}
        manager["http_filters"] = [one, ROUTER]
        return made

    return make


def _rest(ports):
    made = by_stream(ports)
    api = {"api_type": "REST", "transport_api_version": "V3", "cluster_names": ["xds_cluster"], "refresh_delay": "1s"}
    made["dynamic_resources"] = {kind: {"resource_api_version": "V3", "api_config_source": api} for kind in ("lds_config", "cds_config")}
    return made


# What weft-proxy refuses of such bootstraps, and the name that it must say.
REFUSED = {
    "upstream TLS": (_tls, "UpstreamTlsContext"),
    "gRPC bridge": (_filter("grpc_http1_bridge", "Config"), "grpc_http1_bridge"),
    "Lua": (_filter("lua", "Lua", default_source_code={"inline_string": "-- nothing"}), "lua"),
    "REST": (_rest, "REST"),
}
