"""Sessions that stay at their endpoints, and weights that the hash of a request chooses among."""

from base64 import b64encode

from differential.balancing import of
from differential.behind import TYPE
from harness.config import ROUTER, bootstrap, cluster, endpoint, hcm, listener, route, routes, virtual_host

FILTER = "envoy.extensions.filters.http.stateful_session.v3."
STATE = "envoy.extensions.http.stateful_session."
UPSTREAMS = "abc"
ATTRIBUTES = [{"name": "Secure"}, {"name": "SameSite", "value": "Lax"}]
NAME = "stateful-session"


def cookie(**more):
    rule = {"name": "session", **more}
    return {"name": "envoy.http.stateful_session.cookie", "typed_config": {"@type": f"{TYPE}{STATE}cookie.v3.CookieBasedSessionState", "cookie": rule}}


def header(name):
    return {"name": "envoy.http.stateful_session.header", "typed_config": {"@type": f"{TYPE}{STATE}header.v3.HeaderBasedSessionState", "name": name}}


def per_route(**said):
    return {"typed_per_filter_config": {NAME: {"@type": f"{TYPE}{FILTER}StatefulSessionPerRoute", **said}}}


def session(state, **more):
    return per_route(stateful_session={"session_state": state, **more})


def written(port, expires=None):
    """The value of a cookie, as Envoy's own message says it."""
    text = f"127.0.0.1:{port}".encode()
    number = b""
    if expires is not None:
        number, left = b"\x10", expires
        while left > 127:
            number, left = number + bytes([left & 127 | 128]), left >> 7
        number += bytes([left])
    return b64encode(b"\x0a" + bytes([len(text)]) + text + number).decode()


def plain(port):
    return b64encode(f"127.0.0.1:{port}".encode()).decode()


ALL = {"statuses": ["UNHEALTHY", "DRAINING", "UNKNOWN"]}
CLUSTERS = {
    "up": {},
    "least": {"lb_policy": "LEAST_REQUEST"},
    "ring": {"lb_policy": "RING_HASH"},
    "sick": {},
    "sick-too": {"common_lb_config": {"override_host_status": ALL}},
    "never": {"common_lb_config": {"override_host_status": {}}},
}


def clusters(ports):
    states = {"a": "HEALTHY", "b": "UNHEALTHY", "c": "DRAINING"}
    for name, more in CLUSTERS.items():
        sick = name.startswith(("sick", "never"))
        group = [endpoint(ports[up], **({"health_status": states[up]} if sick else {})) for up in UPSTREAMS]
        yield of(name, {"lb_endpoints": group}, **more)
    for up in UPSTREAMS:
        yield cluster(f"only-{up}", ports[up])


BY_USER = [{"header": {"header_name": "x-user"}}]
WEIGHTS = {"a": 50, "b": 30, "c": 20}


def split(hash_policy, **more):
    parts = [{"name": f"only-{up}", "weight": weight} for up, weight in WEIGHTS.items()]
    return {"weighted_clusters": {"clusters": parts, "use_hash_policy": True, **more}, "hash_policy": hash_policy}


def world(ports):
    strict = session(cookie(path="/"), strict=True)
    missing = session(cookie(path="/"), strict=True, status_on_strict_destination_not_found=404)
    entries = [
        *(route(f"/{name}/", {"cluster": name}) for name in CLUSTERS),
        route("/lasting/", {"cluster": "up"}, **session(cookie(ttl="120s", path="/lasting/", attributes=ATTRIBUTES))),
        route("/elsewhere/", {"cluster": "up"}, **session(cookie(path="/somewhere"))),
        route("/below", {"cluster": "up"}, **session(cookie(path="/below"))),
        route("/header/", {"cluster": "up"}, **session(header("x-session"))),
        route("/off/", {"cluster": "up"}, **per_route(disabled=True)),
        route("/nothing/", {"cluster": "up"}, **per_route(stateful_session={})),
        route("/strict/", {"cluster": "up"}, **strict),
        route("/strict-sick/", {"cluster": "sick"}, **strict),
        route("/missing/", {"cluster": "up"}, **missing),
        route("/missing-sick/", {"cluster": "sick"}, **missing),
        route("/split/", split(BY_USER)),
        route("/chance/", split(BY_USER, use_hash_policy=False)),
    ]
    config = {"@type": f"{TYPE}{FILTER}StatefulSession", "session_state": cookie()}
    filters = [{"name": NAME, "typed_config": config}, ROUTER]
    table = routes("r", virtual_host("main", ["*"], *entries))
    return bootstrap([listener("main", hcm(table, http_filters=filters))], list(clusters(ports)))
