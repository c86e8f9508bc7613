"""Listeners that pass bytes on, each with clients that say something: what comes back, and how it ends."""

import json

from differential.behind import AGGREGATE, RAW_BUFFER, TYPE
from differential.connections import listener_filter
from harness.config import bootstrap, cluster, endpoint, listener, tcp_proxy
from harness.raw import hello, proxy_v1, proxy_v2

LIMIT = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"
UPSTREAM_PROXY_PROTOCOL = "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
ANY_TLV = {"match_type": "INCLUDE_ALL"}
ONE_TLV = {"match_type": "INCLUDE", "tlv_type": [0xE1]}


def told(**config):
    """A cluster's connections begin with a PROXY header."""
    made = {"@type": TYPE + UPSTREAM_PROXY_PROTOCOL, "config": config, "transport_socket": RAW_BUFFER}
    return {"transport_socket": {"name": "told", "typed_config": made}}


def limited(**more):
    return {"name": "limit", "typed_config": {"@type": TYPE + LIMIT, "stat_prefix": "limit", **more}}


def rated(kind, **more):
    """Two connections, and no third one on the same day."""
    bucket = {"max_tokens": 2, "tokens_per_fill": 1, "fill_interval": "86400s"}
    config = {"@type": f"{TYPE}envoy.extensions.filters.{kind}.local_ratelimit.v3.LocalRateLimit", "stat_prefix": "rate", "token_bucket": bucket, **more}
    return {"name": "rate", "typed_config": config}


def asked(answer, to="rls", **more):
    """A service is asked, and answers like this."""
    plan = [{"entries": [{"key": "from", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}, {"key": "answer", "value": json.dumps(answer)}]}]
    asks = {"transport_api_version": "V3", "grpc_service": {"envoy_grpc": {"cluster_name": to}}}
    config = {"stat_prefix": "asked", "domain": "tcp", "timeout": "10s", "descriptors": plan, "rate_limit_service": asks, **more}
    return {"name": "asked", "typed_config": {"@type": f"{TYPE}envoy.extensions.filters.network.ratelimit.v3.RateLimit", **config}}


def tunnelled(status, **more):
    """Bytes go to an upstream that answers a CONNECT with this, and sends them back."""
    plan = json.dumps({"status": status, "framing": "none", "body": "", "tunnel": status < 300})
    config = {"hostname": "far.test:443", "headers_to_add": [{"header": {"key": "x-respond", "value": plan}}], **more}
    return tcp_proxy("http", tunneling_config=config)


def echo():
    return {"name": "echo", "typed_config": {"@type": TYPE + "envoy.extensions.filters.network.echo.v3.Echo"}}


def from_sni():
    return {"name": "sni", "typed_config": {"@type": TYPE + "envoy.extensions.filters.network.sni_cluster.v3.SniCluster"}}


def chained(name, *filters, **more):
    return {**listener(name, None, **more), "filter_chains": [{"filters": list(filters)}]}


def weighted(*pairs):
    made = tcp_proxy("unused", weighted_clusters={"clusters": [{"name": name, "weight": weight} for name, weight in pairs]})
    del made["typed_config"]["cluster"]
    return made


