"""What policies and routes say of retries, hashing, outliers and other origins is done by a real Envoy, old and new,
and by our proxy alike."""

import pytest

from harness import http1
from harness.asking import Asking
from harness.config import ads_bootstrap
from harness.mesh import http_route, rule, service, traffic_policy
from harness.proxy import Proxy
from harness.upstream import Tcp
from harness.waiting import until


@pytest.fixture(params=["envoy", "envoy-older", "weft"])
def sidecar(request, control, tmp_path, processes):
    """Starts a sidecar without an application."""

    def start():
        config = ads_bootstrap(control.xds_port, "delta", metadata={"weft": {"outbound": "127.0.0.1:0"}})
        return Proxy(request.param, config, tmp_path, name="sidecar")

    return start


def ask(port, host, path="/", headers=(), method="GET"):
    return http1.request(port, method, path, headers, host=host)


def ready(port, host, path="/ready"):
    until(lambda: ask(port, host, path).status == 200, f"{host} to answer")


def failing(status, **more):
    return {"status": status, "body": f"said {status}", **more}


def test_a_policy_has_requests_tried_again(control, sidecar, http_upstream):
    app = http_upstream("app", body="fine")
    again = {"attempts": 2, "on": ["gateway-error"], "codes": [418], "backoff": "1ms"}
    control.put(service("app", app.address), traffic_policy("app", "app", retries=again))
    port = sidecar().port("outbound")
    ready(port, "app")
    for script, expected in [
        ([failing(503), failing(418)], 200),
        ([failing(503), failing(503), failing(503)], 503),
        ([failing(500)], 500),
    ]:
        app.script = list(script)
        assert ask(port, "app").status == expected, script
        assert not app.script


def test_what_is_slow_is_sent_to_another_endpoint_as_well(control, sidecar, http_upstream):
    """Envoy passes over the policy, which it has nothing like."""
    apps = [http_upstream(f"app{at}", body="fine") for at in range(2)]
    policy = traffic_policy("app", "app", hedging={"after": "50ms", "budget": {"minConcurrent": 2}})
    control.put(service("app", *[app.address for app in apps]), policy)
    started = sidecar()
    port = started.port("outbound")
    ready(port, "app")
    for app in apps:
        app.script = [{"gate": "slow", "status": 200, "body": "slow"}]
    asking = Asking(port, host="app", target="/slow")
    seen = lambda: [app for app in apps if app.seen and app.seen[-1]["target"] == "/slow"]
    until(lambda: len(seen()) == (2 if started.kind == "weft" else 1), "the request")
    for app in apps:
        app.open_gate("slow")
    assert asking.answer().body == b"slow"
    assert sum(entry["target"] == "/slow" for app in apps for entry in app.seen) == len(seen())


def test_what_a_route_says_of_retries_holds_alone(control, sidecar, http_upstream):
    app = http_upstream("app", body="fine")
    never = rule(matches=[{"path": {"value": "/never"}}]) | {"retry": {"attempts": 0}}
    often = rule(matches=[{"path": {"value": "/often"}}]) | {"retry": {"codes": [500], "attempts": 3, "backoff": "1ms"}}
    policy = traffic_policy("app", "app", retries={"on": ["gateway-error"], "backoff": "1ms"})
    control.put(service("app", app.address), policy, http_route("app", "app", never, often, rule()))
    port = sidecar().port("outbound")
    ready(port, "app")
    for path, status, tries, expected in [
        ("/never", 503, 1, 503),
        ("/often", 500, 3, 200),
        ("/often", 503, 1, 503),
        ("/else", 503, 1, 200),
        ("/else", 500, 1, 500),
    ]:
        app.script = [failing(status)] * tries
        assert ask(port, "app", path).status == expected, path
        assert not app.script, path


