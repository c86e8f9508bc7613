"""Worlds and cases of requests about which a rate limit service is asked."""

import json

from differential.case import both
from differential.filtering import put, said, setting, typed, world
from differential.limiting import GENERIC, GRPC, each, of_all
from differential.routing import header
from harness.config import cluster, direct, route, virtual_host

LIMIT = "ratelimit.v3.RateLimit"
PER_ROUTE = "ratelimit.v3.RateLimitPerRoute"
PLAN = {"request_headers": {"header_name": "x-plan", "descriptor_key": "answer", "skip_if_absent": True}}
OF_PATH = {"request_headers": {"header_name": ":path", "descriptor_key": "path"}}
OF_USER = {"request_headers": {"header_name": "x-user", "descriptor_key": "user"}}


def service(name="rls", **more):
    return {"transport_api_version": "V3", "grpc_service": {"envoy_grpc": {"cluster_name": name}, **more}}


def limit(name, to="rls", **config):
    """A filter that only the routes of its name enable. It waits for as long as a busy machine may need."""
    common = {"domain": f"of-{name}", "timeout": "10s", "rate_limit_service": service(to)}
    return put(LIMIT, name, disabled=True, **{**common, **config})


LEFT = {"enable_x_ratelimit_headers": "DRAFT_VERSION_03"}
FILTERS = {
    "plain": {},
    "left": LEFT,
    "unmarked": {"disable_x_envoy_ratelimited_header": True},
    "deny": {"failure_mode_deny": True},
    "deny-status": {"failure_mode_deny": True, "status_on_error": {"code": "ServiceUnavailable"}},
    "allow-all": {"failure_mode_deny": True, "failure_mode_deny_percent": of_all(0)},
    "deny-all": {"failure_mode_deny_percent": of_all(100)},
    "exhausted": {"rate_limited_as_resource_exhausted": True},
    "status": {"rate_limited_status": {"code": "ServiceUnavailable"}},
    "no-error": {"rate_limited_status": {"code": "Accepted"}},
    "headers": {"response_headers_to_add": [header("x-refused", "yes"), header("x-from", "%REQ(x-user)%")]},
    "not-enabled": {"filter_enabled": of_all(0)},
    "not-enforced": {"filter_enforced": of_all(0), **LEFT},
    "internal": {"request_type": "internal"},
    "external": {"request_type": "external"},
    "both": {"request_type": "both", "stat_prefix": "named"},
    "later": {"stage": 1},
    "own": {"rate_limits": [{"actions": [{"generic_key": {"descriptor_value": "of-filter"}}, PLAN]}]},
    "missing": {"to": "missing"},
    "missing-deny": {"to": "missing", "failure_mode_deny": True},
    "refused": {"to": "refused"},
}


HITS = {"number": {"number": 3}, "zero": {"number": 0}, "back": {"number": 2, "is_negative_hits": True}, "said": {"format": "%REQ(x-user)%"}}


