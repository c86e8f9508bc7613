"""Clusters that consist of others, and clusters that go where a request says."""

from harness import http1
from harness.config import aggregate, bootstrap, cluster, hcm, listener, route, routes, virtual_host


def to(target, *clusters):
    main = routes("main", virtual_host("all", ["*"], route("/", {"cluster": target})))
    return bootstrap([listener("main", hcm(main))], clusters)


def down(made):
    for group in made["load_assignment"]["endpoints"]:
        for endpoint in group["lb_endpoints"]:
            endpoint["health_status"] = "UNHEALTHY"
    return made


def test_the_first_cluster_takes_everything_while_it_can(start, http_upstream):
    first, second = http_upstream("first"), http_upstream("second")
    proxy = start(to("all", aggregate("all", "one", "two"), cluster("one", first.port), cluster("two", second.port)))
    for _ in range(20):
        assert http1.request(proxy.port()).json()["upstream"] == "first"
    stats = proxy.admin.stats()
    assert stats["cluster.one.upstream_rq_total"] == 20, "counted where it went"
    assert stats["cluster.all.upstream_rq_total"] == 0


def test_the_next_cluster_takes_over(start, http_upstream):
    first, second = http_upstream("first"), http_upstream("second")
    one = down(cluster("one", first.port))
    proxy = start(to("all", aggregate("all", "one", "two"), one, cluster("two", second.port)))
    for _ in range(20):
        assert http1.request(proxy.port()).json()["upstream"] == "second"


def test_the_limits_of_the_member_hold(start, http_upstream):
    up = http_upstream("up")
    limits = {"circuit_breakers": {"thresholds": [{"max_requests": 0}]}}
    proxy = start(to("all", aggregate("all", "one"), cluster("one", up.port, **limits)))
    answer = http1.request(proxy.port())
    assert (answer.status, answer.header("x-envoy-overloaded")) == (503, "true")
    assert proxy.admin.stats()["cluster.one.upstream_rq_active_overflow"] == 1


def original(**config):
    made = {"name": "anywhere", "type": "ORIGINAL_DST", "connect_timeout": "1s", "lb_policy": "CLUSTER_PROVIDED"}
    return {**made, **({"original_dst_lb_config": config} if config else {})}


def test_a_header_says_where_to_go(start, http_upstream):
    ups = [http_upstream(name) for name in "ab"]
    proxy = start(to("anywhere", original(use_http_header=True)))
    for up in ups * 3:
        headers = [("x-envoy-original-dst-host", up.address)]
        assert http1.request(proxy.port(), headers=headers).json()["upstream"] == up.name
    assert [up.connections for up in ups] == [1, 1], "connections are used again"


def test_a_header_that_names_nothing_is_503(start):
    proxy = start(to("anywhere", original(use_http_header=True)))
    for wrong in ("nonsense", "127.0.0.1", "name.test:80"):
        answer = http1.request(proxy.port(), headers=[("x-envoy-original-dst-host", wrong)])
        assert (answer.status, answer.text) == (503, "no healthy upstream")
    assert http1.request(proxy.port()).status == 503, "a connection that was meant for us leads nowhere else"
    assert proxy.admin.stats()["cluster.anywhere.original_dst_host_invalid"] == 3


def test_another_header_and_another_port(start, http_upstream):
    up = http_upstream("up")
    config = {"use_http_header": True, "http_header_name": "x-to", "upstream_port_override": up.port}
    proxy = start(to("anywhere", original(**config)))
    assert http1.request(proxy.port(), headers=[("X-To", "127.0.0.1:1")]).status == 200
