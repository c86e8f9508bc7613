"""Listeners whose chains say their names, and clients that knock: generated pairs and chosen ones."""

import itertools
import random

from harness.raw import V2, hello, in_records, proxy_v1, proxy_v2

TYPE = "type.googleapis.com/envoy.extensions.filters."
ADDRESSES = ["10.0.0.1", "10.0.1.1", "10.1.0.1", "127.0.0.1", "127.0.0.2", "::1", "fd00::1:1"]
NAMES = [None, "a.test", "b.a.test", "c.b.a.test", "test", "A.TEST", "other"]
PROTOCOLS = ["h2", "http/1.1", "http/1.0", "h2c", "x"]
LINES = [b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"SSH-2.0-x\r\n"]


def direct(text):
    config = {"@type": TYPE + "network.direct_response.v3.Config", "response": {"inline_string": text}}
    return {"name": "direct", "typed_config": config}


def chain(name, match=None):
    return {"name": name, "filters": [direct(name)], **({"filter_chain_match": match} if match else {})}


def listener_filter(kind, **config):
    message = {
        "tls_inspector": "TlsInspector",
        "http_inspector": "HttpInspector",
        "proxy_protocol": "ProxyProtocol",
        "original_dst": "OriginalDst",
    }[kind]
    return {"name": kind, "typed_config": {"@type": f"{TYPE}listener.{kind}.v3.{message}", **config}}


def listener(name, chains, filters=(), **more):
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return {"name": name, "address": address, "filter_chains": chains, "listener_filters": list(filters), **more}


def _prefix(rng):
    address = rng.choice(ADDRESSES)
    length = rng.choice([8, 16, 24, 31, 32]) * (4 if ":" in address else 1)
    return {"address_prefix": address, "prefix_len": length}


def _some(rng, choose, most=2):
    return [choose() for _ in range(rng.randint(0, most))]


def _match(rng):
    match = {
        "destination_port": rng.choice([None, None, 80, 443]),
        "prefix_ranges": _some(rng, lambda: _prefix(rng), 1),
        "server_names": _some(rng, lambda: rng.choice(["a.test", "b.a.test", "*.a.test", "*.test", "*.b.a.test"])),
        "transport_protocol": rng.choice(["", "", "tls", "raw_buffer"]),
        "application_protocols": _some(rng, lambda: rng.choice(PROTOCOLS)),
        "direct_source_prefix_ranges": _some(rng, lambda: {"address_prefix": rng.choice(["127.0.0.0", "10.0.0.0"]), "prefix_len": 8}, 1),
        "source_type": rng.choice(["ANY", "ANY", "SAME_IP_OR_LOOPBACK", "EXTERNAL"]),
        "source_prefix_ranges": _some(rng, lambda: _prefix(rng)),
        "source_ports": _some(rng, lambda: rng.choice([1000, 2000])),
    }
    # Most chains ask for little, or hardly any connection would get past the first conditions.
    for field in rng.sample(sorted(match), rng.randint(4, 8)):
        match[field] = None
    return {field: value for field, value in match.items() if value not in (None, [], "", "ANY")}


def _combinations(match):
    """Everything a chain takes, to leave out chains that take the same."""
    network = lambda p: (p["address_prefix"], p["prefix_len"])  # noqa: E731
    lists = [
        [match.get("destination_port")],
        [network(p) for p in match.get("prefix_ranges", [])] or [None],
        match.get("server_names") or [None],
        [match.get("transport_protocol")],
        match.get("application_protocols") or [None],
        [network(p) for p in match.get("direct_source_prefix_ranges", [])] or [None],
        [match.get("source_type")],
        [network(p) for p in match.get("source_prefix_ranges", [])] or [None],
        match.get("source_ports") or [None],
    ]
    return set(itertools.product(*lists))


def _is_plain(match):
    """No list says the same twice: Envoy takes that for two chains."""
    return all(
        len(values) == len({str(value) for value in values}) for values in match.values() if isinstance(values, list)
    ) and len(_combinations(match)) == len({_normal(combination) for combination in _combinations(match)})


