"""What a live proxy says of a request: where it goes and why, and why not elsewhere."""

import json
from urllib.parse import urlencode

import pytest

from differential.filtering import put, said, setting, typed
from harness import http1
from harness.config import ROUTER, address, assignment, bootstrap, cluster, direct, hcm, listener, route, routes, tcp_proxy, virtual_host
from harness.proxy import Proxy
from harness.upstream import Http
from harness.waiting import until


def asked(proxy, **parameters):
    answer = proxy.admin.get("/explain?" + urlencode(parameters, doseq=True))
    return answer.status, answer.text


def explained(proxy, **parameters):
    status, body = asked(proxy, format="json", **parameters)
    assert status == 200, body
    return json.loads(body)["explanations"]


@pytest.fixture(scope="module")
def up():
    with Http("up") as upstream:
        yield upstream


@pytest.fixture(scope="module")
def proxy(tmp_path_factory, up):
    canary = {"prefix": "/stock", "headers": [{"name": "x-canary", "string_match": {"exact": "yes"}}]}
    weights = {"weighted_clusters": {"clusters": [{"name": "up", "weight": 3}, {"name": "empty", "weight": 1}]}}
    retried = {"cluster": "up", "timeout": "3s", "retry_policy": {"retry_on": "5xx,reset", "num_retries": 2, "per_try_timeout": "1s"}}
    copied = {"cluster": "up", "request_mirror_policies": [{"cluster": "empty"}]}
    shop = virtual_host(
        "shop",
        ["shop.test"],
        route(canary, retried, name="canary"),
        route("/stock", weights, name="stock"),
        route("/copied", copied, name="copied", **said(("cors", setting(disabled=True)))),
        route("/empty", "empty", name="empty"),
        route("/live", "raw", name="live"),
        direct("/closed", 410, "closed"),
    )
    secure = virtual_host("secure", ["secure.test"], route("/", "up"), require_tls="ALL")
    filters = [put("cors.v3.Cors", "cors"), put("buffer.v3.Buffer", "buffer", max_request_bytes=10, disabled=True), ROUTER]
    at = lambda host: {"endpoint": {"address": address(up.port, host)}}
    sick = at("127.0.0.3") | {"health_status": "UNHEALTHY"}
    clusters = [
        cluster("up", circuit_breakers={"thresholds": [{"max_requests": 77}]}),
        cluster("empty"),
        cluster("sick"),
        cluster("raw", up.port),
    ]
    clusters[0]["load_assignment"] = assignment("up", at("127.0.0.1"), at("127.0.0.2"), sick)
    listeners = [
        listener("web", hcm(routes("main", shop, secure), http_filters=filters)),
        listener("raw", tcp_proxy("raw")),
    ]
    world = bootstrap(listeners, clusters)
    with Proxy("weft", world, tmp_path_factory.mktemp("explain")) as made:
        yield made


def test_the_route_and_why_not_the_others(proxy):
    [found] = explained(proxy, authority="shop.test", path="/stock/7", header=["x-canary: no"], listener="web")
    assert found["verdict"] == "sent to up or empty"
    assert (found["virtualHost"], found["route"]["name"]) == ("shop", "stock")
    assert found["route"]["conditions"] == ["the path begins with /stock"]
    others = {other["rule"]["name"]: other["why"] for other in found["others"]}
    assert others["canary"] == ["asks that the header x-canary is yes; the request has no"]
    assert others["copied"] == ["asks that the path begins with /copied; the request has /stock/7"]
    assert [(it["cluster"], it["percent"]) for it in found["destinations"]] == [("up", 75.0), ("empty", 25.0)]
    assert "no endpoints" in found["destinations"][1]["trouble"]


def test_policies_and_limits(proxy):
    [found] = explained(proxy, authority="shop.test", path="/stock", header=["x-canary: yes"], listener="web")
    assert found["route"]["name"] == "canary"
    assert "tried again up to 2 times, on 5xx,reset" in found["policies"]
    assert any("of 77 requests" in line for line in found["policies"])
    limits = {limit["what"]: limit["milliseconds"] for limit in found["timeouts"]}
    assert (limits["the whole answer"], limits["the answer of one try"]) == (3000, 1000)
    assert found["filters"] == ["cors: CORS", "buffer: holds requests until they are whole, left out unless a route enables it"]
    [copied] = explained(proxy, authority="shop.test", path="/copied", listener="web")
    assert "copied to empty" in copied["policies"]
    assert copied["filters"][0] == "cors: CORS, left out for this route"


