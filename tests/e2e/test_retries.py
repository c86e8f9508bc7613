"""Requests that are sent once more: by the policy of a route, or of a caller inside the mesh."""

import socket

import pytest

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.upstream import Tcp
from harness.waiting import until

FAST = {"retry_back_off": {"base_interval": "0.001s"}}
INSIDE = [("x-forwarded-for", "10.0.0.1")]
TEN = {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}


def answer(status, **more):
    return {"status": status, "body": f"said {status}", **more}


@pytest.fixture
def place(start, http_upstream):
    """Starts a proxy whose route has a retry policy, in front of one upstream."""

    def make(policy, cluster_more=None, route_more=None, host_more=None):
        up = http_upstream("up", body="fine")
        action = {"cluster": "up", **({"retry_policy": {**FAST, **policy}} if policy else {}), **(route_more or {})}
        host = virtual_host("all", ["*"], route("/", action), **(host_more or {}))
        config = hcm(routes("main", host), internal_address_config=TEN)
        proxy = start(bootstrap([listener("main", config)], [cluster("up", up.port, **(cluster_more or {}))]))
        return up, proxy

    return make


def ask(proxy, **more):
    return http1.request(proxy.port(), **more)


def counted(proxy, name, cluster="up"):
    return int(proxy.admin.stats().get(f"cluster.{cluster}.{name}", 0))


@pytest.mark.parametrize(
    ("retry_on", "status", "again"),
    [
        ("5xx", 500, True),
        ("5xx", 404, False),
        ("gateway-error", 503, True),
        ("gateway-error", 500, False),
        ("retriable-4xx", 409, True),
        ("retriable-status-codes", 418, True),
        ("retriable-status-codes", 503, False),
        ("connect-failure", 503, False),
    ],
)
def test_each_condition_knows_its_statuses(place, retry_on, status, again):
    up, proxy = place({"retry_on": retry_on, "retriable_status_codes": [418]})
    up.script = [answer(status)]
    got = ask(proxy)
    assert (got.status, len(up.seen)) == ((200, 2) if again else (status, 1))
    assert counted(proxy, "upstream_rq_retry") == int(again)
    assert counted(proxy, "upstream_rq_retry_success") == int(again)


def test_there_are_as_many_retries_as_allowed(place):
    up, proxy = place({"retry_on": "5xx", "num_retries": 2})
    up.script = [answer(500), answer(501), answer(502), answer(200)]
    assert ask(proxy).status == 502
    assert len(up.seen) == 3
    assert counted(proxy, "upstream_rq_retry") == 2
    assert counted(proxy, "upstream_rq_retry_limit_exceeded") == 1
    assert counted(proxy, "upstream_rq_retry_backoff_exponential") == 2


def test_a_connection_that_breaks_off_counts_as_a_reset(place):
    up, proxy = place({"retry_on": "reset"})
    up.script = [{"hangup": "before"}]
    assert ask(proxy, method="POST", body=b"x").status == 200
    assert [seen["body"] for seen in up.seen] == ["x", "x"]


def test_bodies_are_sent_again_as_a_whole(place):
    up, proxy = place({"retry_on": "5xx", "num_retries": 3})
    up.script = [answer(503), answer(503)]
    body = bytes(range(256)) * 8
    assert ask(proxy, method="POST", body=body, chunked=True).status == 200
    assert {seen["body"] for seen in up.seen} == {body.decode("latin-1")}
    assert len(up.seen) == 3


@pytest.mark.weft_only
def test_bodies_that_are_too_long_to_be_kept_are_sent_once(place):
    up, proxy = place({"retry_on": "5xx,reset"})
    up.script = [{"hangup": "before"}]
    assert ask(proxy, method="POST", body=b"x" * 200_000).status == 503
    assert len(up.seen) == 1
    until(lambda: counted(proxy, "retry_or_shadow_abandoned") == 1, "the counter")


def test_headers_of_responses_ask_for_retries(place):
    matcher = {"name": "x-again", "string_match": {"exact": "yes"}}
    up, proxy = place({"retry_on": "retriable-headers", "num_retries": 2, "retriable_headers": [matcher]})
    up.script = [answer(200, headers=[["x-again", "yes"]]), answer(200, headers=[["x-again", "no"]])]
    assert ask(proxy).header("x-again") == "no"
    assert len(up.seen) == 2


def test_requests_say_whether_they_can_be_retried(place):
    matcher = {"name": ":method", "string_match": {"exact": "GET"}}
    up, proxy = place({"retry_on": "5xx", "retriable_request_headers": [matcher]})
    up.script = [answer(500), answer(500), answer(500)]
    assert ask(proxy, method="POST", body=b"").status == 500
    assert len(up.seen) == 1
    assert ask(proxy).status == 500
    assert len(up.seen) == 3


def test_a_policy_of_the_virtual_host_holds_where_the_route_has_none(place):
    up, proxy = place(None, host_more={"retry_policy": {"retry_on": "5xx", **FAST}})
    up.script = [answer(500)]
    assert ask(proxy).status == 200