def listeners():
    """Every way that bytes go, by name of the listener."""
    made = {
        "plain": tcp_proxy("up", idle_timeout="9s"),
        "idle": tcp_proxy("up", idle_timeout="0.3s"),
        "short": tcp_proxy("up", max_downstream_connection_duration="0.3s", max_downstream_connection_duration_jitter_percentage={"value": 10}),
        "weighted": weighted(("up", 7), ("up", 3)),
        "tries": tcp_proxy("half-refused", max_connect_attempts=4, backoff_options={"base_interval": "0.01s", "max_interval": "0.05s"}),
        "refused": tcp_proxy("refused", max_connect_attempts=2),
        "nobody": tcp_proxy("nobody"),
        "missing": tcp_proxy("missing"),
        "full": tcp_proxy("full"),
        "aggregate": tcp_proxy("aggregate"),
        "hashed": tcp_proxy("hashed", hash_policy=[{"source_ip": {}}]),
        "told-1": tcp_proxy("told-1"),
        "told-2": tcp_proxy("told-2"),
        "told-more": tcp_proxy("told-more"),
        "told-by-filter": tcp_proxy("told-all", proxy_protocol_tlvs=[{"type": 0xE4, "value": "b3du"}]),
        "tunnel": tunnelled(200),
        "tunnel-by-format": tunnelled(204, hostname="%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%:1"),
        "tunnel-refused": tunnelled(403),
        "late": tcp_proxy("up", upstream_connect_mode="ON_DOWNSTREAM_DATA", max_early_data_bytes=1024),
    }
    made = {name: listener(name, one) for name, one in made.items()}
    made["echo"] = listener("echo", echo())
    made["limited"] = chained("limited", limited(max_connections=1), tcp_proxy("up"))
    off = {"runtime_enabled": {"default_value": False, "runtime_key": "off"}}
    for name, more in {"rated": {"share_key": "shared"}, "unrated": off}.items():
        made[name] = chained(name, rated("network", **more), tcp_proxy("up"))
        more = {} if name == "rated" else off
        made[f"listener-{name}"] = listener(f"listener-{name}", tcp_proxy("up"), listener_filters=[rated("listener", **more)])
    fails, denies = {"status": "UNAVAILABLE"}, {"failure_mode_deny": True}
    questions = {
        "within": asked({}),
        "over": asked({"overall_code": "OVER_LIMIT"}),
        "failed": asked(fails),
        "denied": asked(fails, **denies),
        "unreachable": asked({}, "refused", **denies),
    }
    for name, question in questions.items():
        made[f"asked-{name}"] = chained(f"asked-{name}", question, tcp_proxy("up"))
    made["unlimited"] = chained("unlimited", limited(max_connections=1, delay="0.1s", **off), tcp_proxy("up"))
    made["sni"] = chained("sni", from_sni(), tcp_proxy("nobody"), listener_filters=[listener_filter("tls_inspector")])
    merging = {"proxy_protocol_tlvs": [{"type": 0xE1, "value": "b3du"}], "proxy_protocol_tlv_merge_policy": "OVERWRITE_BY_TYPE_IF_EXISTS_OR_ADD"}
    inside = [listener_filter("proxy_protocol", pass_through_tlvs=ANY_TLV)]
    made["merged"] = listener("merged", tcp_proxy("told-all", **merging), listener_filters=inside)
    by_format = {"type": 0xE5, "format_string": {"text_format_source": {"inline_string": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %REQUESTED_SERVER_NAME% %DYNAMIC_METADATA(tlvs:first)%"}}}
    rules = [{"tlv_type": 0xE1, "on_tlv_present": {"metadata_namespace": "tlvs", "key": "first"}}]
    made["ruled"] = listener("ruled", tcp_proxy("told-all", proxy_protocol_tlvs=[by_format]), listener_filters=[listener_filter("proxy_protocol", rules=rules)])
    for name, passed in (("tlvs", ANY_TLV), ("one-tlv", ONE_TLV)):
        filters = [listener_filter("proxy_protocol", pass_through_tlvs=passed)]
        made[name] = listener(name, tcp_proxy(f"told-{name}"), listener_filters=filters)
    small = listener_filter("tls_inspector", max_client_hello_size=256, close_connection_on_client_hello_parsing_errors=True)
    made["small-hello"] = listener("small-hello", tcp_proxy("up"), listener_filters=[small])
    return made


def world(ports):
    """One proxy with all of them."""
    up, refused = ports["tcp"], ports["refused"]
    aggregate = {"name": "envoy.clusters.aggregate", "typed_config": {"@type": TYPE + AGGREGATE, "clusters": ["nobody", "up"]}}
    gathered = cluster("aggregate", lb_policy="CLUSTER_PROVIDED", cluster_type=aggregate)
    del gathered["type"], gathered["load_assignment"]
    clusters = [
        cluster("up", up),
        cluster("up.test", up),
        cluster("rls", ports["rls"], http2=True),
        cluster("http", ports["up"]),
        cluster("refused", refused),
        cluster("half-refused", endpoint(refused), endpoint(up)),
        cluster("nobody"),
        gathered,
        cluster("full", up, circuit_breakers={"thresholds": [{"max_connections": 0}]}),
        cluster("hashed", up, lb_policy="MAGLEV"),
        cluster("told-1", up, **told(version="V1")),
        cluster("told-2", up, **told(version="V2")),
        cluster("told-more", up, **told(version="V2", added_tlvs=[{"type": 0xE3, "value": "b3du"}])),
        cluster("told-all", up, **told(version="V2", pass_through_tlvs=ANY_TLV)),
        cluster("told-tlvs", up, **told(version="V2", pass_through_tlvs=ANY_TLV)),
        cluster("told-one-tlv", up, **told(version="V2", pass_through_tlvs=ONE_TLV)),
    ]
    return bootstrap(listeners().values(), clusters)


SOURCE, DESTINATION = ("10.1.2.3", 1000), ("10.0.0.1", 443)
TLVS = [(0xE1, b"one"), (0xE2, b"two"), (0xE1, b"again")]


def cases():
    """Listener, name, and the pieces that a client sends before it closes for writing."""
    # Envoy's echo ends with the client's end, which may overtake what was echoed.
    for name in sorted(listeners().keys() - {"echo"}):
        yield name, "a word", (b"a word that is long enough",)
        if name != "late":
            # There Envoy keeps a client that has ended without a word.
            yield name, "nothing", ()
        if not name.startswith("tunnel"):
            # Through one Envoy passes on no end of one direction alone, and what is under way is lost.
            yield name, "much", (bytes(range(256)) * 1024,)
    yield "echo", "a word", (b"a word that is long enough",)
    for name in ("tlvs", "one-tlv", "merged", "ruled"):
        yield name, "v2 with some", (proxy_v2(SOURCE, DESTINATION, TLVS) + b"word",)
        yield name, "v2 with none", (proxy_v2(SOURCE, DESTINATION) + b"word",)
        yield name, "v1", (proxy_v1(SOURCE, DESTINATION) + b"word",)
    for host in ("up.test", "else.test", None):
        yield "sni", f"hello {host}", (hello(host),)
    for protocols in ((), ["h2", "http/1.1"]):
        yield "small-hello", f"hello with {len(protocols)}", (hello("up.test", protocols),)
    yield "small-hello", "no hello", (b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",)


# Where the client says nothing and waits: the proxy ends it.
LEFT_ALONE = ["idle", "short"]
