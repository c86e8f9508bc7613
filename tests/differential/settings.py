"""Worlds and cases of what a connection manager and its listener set for clients."""

from differential.case import Case, both, plan
from harness.config import ROUTER, address, bootstrap, cluster, direct, hcm, listener, path_source, route, routes, virtual_host

TYPE = "type.googleapis.com/"
RAW_BUFFER = {"name": "raw", "typed_config": {"@type": TYPE + "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}
# A message that no filter is made for: a filter of this type can only be optional.
UNKNOWN = {"@type": TYPE + "google.protobuf.StringValue", "value": "settings of a filter that nobody has"}

MANAGERS = {
    "codec-1": {"codec_type": "HTTP1"},
    "codec-2": {"codec_type": "HTTP2"},
    "http-10": {"http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "given.test"}},
    "chunked-length": {"http_protocol_options": {"allow_chunked_length": True}},
    "few-fields": {"common_http_protocol_options": {"max_headers_count": 6}},
    "small-head": {"max_request_headers_kb": 2},
    "short-streams": {"common_http_protocol_options": {"max_stream_duration": "0.3s"}},
    "idle-streams": {"stream_idle_timeout": "0.3s"},
    "prompt-heads": {"request_headers_timeout": "0.3s"},
    "one-request": {"common_http_protocol_options": {"max_requests_per_connection": 1}},
    "idle": {"common_http_protocol_options": {"idle_timeout": "0.3s"}, "drain_timeout": "0.1s"},
    "old": {
        "common_http_protocol_options": {"max_connection_duration": "0.3s"},
        "drain_timeout": "0.1s",
        "delayed_close_timeout": "0.1s",
    },
    "few-streams": {"http2_protocol_options": {"max_concurrent_streams": 7}},
    "quiet-router": {"http_filters": [{**ROUTER, "typed_config": {**ROUTER["typed_config"], "suppress_envoy_headers": True}}]},
    "optional-filter": {"http_filters": [{"name": "nobody", "is_optional": True, "typed_config": UNKNOWN}, ROUTER]},
    "forwarded-port": {"append_x_forwarded_port": True, "use_remote_address": True},
    "forwarded-port-inside": {"append_x_forwarded_port": True},
}

UPGRADES = {
    "upgrade_configs": [
        {"upgrade_type": "websocket"},
        {"upgrade_type": "other/1", "enabled": False},
        {"upgrade_type": "CONNECT"},
    ]
}


def upgrading(ports):
    """Tunnels by upgrade and by CONNECT, allowed and not."""
    to = {"cluster": "up"}
    connect = {"cluster": "tcp", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
    host = virtual_host(
        "main",
        ["*"],
        route({"connect_matcher": {}, "headers": [{"name": ":authority", "string_match": {"exact": "ends.test:1"}}]}, connect),
        route({"connect_matcher": {}}, to),
        route("/impatient", {**to, "timeout": "0.3s"}),
        route("/denied", {**to, "upgrade_configs": [{"upgrade_type": "websocket", "enabled": False}]}),
        route("/allowed", {**to, "upgrade_configs": [{"upgrade_type": "other/1"}]}),
        route("/", to),
    )
    made = [cluster("up", ports["up"]), cluster("tcp", ports["tcp"])]
    return bootstrap([listener("main", hcm(routes("main", host), **UPGRADES))], made)


def by_path(ports):
    """A client that comes by a Unix socket, which may count as inside."""
    manager = {"use_remote_address": True, "internal_address_config": {"unix_sockets": True}}
    table = routes("main", virtual_host("main", ["*"], route("/", "up")))
    made = listener("main", hcm(table, **manager)) | {"address": {"pipe": {"path": f"{ports['folder']}/in.sock", "mode": 0o600}}}
    return bootstrap([made], [cluster("up", ports["up"])])


def routes_by_file(ports):
    """Routes from a file, listened to at two addresses, in a chain that says it takes plain bytes."""
    source = path_source(f"{ports['folder']}/routes.json", watched_directory={"path": ports["folder"]})
    source["initial_fetch_timeout"] = "3s"
    made = listener("main", None)
    chain = {"name": "named", "filters": [hcm(rds="main", source=source)], "transport_socket": RAW_BUFFER}
    more = {"filter_chains": [], "default_filter_chain": chain, "additional_addresses": [{"address": address(0)}]}
    more |= {"tcp_backlog_size": 64, "freebind": True}
    return bootstrap([{**made, **more}], [cluster("up", ports["up"])])


def files(ports):
    """What lies in the folder of a world."""
    host = virtual_host("main", ["*"], direct("/file", 200, "from a file"), route("/", "up"))
    kind = TYPE + "envoy.config.route.v3.RouteConfiguration"
    table = {"version_info": "1", "resources": [{"@type": kind, **routes("main", host)}]}
    return {"routes.json": table, "answer.txt": "an answer from a file, é"}


def worlds(forward):
    """By name; `forward` makes one that sends everything to one upstream."""
    made = {"upgrading": upgrading, "by-path": by_path, "routes-by-file": routes_by_file}
    for name, settings in MANAGERS.items():
        made[name] = lambda ports, settings=settings: forward(ports, settings)
    return made


def head(*lines, body=b""):
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


HTTP_10 = {
    "plain": head("GET /x HTTP/1.0", "host: weft.test"),
    "no host": head("GET /x HTTP/1.0"),
    "keep-alive": head("GET / HTTP/1.0", "host: weft.test", "connection: keep-alive"),
    "absolute": head("GET http://other.test/x HTTP/1.0"),
    "body": head("POST / HTTP/1.0", "content-length: 3", body=b"abc"),
    "chunked answer": head("GET / HTTP/1.0", 'x-respond: {"framing": "chunked", "body": "in pieces"}'),
    "upgrade": head("GET / HTTP/1.0", "connection: upgrade", "upgrade: websocket"),
}
LENGTHS = {
    "agree": head("POST / HTTP/1.1", "host: weft.test", "content-length: 3", "transfer-encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
    "differ": head("POST / HTTP/1.1", "host: weft.test", "content-length: 9", "transfer-encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
}


def limits():
    for protocol in ("codec-1", "codec-2"):
        yield from both(protocol, "plain")
    for name, raw in HTTP_10.items():
        yield Case("http-10", name, method=raw.split(b" ", 1)[0].decode(), raw=raw)
    for name, raw in LENGTHS.items():
        yield Case("chunked-length", name, method="POST", raw=raw)
    for count in (2, 3, 4, 5, 6, 8):
        yield from both("few-fields", f"{count} fields", headers=tuple((f"x-{n}", "v") for n in range(count)))
    for size in (100, 1700, 2100, 5000):
        yield from both("small-head", f"{size} bytes", headers=(("x-long", "v" * size),))
        yield from both("small-head", f"target of {size} bytes", target="/" + "t" * size)
    held = plan(gate="never")
    for world in ("short-streams", "idle-streams"):
        yield from both(world, "in time")
        yield from both(world, "held", headers=held)
        yield Case(world, "half a body", method="POST", raw=head("POST / HTTP/1.1", "host: weft.test", "content-length: 9", body=b"half"))
    yield Case("prompt-heads", "half a head", raw=b"GET / HTTP/1.1\r\nhost: weft.test\r\nx-a")
    yield Case("prompt-heads", "half a line", raw=b"GET /")
    yield from both("prompt-heads", "in time")
    yield from both("one-request", "the only one")
    for world in ("idle", "old"):
        yield Case(world, "left alone", looks=("ends",))
    yield Case("few-streams", "settings", "h2", looks=("settings",))


def headers():
    for world in ("quiet-router", "optional-filter"):
        for name, sent in {"plain": (), "timeout": (("x-envoy-upstream-rq-timeout-ms", "5000"),)}.items():
            yield from both(world, name, target="/x", headers=sent)
    for world in ("forwarded-port", "forwarded-port-inside"):
        yield from both(world, "plain")
        yield from both(world, "port of the client's", headers=(("x-forwarded-port", "99"), ("x-forwarded-proto", "https")))
    for name, sent in {"plain": (), "xff": (("x-forwarded-for", "10.1.2.3"),), "internal": (("x-envoy-internal", "true"),)}.items():
        yield from both("by-path", name, headers=sent)
    yield from both("routes-by-file", "forwarded")
    yield from both("routes-by-file", "direct", target="/file")


def upgrade(kind, **more):
    return (("connection", "upgrade"), ("upgrade", kind), *plan(status=101, framing="none", body="", tunnel=True, headers=[["connection", "upgrade"], ["upgrade", kind]]))


def upgrades():
    for path in ("/", "/denied", "/allowed"):
        for kind in ("websocket", "WebSocket", "other/1", "else"):
            yield Case("upgrading", f"{kind} at {path}", target=path, headers=upgrade(kind), says=b"through and back")
    yield Case("upgrading", "refused by the upstream", headers=(("connection", "upgrade"), ("upgrade", "websocket"), *plan(status=403)))
    yield Case("upgrading", "not agreed to in time", target="/impatient", headers=(("connection", "upgrade"), ("upgrade", "websocket"), *plan(gate="never")))
    for host in ("ends.test:1", "else.test:1"):
        yield Case("upgrading", f"connect {host}", method="CONNECT", target=host, host=host, says=b"through and back")
    yield Case("upgrading", "connect and a body", method="CONNECT", target="ends.test:1", host="ends.test:1", headers=(("content-length", "3"),), says=b"abc")


def cases():
    """Requests for all of them."""
    return [*limits(), *headers(), *upgrades()]