@pytest.mark.parametrize("status", [1, 4, 8, 13, 14])
def test_grpc_statuses_in_the_head_are_conditions(place, status):
    names = {1: "cancelled", 4: "deadline-exceeded", 8: "resource-exhausted", 13: "internal", 14: "unavailable"}
    up, proxy = place({"retry_on": names[status]})
    up.script = [answer(200, headers=[["grpc-status", str(status)]])]
    assert ask(proxy).header("grpc-status") is None
    assert len(up.seen) == 2


def test_callers_inside_ask_in_headers_which_end_here(place):
    up, proxy = place(None)
    up.script = [answer(503), answer(503), answer(503)]
    wishes = [("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "2")]
    assert ask(proxy, headers=[*INSIDE, *wishes]).status == 503
    assert len(up.seen) == 3
    assert not any(name.lower().startswith("x-envoy-retry") for name, _ in up.seen[0]["headers"])


def test_a_try_has_its_own_time(place):
    up, proxy = place({"retry_on": "5xx", "per_try_timeout": "0.2s"})
    up.script = [{"gate": "held"}]
    got = ask(proxy)
    up.open_gate("held")
    assert got.status == 200
    assert counted(proxy, "upstream_rq_per_try_timeout") == 1


def test_a_try_may_rest_only_so_long(place):
    up, proxy = place({"retry_on": "5xx", "per_try_idle_timeout": "0.2s"})
    up.script = [{"gate": "held"}, {"gate": "held"}]
    got = ask(proxy)
    up.open_gate("held")
    assert (got.status, got.text) == (504, "upstream request timeout")
    assert len(up.seen) == 2
    assert counted(proxy, "upstream_rq_per_try_idle_timeout") == 2


def test_a_response_that_has_begun_may_rest_only_so_long(start):
    class Resting(Tcp):
        """Sends the half of a response."""

        def serve(self, connection, number):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            connection.recv(65536)

    with Resting("resting") as up:
        action = {"cluster": "up", "retry_policy": {"retry_on": "5xx", "per_try_idle_timeout": "0.2s"}}
        table = routes("main", virtual_host("all", ["*"], route("/", action)))
        proxy = start(bootstrap([listener("main", hcm(table))], [cluster("up", up.port)]))
        with pytest.raises(http1.Broken):
            http1.request(proxy.port())
        until(lambda: counted(proxy, "upstream_rq_per_try_idle_timeout") == 1, "the try to be given up")


def test_the_last_try_that_is_too_slow_is_told_so(place):
    up, proxy = place({"retry_on": "connect-failure", "per_try_timeout": "0.2s"})
    up.script = [{"gate": "held"}]
    got = ask(proxy)
    up.open_gate("held")
    assert (got.status, got.text) == (504, "upstream request timeout")
    assert len(up.seen) == 1


def test_the_time_of_the_whole_request_ends_retries(place):
    up, proxy = place(
        {"retry_on": "5xx", "num_retries": 50, "retry_back_off": {"base_interval": "60s"}},
        route_more={"timeout": "0.3s"},
    )
    up.script = [answer(500)]
    got = ask(proxy)
    assert (got.status, got.text) == (504, "upstream request timeout")
    assert len(up.seen) == 1


def test_pauses_grow_no_longer_than_they_may(place):
    back_off = {"base_interval": "0.3s", "max_interval": "0.3s"}
    up, proxy = place({"retry_on": "5xx", "num_retries": 9, "retry_back_off": back_off}, route_more={"timeout": "10s"})
    up.script = [answer(503)] * 9
    assert ask(proxy).status == 200
    assert len(up.seen) == 10


def test_a_try_is_told_whether_the_one_before_was_too_slow(place):
    policy = {"retry_on": "5xx", "per_try_timeout": "0.2s", "num_retries": 2}
    up, proxy = place(policy, host_more={"include_is_timeout_retry_header": True})
    up.script = [{"gate": "held"}, answer(503)]
    got = ask(proxy)
    up.open_gate("held")
    assert got.status == 200
    assert [dict(seen["headers"]).get("x-envoy-is-timeout-retry") for seen in up.seen] == [None, "true", "false"]


@pytest.mark.parametrize(
    ("host_more", "size", "tries"),
    [
        ({}, 65_536, 2),
        ({}, 65_537, 1),
        ({"request_body_buffer_limit": 50}, 50, 2),
        ({"request_body_buffer_limit": 50}, 51, 1),
        ({"per_request_buffer_limit_bytes": 200_000}, 200_000, 2),
        ({"per_request_buffer_limit_bytes": 9, "request_body_buffer_limit": 50}, 50, 2),
    ],
)
def test_as_much_of_a_body_is_kept_as_is_said(place, host_more, size, tries):
    up, proxy = place({"retry_on": "5xx"}, host_more=host_more)
    up.script = [answer(503)]
    got = ask(proxy, method="POST", body="b" * size)
    assert (got.status, len(up.seen)) == (200 if tries == 2 else 503, tries)


def test_a_route_keeps_another_part_of_a_body_than_its_host(start, http_upstream):
    up = http_upstream("up", body="fine")
    action = {"cluster": "up", "retry_policy": {"retry_on": "5xx", **FAST}}
    host = virtual_host(
        "all",
        ["*"],
        route("/more", action, request_body_buffer_limit=60),
        route("/older", action, per_request_buffer_limit_bytes=60),
        route("/", action),
        request_body_buffer_limit=50,
    )
    proxy = start(bootstrap([listener("main", hcm(routes("main", host)))], [cluster("up", up.port)]))
    for target, status in (("/more", 200), ("/older", 200), ("/", 503)):
        up.script = [answer(503)]
        assert ask(proxy, method="POST", target=target, body="b" * 60).status == status
        up.script.clear()


def test_an_upstream_says_when_to_come_again(place):
    told = {"reset_headers": [{"name": "retry-after", "format": "SECONDS"}], "max_interval": "2s"}
    up, proxy = place({"retry_on": "5xx", "num_retries": 2, "rate_limited_retry_back_off": told})
    up.script = [answer(503, headers=[["retry-after", "1"]]), answer(503, headers=[["retry-after", "900"]])]
    assert ask(proxy).status == 200
    assert counted(proxy, "upstream_rq_retry_backoff_ratelimited") == 1
    assert counted(proxy, "upstream_rq_retry_backoff_exponential") == 1


def test_no_more_are_tried_again_than_the_cluster_allows(place):
    limit = {"circuit_breakers": {"thresholds": [{"max_retries": 0, "track_remaining": True}]}}
    up, proxy = place({"retry_on": "5xx"}, cluster_more=limit)
    up.script = [answer(503)]
    assert ask(proxy).status == 503
    assert counted(proxy, "upstream_rq_retry_overflow") == 1


@pytest.mark.weft_only
def test_how_many_may_be_tried_again_is_shown(place):
    limit = {"circuit_breakers": {"thresholds": [{"max_retries": 2, "track_remaining": True}]}}
    up, proxy = place({"retry_on": "5xx"}, cluster_more=limit)
    assert counted(proxy, "circuit_breakers.default.remaining_retries") == 2
    assert counted(proxy, "circuit_breakers.default.rq_retry_open") == 0


def test_a_budget_always_allows_its_minimum(place):
    budget = {"budget_percent": {"value": 0}, "min_retry_concurrency": 1}
    limit = {"circuit_breakers": {"thresholds": [{"max_retries": 0, "retry_budget": budget}]}}
    up, proxy = place({"retry_on": "5xx"}, cluster_more=limit)
    up.script = [answer(503)]
    assert ask(proxy).status == 200


def test_another_endpoint_is_tried(start, http_upstream):
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        up = http_upstream("up", body="fine")
        policy = {
            **FAST,
            "retry_on": "connect-failure",
            "num_retries": 3,
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                    },
                }
            ],
            "host_selection_retry_max_attempts": 5,
        }
        host = virtual_host("all", ["*"], route("/", {"cluster": "up", "retry_policy": policy}))
        both = cluster("up", refusing.getsockname()[1], up.port)
        proxy = start(bootstrap([listener("main", hcm(routes("main", host)))], [both]))
        assert [ask(proxy).status for _ in range(10)] == [200] * 10
        assert counted(proxy, "upstream_rq_retry") >= 4


