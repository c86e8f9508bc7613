"""What a RateLimitPolicy says is done by a real Envoy, old and new, and by our proxy alike: beside an instance, beside
callers, and at a Gateway."""

import json
import socket

import pytest

from harness import http1, mesh, rls
from harness.config import ads_bootstrap
from harness.proxy import Proxy
from harness.waiting import until

ADDRESS = "127.0.0.2"


@pytest.fixture(params=["envoy", "envoy-older", "weft"])
def proxy(request, control, tmp_path, processes):
    """Starts a proxy that says this of itself."""

    def start(**node):
        config = ads_bootstrap(control.xds_port, "delta", metadata={"weft": node})
        return Proxy(request.param, config, tmp_path, name="proxy")

    return start


@pytest.fixture
def beside(proxy, control, http_upstream):
    """Starts the sidecar of the Service `app`, limited like this; its inbound port."""

    def start(*limits, **more):
        app = http_upstream("app")
        control.put(mesh.service("app"), mesh.rate_limit_policy("app", {"kind": "Service", "name": "app"}, *limits, **more))
        sidecar = proxy(service="app", app=app.address, inbound="127.0.0.1:0")
        knows(sidecar, "app")
        return sidecar, sidecar.port("inbound"), app

    return start


def knows(proxy, *policies):
    """Waits until a proxy has the filters of these policies."""

    def known():
        dump = proxy.admin.get("/config_dump").text
        return all(f'"rate_limit/default/{name}"' in dump for name in policies)

    until(known, "the policies to arrive")


def limit(requests, per="1h", **more):
    return {"requests": requests, "per": per, **more}


def statuses(port, *requests, host="app", headers=()):
    return [http1.request(port, method, path, headers, host=host).status for method, path in requests]


def gets(times, path="/"):
    return [("GET", path)] * times


def test_an_instance_takes_so_many(beside):
    _, port, app = beside(limit(3, burst=4))
    assert statuses(port, *gets(6)) == [200] * 4 + [429] * 2
    assert len(app.seen) == 4, "what is refused does not reach the instance"


def test_every_limit_that_is_about_a_request_counts(beside):
    orders = limit(2, name="orders", match={"method": "POST", "path": {"value": "/orders"}})
    _, port, _ = beside(limit(7, name="all"), orders)
    posts = [("POST", path) for path in ("/orders", "/orders/1?x=y")]
    assert statuses(port, *gets(3), *posts, ("POST", "/ordersX"), ("PUT", "/orders")) == [200] * 7
    assert statuses(port, ("POST", "/orders?z"), ("GET", "/else")) == [429, 429]


def test_a_limit_can_be_for_some_requests_alone(beside):
    exact = {"path": {"type": "Exact", "value": "/a.b"}, "headers": [{"name": "x-user", "value": "one"}]}
    _, port, _ = beside(limit(1, match=exact), status=503)
    one = [("x-user", "one")]
    assert statuses(port, *gets(3, "/a.b")) == [200] * 3
    assert statuses(port, *gets(3, "/axb"), headers=one) == [200] * 3
    assert statuses(port, ("GET", "/a.b"), ("GET", "/a.b?q"), headers=one) == [200, 503]


def test_each_caller_may_send_as_many(beside):
    """A request that does not say who sends it is not limited by that."""
    _, port, _ = beside(limit(2, by=[{"header": "x-user"}]), limit(9, name="all"))
    of = {user: statuses(port, *gets(3), headers=[("x-user", user)]) for user in ("one", "two")}
    assert of == {"one": [200, 200, 429], "two": [200, 200, 429]}
    assert statuses(port, *gets(3)) == [200] * 3


def test_tokens_come_back(beside):
    _, port, _ = beside(limit(1, "200ms"))
    assert statuses(port, *gets(1)) == [200]
    until(lambda: statuses(port, *gets(1)) == [200], "a token to come back")


def test_answers_say_what_is_left(beside):
    _, port, _ = beside(limit(2), headers="XRateLimit")
    answers = [http1.request(port, host="app") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.header("x-ratelimit-limit") for answer in answers] == ["2"] * 3
    assert [answer.header("x-ratelimit-remaining") for answer in answers] == ["1", "0", "0"]


@pytest.mark.parametrize("proxy", ["weft"], indirect=True)
def test_answers_of_ours_say_it_in_the_words_of_the_standard(beside):
    _, port, _ = beside(limit(2), headers="Standard")
    answers = [http1.request(port, host="app") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].header("ratelimit-policy").endswith(";q=2;w=3600")
    assert [";r=1;" in answers[0].header("ratelimit"), ";r=0;" in answers[2].header("ratelimit")] == [True, True]


@pytest.mark.parametrize("proxy", ["envoy", "envoy-older"], indirect=True)
def test_an_envoy_steps_over_what_it_does_not_know(control, proxy, http_upstream):
    app = http_upstream("app")
    control.put(mesh.service("app"), mesh.rate_limit_policy("app", {"kind": "Service", "name": "app"}, limit(2), headers="Standard"))
    port = proxy(service="app", app=app.address, inbound="127.0.0.1:0").port("inbound")
    until(lambda: statuses(port, *gets(1)) == [429], "the limit")


def test_what_is_above_can_be_observed_first(beside):
    sidecar, port, _ = beside(limit(2), mode="Observe")
    assert statuses(port, *gets(5)) == [200] * 5
    stats = sidecar.admin.stats()
    counts = [stats[f"rate_limit.default.app.http_local_rate_limit.{name}"] for name in ("ok", "rate_limited", "enforced")]
    assert counts == [2, 3, 0]