def test_endpoints_with_their_shares(proxy, up):
    [found] = explained(proxy, authority="shop.test", path="/stock", header=["x-canary: yes"], listener="web")
    by_address = {}
    for one in found["destinations"][0]["endpoints"]:
        by_address.setdefault(one["address"], []).append(one)
    shares = sorted(one["percent"] for ones in by_address.values() for one in ones)
    assert shares[0] == 0 and shares[1] == pytest.approx(50, abs=5) and sum(shares) == pytest.approx(100)
    [reason] = [one["keptFrom"] for ones in by_address.values() for one in ones if "keptFrom" in one]
    assert reason == ["its source says that it is not healthy"]


def test_what_goes_nowhere(proxy):
    verdict = lambda **more: explained(proxy, listener="web", **more)[0]["verdict"]
    assert verdict(authority="shop.test", path="/none") == "answered with 404: no route of this host matches"
    assert verdict(authority="other.test").startswith('answered with 404: "other.test" belongs to no virtual host of "main" (there are: shop, secure')
    assert verdict(authority="shop.test", path="/closed") == "answered with 410"
    assert verdict(authority="shop.test", path="/empty") == "refused: nobody takes requests behind empty"
    assert verdict(authority="secure.test") == "answered with a redirect: this host is for https only"
    assert verdict(authority="secure.test", scheme="https") == "sent to up"


def test_every_listener_is_asked_unless_one_is_named(proxy):
    found = {one["listener"]: one for one in explained(proxy, authority="shop.test", path="/closed")}
    assert sorted(found) == ["raw", "web"]
    assert found["raw"]["verdict"] == "not looked into: its bytes are sent to raw"


def test_it_says_the_same_in_words(proxy):
    _, text = asked(proxy, authority="shop.test", path="/stock", listener="web")
    assert text.startswith("GET http://shop.test/stock\n\nsent to up or empty\n")
    for part in ("  listener      web (127.0.0.1:", "  route         stock: the path begins with /stock", "  not           canary: asks that"):
        assert part in text, text


def test_questions_that_make_no_sense(proxy):
    for parameters, what in [
        ({}, "says no host (hint: /explain?authority=shop.test"),
        ({"authority": "a", "path": "x"}, 'path "x" does not begin with a slash'),
        ({"authority": "a", "header": "x"}, 'header "x" is no field'),
        ({"authority": "a", "scheme": "ftp"}, 'scheme "ftp" is neither http nor https'),
        ({"authority": "a", "listener": "none"}, 'no listener is called "none" (there are: raw, web)'),
        ({"authority": "a", "verb": "GET"}, 'parameter "verb" is not supported here'),
    ]:
        status, body = asked(proxy, **parameters)
        assert (status, what in body) == (400, True), body


def test_requests_under_way_are_seen(proxy, up):
    with http1.Connection(proxy.port("web")) as held:
        held.send(http1.encode("GET", "/live", [("x-respond", '{"gate": "explained"}')], host="shop.test"))

        def active():
            [found] = explained(proxy, authority="shop.test", path="/live", listener="web")
            return sum(one["activeRequests"] for one in found["destinations"][0]["endpoints"])

        until(lambda: active() == 1, what="the request under way")
        up.open_gate("explained")
        assert held.read().status == 200
        until(lambda: active() == 0, what="its end")


HASHED = {
    "header": {"header": {"header_name": "x-user"}},
    "query": {"query_parameter": {"name": "user"}},
    "cookie": {"cookie": {"name": "user", "ttl": "60s"}},
}


@pytest.mark.parametrize("policy", ["RING_HASH", "MAGLEV"])
def test_a_hashed_request_goes_where_it_is_said_to_go(start, policy):
    with Http("a") as a, Http("b") as b, Http("c") as c:
        ups = {up.address: up.name for up in (a, b, c)}
        hashed = [route(f"/{name}", {"cluster": "up", "hash_policy": [by]}, name=name) for name, by in HASHED.items()]
        config = hcm(routes("main", virtual_host("all", ["*"], *hashed)))
        target = cluster("up", *(up.port for up in (a, b, c)), lb_policy=policy)
        proxy = start(bootstrap([listener("main", config)], [target]))
        gone = set()
        for user in range(12):
            for name, path, headers in (
                ("header", "/header", [("x-user", f"u{user}")]),
                ("query", f"/query?user=u{user}", []),
                ("cookie", "/cookie", [("cookie", f"user=u{user}")]),
            ):
                [found] = explained(proxy, authority="x", path=path, header=[f"{n}:{v}" for n, v in headers])
                pick = found["destinations"][0]["pick"]
                seen = http1.request(proxy.port(), "GET", path, headers).header("x-upstream")
                assert (ups[pick["endpoint"]], name in pick["why"]) == (seen, True)
                gone.add(seen)
        assert len(gone) > 1
        [found] = explained(proxy, authority="x", path="/cookie")
        assert found["destinations"][0]["pick"] == {"why": "by the cookie user: a client without the cookie is given one"}
        status, text = asked(proxy, authority="x", path="/header", header="x-user:u1")
        assert status == 200 and "    picked      127.0.0.1:" in text