def services(ports):
    to = lambda **more: {"cluster": "up", **more}
    on = lambda name: said((name, setting({})))
    own = lambda **config: said(("plain", typed(PER_ROUTE, **config)))
    routes = [route(f"/{name}/", to(**each(OF_PATH, PLAN)), **on(name)) for name in FILTERS]
    routes += [
        route("/two", to(rate_limits=[{"actions": [OF_USER]}, {"actions": [GENERIC, PLAN]}]), **on("plain")),
        route("/stages", to(rate_limits=[{"actions": [OF_PATH]}, {"actions": [GENERIC, PLAN], "stage": 1}]), **on("later")),
        route("/nothing", "up", **on("plain")),
        route("/domain", to(**each(OF_PATH, PLAN)), **own(domain="of-route")),
        route("/rates", to(**each(OF_PATH, PLAN)), **own(rate_limits=[{"actions": [GENERIC, PLAN]}])),
        route("/gone", {"cluster": "empty", **each(OF_PATH, PLAN)}, **on("plain")),
        route("/route", to(**each(OF_PATH, PLAN)), **on("plain"), response_headers_to_add=[header("x-route", "said")]),
        route("/override", to(**each(GENERIC, PLAN, limit={"rate_limit": {"requests_per_unit": 7, "unit": "HOUR"}})), **on("plain")),
        *(route(f"/hits-{name}", "up", **own(rate_limits=[{"actions": [GENERIC, PLAN], "hits_addend": hits}])) for name, hits in HITS.items()),
        direct("/direct", 200, "direct", **on("plain")),
        route("/off", to(**each(OF_PATH, PLAN))),
    ]
    by_host = lambda name, **config: virtual_host(
        name,
        [f"{name}.test"],
        route("/own", to(**each(OF_PATH, PLAN)), **own(**config)),
        route("/included", to(include_vh_rate_limits=True, **each(OF_PATH, PLAN)), **own(**config)),
        route("/", "up", **own(**config)),
        **each(GENERIC),
    )
    hosts = [by_host("override"), by_host("include", vh_rate_limits="INCLUDE"), by_host("ignore", vh_rate_limits="IGNORE")]
    filters = [limit(name, **config) for name, config in FILTERS.items()]
    clusters = [cluster("up", ports["up"]), cluster("empty"), cluster("rls", ports["rls"], http2=True), cluster("refused", ports["refused"], http2=True)]
    return world(filters, [virtual_host("main", ["*"], *routes), *hosts], clusters)


def told(code="OVER_LIMIT", **more):
    return (("x-plan", json.dumps({"overall_code": code, **more})),)


def status(requests, unit, remaining, seconds, **more):
    limit = {"requests_per_unit": requests, "unit": unit, **more}
    return {"code": "OK", "current_limit": limit, "limit_remaining": remaining, "duration_until_reset": f"{seconds}s"}


STATUSES = {"statuses": [status(100, "HOUR", 50, 1800, name="all"), {"code": "OK"}, status(10, "SECOND", 3, 1), status(7, "WEEK", 3, 9)]}
FIELDS = {
    "response_headers_to_add": [{"key": "X-Told", "value": "client"}, {"key": "x-told", "value": "twice"}],
    "request_headers_to_add": [{"key": "x-told", "value": "upstream"}],
}
TYPED = {"response_headers_to_add": [{"key": "content-type", "value": "application/json"}], "raw_body": "e30="}
ANSWERS = {
    "nothing said": (),
    "within": told("OK", **STATUSES),
    "within with fields": told("OK", **FIELDS),
    "over": told(**STATUSES),
    "over with fields": told(**FIELDS),
    "over with a body": told(raw_body="dG9vIG9mdGVu"),
    "over with a body of a type": told(**TYPED),
    "failed": (("x-plan", json.dumps({"status": "UNAVAILABLE"})),),
}


def cases():
    for name, sent in ANSWERS.items():
        for at in FILTERS:
            yield from both("services", f"{at}: {name}", target=f"/{at}/x", headers=(*sent, ("x-user", "ann")))
        for at in ("plain", "exhausted", "deny", "status"):
            yield from both("services", f"{at} of gRPC: {name}", target=f"/{at}/x", method="POST", body="", headers=GRPC + sent)
    for path in "/two /stages /nothing /domain /rates /gone /route /direct /off /override /hits-number /hits-zero /hits-back /hits-said".split():
        for name in ("nothing said", "over"):
            for user in ("ann", "4", None):
                who = (("x-user", user),) if user else ()
                yield from both("services", f"{path}: {name} of {user}", target=path, headers=ANSWERS[name] + who)
    yield from both("services", "a body waits", target="/plain/x", method="POST", body="hello", headers=ANSWERS["within with fields"])
    yield from both("services", "a body is refused", target="/plain/x", method="POST", body="hello", headers=ANSWERS["over"])
    for host in ("override", "include", "ignore"):
        for path in ("/own", "/included", "/none"):
            for name in ("nothing said", "over"):
                yield from both("services", f"{path} at {host}: {name}", target=path, headers=ANSWERS[name], host=f"{host}.test")


WORLDS = {"services": services}