def test_calls_are_told_that_there_is_no_more(beside):
    _, port, _ = beside(limit(1))
    call = [("content-type", "application/grpc"), ("te", "trailers")]
    answers = [http1.request(port, "POST", "/a.B/C", call, host="app") for _ in range(2)]
    assert (answers[1].status, answers[1].header("grpc-status")) == (200, "8")


def test_callers_count_by_rule(control, proxy, http_upstream):
    """All matches of a rule together, and at each port by itself; the rest of the route by its own policy."""
    app = http_upstream("app")
    yearly = mesh.rule(matches=[mesh.prefix("/year"), mesh.exact("/archive")]) | {"name": "yearly"}
    route = {"kind": "HTTPRoute", "name": "app"}
    control.put(
        mesh.service("app", app.address, registered=False),
        mesh.service("free", app.address, registered=False),
        mesh.http_route("app", "app", yearly, mesh.rule()),
        mesh.rate_limit_policy("yearly", {**route, "sectionName": "yearly"}, limit(2), status=503),
        mesh.rate_limit_policy("all", route, limit(3)),
    )
    sidecar = proxy(outbound="127.0.0.1:0")
    knows(sidecar, "yearly", "all")
    port = sidecar.port("outbound")
    until(lambda: statuses(port, *gets(1), host="free") == [200], "the routes")
    assert statuses(port, ("GET", "/year/1"), ("GET", "/archive"), ("GET", "/year"), ("GET", "/archive")) == [200, 200, 503, 503]
    assert statuses(port, *gets(4, "/day")) == [200] * 3 + [429]
    assert statuses(port, *gets(4), host="free") == [200] * 4


def test_a_gateway_counts_what_comes_in(control, proxy, http_upstream):
    app = http_upstream("app")
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        front = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "front"},
            "spec": {
                "gatewayClassName": "weft",
                "addresses": [{"type": "IPAddress", "value": ADDRESS}],
                "listeners": [{"name": "web", "port": port, "protocol": "HTTP"}],
            },
        }
        route = mesh.http_route("app", "front", mesh.rule("app", matches=[mesh.prefix("/app")]))
        route["spec"]["parentRefs"] = [{"name": "front"}]
        control.put(
            mesh.service("app", app.address),
            front,
            route,
            mesh.rate_limit_policy("front", {"kind": "Gateway", "name": "front"}, limit(4)),
            mesh.rate_limit_policy("app", {"kind": "HTTPRoute", "name": "app"}, limit(2), status=503),
        )
        edge = proxy(gateway="front")
        knows(edge, "front", "app")
        edge.port(f"gateway/default/front/{ADDRESS}:{port}")

        def ask(path):
            with http1.Connection(port, ADDRESS) as connection:
                return connection.request("GET", path, host="any").status

        assert [ask("/app") for _ in range(3)] == [200, 200, 503]
        assert [ask("/else") for _ in range(2)] == [404, 429]


@pytest.fixture
def counter(control):
    """A rate limit service, as the Service `counter`, and what a policy says of it."""
    with rls.Service() as service:
        control.put(mesh.service("counter", f"127.0.0.1:{service.port}", protocol="grpc", port=8081, registered=False))
        yield service


def shared(**more):
    """What a policy says of the service; requests tell it themselves what to answer."""
    entries = [{"value": {"key": "plan", "value": "free"}}, {"header": "x-user"}, {"header": rls.ANSWER}]
    return {"service": {"name": "counter"}, "domain": "shop", "descriptors": [{"entries": entries}], "timeout": "20s", **more}


def told(answer):
    return [("x-user", "one"), (rls.ANSWER, json.dumps(answer))]


OVER = {"overall_code": "OVER_LIMIT"}


@pytest.mark.parametrize("calls", [False, True], ids=["instance alone", "instance that calls"])
def test_a_service_counts_for_all_instances(counter, control, proxy, http_upstream, calls):
    """A sidecar asks it also when its application calls nobody."""
    app = http_upstream("app")
    control.put(mesh.service("app"), mesh.rate_limit_policy("app", {"kind": "Service", "name": "app"}, limit(4), **{"global": shared()}))
    more = {"outbound": "127.0.0.1:0"} if calls else {}
    sidecar = proxy(service="app", app=app.address, inbound="127.0.0.1:0", **more)
    knows(sidecar, "app")
    port = sidecar.port("inbound")
    assert statuses(port, *gets(1), headers=told(OVER)) == [429]
    assert counter.questions[-1].startswith("shop(") and "plan=free,x-user=one" in counter.questions[-1]
    assert statuses(port, *gets(1), headers=told({})) == [200]
    asked = len(counter.questions)
    assert statuses(port, *gets(1)) == [200], "without a user nobody is asked"
    assert statuses(port, *gets(2), headers=told({})) == [200, 429]
    assert len(counter.questions) == asked + 1, "nobody is asked about what the sidecar refuses by itself"


@pytest.mark.parametrize(("mode", "expected"), [("Open", 200), ("Closed", 500)])
def test_a_service_that_fails_is_done_without_or_not(counter, control, proxy, http_upstream, mode, expected):
    app = http_upstream("app")
    route = {"kind": "HTTPRoute", "name": "app"}
    control.put(
        mesh.service("app", app.address, registered=False),
        mesh.http_route("app", "app", mesh.rule()),
        mesh.rate_limit_policy("app", route, **{"global": shared(failureMode=mode)}),
    )
    sidecar = proxy(outbound="127.0.0.1:0")
    until(lambda: "rate_limit_service/default/app" in sidecar.admin.get("/config_dump").text, "the policy to arrive")
    port = sidecar.port("outbound")
    until(lambda: statuses(port, *gets(1)) == [200], "the routes")
    assert statuses(port, *gets(1), headers=told({"status": "UNAVAILABLE"})) == [expected]
    assert statuses(port, *gets(1), headers=told(OVER)) == [429]