def grpc_failure(*trailers):
    """A gRPC call that fails before its first message: a head, and trailers as a frame of their own."""
    fields = [["grpc-status", "14"], *trailers]
    return answer(200, headers=[["content-type", "application/grpc"]], framing="chunked", trailers=fields) | {"body": ""}


def grpc_call(proxy):
    return ask(proxy, method="POST", headers=[("content-type", "application/grpc"), ("te", "trailers")], body=b"")


@pytest.mark.weft_only
def test_grpc_statuses_in_trailers_without_a_body_are_conditions(place):
    """Envoy looks at the head only, which such a call leaves without a status."""
    up, proxy = place({"retry_on": "unavailable", "num_retries": 2})
    up.script = [grpc_failure(), grpc_failure()]
    assert grpc_call(proxy).body == b"fine"
    assert len(up.seen) == 3
    assert counted(proxy, "upstream_rq_retry_success") == 1
    up.script = [grpc_failure() for _ in range(3)]
    assert dict(grpc_call(proxy).trailers)["grpc-status"] == "14", "the last one is passed on as it came"
    message = grpc_failure() | {"body": "message"}
    up.script = [message]
    seen = len(up.seen)
    got = grpc_call(proxy)
    assert (got.body, dict(got.trailers)["grpc-status"]) == (b"message", "14"), "a call that has begun is not retried"
    assert len(up.seen) == seen + 1


@pytest.mark.weft_only
@pytest.mark.parametrize(("pushback", "tries"), [("0", 2), ("20", 2), ("-1", 1), ("soon", 1)])
def test_servers_of_grpc_push_back(place, pushback, tries):
    up, proxy = place({"retry_on": "unavailable", "num_retries": 1})
    up.script = [grpc_failure(["grpc-retry-pushback-ms", pushback])]
    assert grpc_call(proxy).status == 200
    assert len(up.seen) == tries
    assert counted(proxy, "upstream_rq_retry_backoff_ratelimited") == tries - 1