def test_one_try_has_a_part_of_the_time(control, sidecar, http_upstream):
    app = http_upstream("app", body="fine")
    limits = {"request": "20s", "backendRequest": "200ms"}
    tried = rule(matches=[{"path": {"value": "/tried"}}]) | {"timeouts": limits, "retry": {"backoff": "1ms"}}
    once = rule(matches=[{"path": {"value": "/once"}}]) | {"timeouts": limits}
    control.put(service("app", app.address), http_route("app", "app", tried, once, rule()))
    port = sidecar().port("outbound")
    ready(port, "app")
    app.script = [{"gate": "later"}]
    assert ask(port, "app", "/tried").status == 200, "the second try is in time"
    app.script = [{"gate": "later"}]
    assert ask(port, "app", "/once").status == 504, "the only try ends the request"
    app.open_gate("later")


@pytest.mark.parametrize("policy", ["RingHash", "Maglev"])
def test_equal_requests_go_to_the_same_endpoint(control, sidecar, http_upstream, policy):
    apps = [http_upstream(name) for name in ("one", "two", "three")]
    on = [{"header": "X-User"}]
    control.put(
        service("app", *(app.address for app in apps)),
        traffic_policy("app", "app", loadBalancer={"policy": policy, "hashOn": on}),
    )
    port = sidecar().port("outbound")
    ready(port, "app")

    def reached(user):
        return ask(port, "app", headers=[("x-user", user)]).json()["upstream"]

    homes = {user: reached(user) for user in map(str, range(40))}
    assert set(homes.values()) == {"one", "two", "three"}
    assert {user: reached(user) for user in homes} == homes


def test_a_client_is_kept_by_a_cookie(control, sidecar, http_upstream):
    apps = [http_upstream(name) for name in ("one", "two", "three")]
    cookie = {"cookie": {"name": "kept", "ttl": "1h", "path": "/"}}
    control.put(
        service("app", *(app.address for app in apps)),
        traffic_policy("app", "app", loadBalancer={"policy": "Maglev", "hashOn": [cookie]}),
    )
    port = sidecar().port("outbound")
    ready(port, "app")
    first = ask(port, "app")
    given = first.header("set-cookie")
    assert given.startswith("kept="), given
    headers = [("cookie", given.split(";")[0])]
    home = first.json()["upstream"]
    assert {ask(port, "app", headers=headers).json()["upstream"] for _ in range(10)} == {home}


def test_an_endpoint_that_fails_is_left_alone(control, sidecar, http_upstream):
    good, bad = http_upstream("good", body="fine"), http_upstream("bad", body="never seen")
    outliers = {"consecutiveErrors": 2, "interval": "50ms", "baseEjectionTime": "1h"}
    control.put(
        service("app", good.address, bad.address),
        traffic_policy("app", "app", outlierDetection=outliers),
    )
    bad.script = [failing(500)] * 1000
    port = sidecar().port("outbound")
    until(lambda: {ask(port, "app").status for _ in range(12)} == {200}, "the endpoint to be left alone")
    failed = len(bad.seen)
    assert failed >= 2
    assert {ask(port, "app").status for _ in range(20)} == {200}
    assert len(bad.seen) == failed


def test_pages_of_other_origins_may_ask(control, sidecar, http_upstream):
    app = http_upstream("app", body="fine")
    said = {
        "allowOrigins": ["https://shop.example.com", "https://*.pages.example.com"],
        "allowMethods": ["PUT"],
        "allowHeaders": ["x-user"],
        "exposeHeaders": ["x-total"],
        "allowCredentials": True,
        "maxAge": 60,
    }
    shared = rule(
        matches=[{"path": {"value": "/shared"}, "method": "PUT", "headers": [{"name": "x-user", "value": "me"}]}],
        filters=[{"type": "CORS", "cors": said}],
    )
    control.put(service("app", app.address), http_route("app", "app", shared, rule()))
    port = sidecar().port("outbound")
    ready(port, "app")
    asks = ("access-control-request-method", "PUT")

    def asked(origin, path="/shared"):
        return ask(port, "app", path, [("origin", origin), asks], method="OPTIONS")

    before = len(app.seen)
    for origin in ("https://shop.example.com", "https://deep.down.pages.example.com"):
        answer = asked(origin)
        assert answer.status == 200
        assert answer.header("access-control-allow-origin") == origin
        assert answer.header("access-control-allow-methods") == "PUT"
        assert answer.header("access-control-allow-headers") == "x-user"
        assert answer.header("access-control-allow-credentials") == "true"
        assert answer.header("access-control-max-age") == "60"
    assert len(app.seen) == before, "the proxy answers"
    for origin, path in (("https://stranger.example.com", "/shared"), ("https://shop.example.com", "/else")):
        assert asked(origin, path).header("access-control-allow-origin") is None, origin
    for origin, allowed in (("https://shop.example.com", True), ("https://pages.example.com", False)):
        answer = ask(port, "app", "/shared", [("origin", origin), ("x-user", "me")], method="PUT")
        assert answer.header("access-control-allow-origin") == (origin if allowed else None)
        assert answer.header("access-control-expose-headers") == ("x-total" if allowed else None)


