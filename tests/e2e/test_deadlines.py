"""How long a request may take: who says so, what the next proxy is told of it, and who is blamed."""

import pytest

from harness import http1
from harness.config import ROUTER, bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.upstream import Server

INSIDE = [("x-forwarded-for", "10.0.0.1")]
TEN = {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
CALL = [("content-type", "application/grpc"), ("te", "trailers")]


class Silent(Server):
    """Takes whatever comes and never answers."""

    def serve(self, connection, number):
        while connection.recv(65536):
            pass


@pytest.fixture
def place(start, http_upstream):
    """Starts a proxy with one route, in front of an upstream that never answers or of one that does."""

    def make(silent=True, respects=False, **action):
        up = Silent("silent") if silent else http_upstream("up")
        router = {**ROUTER, "typed_config": {**ROUTER["typed_config"], "respect_expected_rq_timeout": respects}}
        host = virtual_host("all", ["*"], route("/", {"cluster": "up", **action}))
        config = hcm(routes("main", host), http_filters=[router], internal_address_config=TEN)
        return up, start(bootstrap([listener("main", config)], [cluster("up", up.port)]))

    return make


def said(response):
    """Status, or that of gRPC, and the setting to look at."""
    setting = response.header("proxy-status").split("setting: ")[1].rstrip('"')
    return response.header("grpc-status") or response.status, setting


GRPC = {"max_stream_duration": {"grpc_timeout_header_max": "0s"}}


@pytest.mark.parametrize(
    ("action", "headers", "status", "setting"),
    [
        ({"timeout": "0.05s"}, [], 504, "timeout of the route"),
        ({"idle_timeout": "0.05s"}, [], 504, "idle_timeout of the route or stream_idle_timeout of the listener"),
        ({"retry_policy": {"per_try_timeout": "0.05s"}}, [], 504, "per_try_timeout of the retry policy"),
        ({"max_stream_duration": {"max_stream_duration": "0.05s"}}, [], 504, "max_stream_duration of the route"),
        (GRPC, [*CALL, ("grpc-timeout", "50m")], "4", "grpc-timeout of the request"),
        (
            {},
            [*INSIDE, ("x-envoy-upstream-rq-timeout-ms", "50")],
            504,
            "x-envoy-upstream-rq-timeout-ms or x-envoy-expected-rq-timeout-ms of the request",
        ),
    ],
)
def test_who_set_the_time_that_is_over_is_said(place, action, headers, status, setting):
    _, proxy = place(**action)
    assert said(http1.request(proxy.port(), headers=headers)) == (status, setting)


def test_a_request_whose_deadline_has_passed_is_not_sent_on(place):
    up, proxy = place(**GRPC)
    got = http1.request(proxy.port(), headers=[*CALL, ("grpc-timeout", "0m")])
    assert said(got) == ("4", "grpc-timeout of the request")
    assert up.connections == 0


def test_a_request_whose_deadline_passes_meanwhile_is_not_tried_again(place):
    up, proxy = place(**GRPC, retry_policy={"retry_on": "5xx,cancelled,deadline-exceeded", "num_retries": 5})
    got = http1.request(proxy.port(), headers=[*CALL, ("grpc-timeout", "50m")])
    assert got.header("grpc-status") == "4"
    assert up.connections == 1


def test_the_next_proxy_is_told_what_is_left(place):
    up, proxy = place(silent=False, respects=True, timeout="5s")
    told = []
    for headers in ([], [*INSIDE, ("x-envoy-expected-rq-timeout-ms", "800")]):
        http1.request(proxy.port(), headers=headers)
        told.append(int(dict(up.seen[-1]["headers"])["x-envoy-expected-rq-timeout-ms"]))
    assert told == [5000, 800]


def test_the_server_of_a_call_is_told_what_is_granted(place):
    up, proxy = place(silent=False, max_stream_duration={"grpc_timeout_header_max": "2s"})
    told = []
    for asked in ("500m", "1M"):
        http1.request(proxy.port(), headers=[*CALL, ("grpc-timeout", asked)])
        told.append(dict(up.seen[-1]["headers"])["grpc-timeout"])
    assert told == ["500m", "2000m"]