def generated(seed, count):
    """Listeners with random chains."""
    rng = random.Random(seed)
    for number in range(count):
        chains, taken, seen = [], set(), set()
        for position in range(rng.randint(2, 7)):
            match = _match(rng)
            mine = _combinations(match)
            normal = {_normal(combination) for combination in mine}
            if normal & taken or not _is_plain(match) or str(match) in seen:
                continue
            taken |= normal
            seen.add(str(match))
            chains.append(chain(f"chain-{position}", match))
        filters = [listener_filter(kind) for kind in ("proxy_protocol", "tls_inspector", "http_inspector")]
        more = {"default_filter_chain": chain("default")} if rng.random() < 0.5 else {}
        yield listener(f"generated-{number}", chains or [chain("only")], filters, **more)


def _normal(combination):
    """The combination with its networks as bits."""
    import ipaddress

    def bits(value):
        return ipaddress.ip_network(f"{value[0]}/{value[1]}", strict=False) if isinstance(value, tuple) else value

    return tuple(bits(value) for value in combination)


def knocks(seed, count):
    """What random clients send."""
    rng = random.Random(seed)
    for _ in range(count):
        family = rng.random() < 0.3
        pool = [address for address in ADDRESSES if (":" in address) == family]
        source = (rng.choice(pool), rng.choice([1000, 2000, 3000]))
        destination = (rng.choice(pool), rng.choice([80, 443, 8080]))
        header = rng.choice([proxy_v1, proxy_v2])(source, destination)
        if rng.random() < 0.1:
            header = proxy_v2()
        if rng.random() < 0.6:
            protocols = [p for p in rng.sample(PROTOCOLS, rng.randint(0, 2))]
            rest = hello(rng.choice(NAMES), protocols)
        else:
            rest = rng.choice(LINES)
        yield header + rest


# Envoy waits for sixteen bytes before it says that a header is missing.
REST = b"what the client has to say"
FOUR = (("10.1.2.3", 5), ("10.0.0.1", 443))
SIX = (("fd00::1", 5), ("fd00::2", 443))

HEADERS = {
    "v1": proxy_v1(*FOUR),
    "v1 six": proxy_v1(*SIX),
    "v1 unknown": b"PROXY UNKNOWN\r\n",
    "v1 unknown with more": b"PROXY UNKNOWN a b 1 2\r\n",
    "v1 three fields": b"PROXY TCP4 10.1.2.3 10.0.0.1 5\r\n",
    "v1 wrong family": b"PROXY TCP4 fd00::1 fd00::2 5 443\r\n",
    "v1 port too large": b"PROXY TCP4 10.1.2.3 10.0.0.1 65536 443\r\n",
    "v1 no address": b"PROXY TCP4 host 10.0.0.1 5 443\r\n",
    "v1 no protocol": b"PROXY UDP4 10.1.2.3 10.0.0.1 5 443\r\n",
    "v1 too long": b"PROXY TCP4 " + b"1" * 120 + b"\r\n",
    "v2": proxy_v2(*FOUR),
    "v2 six": proxy_v2(*SIX),
    "v2 local": proxy_v2(),
    "v2 local with addresses": proxy_v2(command=0x20, family=0x11, body=bytes(12)),
    "v2 tlvs": proxy_v2(*FOUR, tlvs=[(1, b"h2"), (2, b"a.test"), (0xEA, b"")]),
    "v2 tlv cut short": proxy_v2(command=0x21, family=0x11, source=FOUR[0], body=bytes(12) + b"\x01\x00\x09x"),
    "v2 too short": proxy_v2(command=0x21, family=0x11, source=FOUR[0], body=bytes(11)),
    "v2 datagram": proxy_v2(command=0x21, family=0x12, source=FOUR[0], body=bytes(12)),
    "v2 command": proxy_v2(command=0x22, family=0x11, source=FOUR[0], body=bytes(12)),
    "v2 version": V2 + b"\x11\x11\0\x0c" + bytes(12),
    "none": b"",
    "almost v1": b"PROXX TCP4 ",
    "almost v2": b"\r\n\r\n\0\r\nQUIX",
}