def test_a_backend_has_changes_of_its_own(control, sidecar, http_upstream):
    app = http_upstream("app")
    changes = {
        "type": "RequestHeaderModifier",
        "requestHeaderModifier": {"set": [{"name": "x-by", "value": "100%"}], "remove": ["x-secret"]},
    }
    answers = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-from", "value": "app"}]}}
    backend = {"name": "app", "filters": [changes, answers]}
    control.put(service("app", app.address), http_route("app", "app", {"backendRefs": [backend]}))
    port = sidecar().port("outbound")
    until(lambda: ask(port, "app").header("x-from") == "app", "the change of the answer")
    seen = dict(ask(port, "app", headers=[("x-secret", "1")]).json()["headers"])
    assert seen["x-by"] == "100%"
    assert "x-secret" not in seen


def test_a_budget_bounds_what_is_tried_again(control, sidecar, processes):
    with Tcp("closed") as gone:
        address = gone.address
    nothing = {"attempts": 5, "on": ["connect-failure"], "backoff": "1ms", "budget": {"percent": 0, "minConcurrent": 0}}
    control.put(service("app", address), traffic_policy("app", "app", retries=nothing))
    proxy = sidecar()
    port = proxy.port("outbound")
    until(lambda: ask(port, "app").status == 503, "the service to be known")
    # Envoy writes an underscore for the colon.
    stats = {name.replace("default:80", "default_80"): value for name, value in proxy.admin.stats().items()}
    assert int(stats.get("cluster.app.default_80.upstream_rq_retry", 0)) == 0
    assert int(stats["cluster.app.default_80.upstream_rq_retry_overflow"]) > 0


def test_copies_of_requests_go_elsewhere(control, sidecar, http_upstream):
    app, next_app = http_upstream("app", body="fine"), http_upstream("next", body="nobody reads this")
    copies = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "next"}}}
    never = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "next"}, "percent": 0}}
    control.put(
        service("app", app.address),
        service("next", next_app.address),
        http_route(
            "app",
            "app",
            rule(matches=[{"path": {"value": "/copied"}}], filters=[copies]),
            rule(matches=[{"path": {"value": "/never"}}], filters=[never]),
            rule(),
        ),
    )
    port = sidecar().port("outbound")
    ready(port, "app")
    until(lambda: ask(port, "app", "/copied").status == 200 and next_app.seen, "a copy")
    for path in ("/never", "/else"):
        assert ask(port, "app", path).text == "fine"
    # Copies are sent at once: this one comes after any that there should not be.
    before = len(next_app.seen)
    ask(port, "app", "/copied/last")
    until(lambda: any(request["target"] == "/copied/last" for request in next_app.seen), "the last copy")
    assert {request["target"] for request in next_app.seen[:before]} == {"/copied"}


def test_endpoints_are_asked_whether_they_are_well(control, sidecar, http_upstream):
    well, ill = http_upstream("well", body="fine"), http_upstream("ill", body="fine")
    ill.failing.add("/up")
    check = {"http": {"path": "/up"}, "interval": "50ms", "healthyThreshold": 1, "unhealthyThreshold": 1}
    control.put(service("app", well.address, ill.address), traffic_policy("app", "app", healthCheck=check))
    port = sidecar().port("outbound")
    ready(port, "app")

    def reached():
        return {ask(port, "app").header("x-upstream") for _ in range(10)}

    until(lambda: reached() == {"well"}, "the endpoint that is ill to be left out")
    ill.failing.clear()
    until(lambda: reached() == {"well", "ill"}, "it to take part again")