SEEN_BY = [
    chain("ten", {"source_prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}], "destination_port": 443}),
    chain("six", {"source_prefix_ranges": [{"address_prefix": "fd00::", "prefix_len": 16}]}),
    chain("loopback", {"source_type": "SAME_IP_OR_LOOPBACK"}),
    chain("other"),
]

LINES_TOLD_APART = {
    "1.1": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "1.0": b"GET / HTTP/1.0\r\n\r\n",
    "0.9": b"GET /\r\n",
    "2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "2.0 line": b"GET / HTTP/2.0\r\n\r\n",
    "lower": b"get / http/1.1\r\n\r\n",
    "odd method": b"FROB / HTTP/1.1\r\n\r\n",
    "post": b"POST /x HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
    "binary": b"\x00\x01\x02\r\n",
    "ssh": b"SSH-2.0-OpenSSH\r\n",
    "hello": hello("a.test", ["h2"]),
    "absolute": b"GET http://a.test/ HTTP/1.1\r\n\r\n",
    "connect": b"CONNECT a.test:443 HTTP/1.1\r\n\r\n",
}

BY_PROTOCOL = [chain(f"speaks {p}", {"application_protocols": [p]}) for p in ("http/1.0", "http/1.1", "h2c", "h2")]
BY_PROTOCOL.append(chain("tls", {"transport_protocol": "tls"}))
BY_PROTOCOL.append(chain("rest"))


def chosen():
    """Listener, name of the case, and the pieces that a client sends."""
    proxied = listener("proxied", SEEN_BY, [listener_filter("proxy_protocol")])
    lenient = listener(
        "lenient", SEEN_BY, [listener_filter("proxy_protocol", allow_requests_without_proxy_protocol=True)]
    )
    no_v1 = listener("no-v1", SEEN_BY, [listener_filter("proxy_protocol", disallowed_versions=["V1"])])
    for where in (proxied, lenient, no_v1):
        for name, header in HEADERS.items():
            yield where, name, (header + REST,)
        yield where, "v1 in pieces", (HEADERS["v1"][:9], HEADERS["v1"][9:], REST)
        yield where, "v2 in pieces", (HEADERS["v2"][:3], HEADERS["v2"][3:14], HEADERS["v2"][14:], REST)
    spoken = listener("spoken", BY_PROTOCOL, [listener_filter("http_inspector")])
    both = listener("both", BY_PROTOCOL, [listener_filter("tls_inspector"), listener_filter("http_inspector")])
    for where in (spoken, both):
        for name, line in LINES_TOLD_APART.items():
            yield where, name, (line,)
            yield where, f"{name} in pieces", (line[:2], line[2:7], line[7:])
    names = [chain(n, {"server_names": [n]}) for n in ("a.test", "*.a.test", "*.test")] + [chain("rest")]
    named = listener("named", names, [listener_filter("tls_inspector")])
    for name in ("a.test", "b.a.test", "x.b.a.test", "b.test", "test", "A.Test", "other", None):
        yield named, f"name {name}", (hello(name),)
    flight = hello("b.a.test")
    yield named, "small records", (in_records(flight, 200),)
    yield named, "in pieces", (flight[:3], flight[3:70], flight[70:300], flight[300:])
    yield named, "not a hello", (b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",)
    yield named, "plain", (b"hello",)
    at_80 = {"destination_port_range": {"start": 80, "end": 81}}
    off = {**listener_filter("tls_inspector"), "filter_disabled": at_80}
    passed = listener("passed", names, [listener_filter("proxy_protocol"), off])
    unless = {**listener_filter("tls_inspector"), "filter_disabled": {"not_match": at_80}}
    kept = listener("kept", names, [listener_filter("proxy_protocol"), unless])
    at_443 = {"destination_port_range": {"start": 443, "end": 444}}
    either = {**listener_filter("tls_inspector"), "filter_disabled": {"or_match": {"rules": [at_80, at_443]}}}
    neither = {"and_match": {"rules": [{"not_match": at_80}, {"not_match": at_443}]}}
    both_not = {**listener_filter("tls_inspector"), "filter_disabled": neither}
    always = {**listener_filter("tls_inspector"), "filter_disabled": {"any_match": True}}
    ruled = [
        listener(name, names, [listener_filter("proxy_protocol"), one])
        for name, one in {"either": either, "both-not": both_not, "always": always}.items()
    ]
    for where in (passed, kept, *ruled):
        for port in (79, 80, 81, 443):
            header = proxy_v1(("10.0.0.1", 1), ("10.0.0.2", port))
            yield where, f"port {port}", (header + hello("a.test"),)
    for over, more in (("closes", False), ("goes on", True)):
        late = {"listener_filters_timeout": "0.3s", "continue_on_listener_filters_timeout": more}
        waiting = listener(f"late {over}", names, [listener_filter("tls_inspector")], **late)
        yield waiting, "nothing", ()
        yield waiting, "half a hello", (flight[:100],)
    yield listener("unmatched", [chain("never", {"source_ports": [1]})]), "anyone", (b"x",)
