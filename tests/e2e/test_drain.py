"""SIGTERM: what is under way is finished, what is idle is told to go, and the process ends."""

import signal

import pytest

from harness import http1, http2
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.waiting import until

pytestmark = pytest.mark.weft_only


@pytest.fixture
def up(http_upstream):
    return http_upstream("up")


@pytest.fixture
def proxy(start, up):
    main = routes("main", virtual_host("all", ["*"], route("/", "up")))
    config = bootstrap([listener("main", hcm(main))], [cluster("up", up.port)])
    return start(config, arguments=["--drain-time-s", "10", "--parent-shutdown-time-s", "15"])


def held(up, gate="later"):
    until(lambda: up.seen, "the held request to arrive")


def test_a_request_under_way_is_answered_then_the_process_ends_with_0(proxy, up):
    with http1.Connection(proxy.port()) as connection:
        connection.send(http1.encode("GET", "/", [("x-respond", '{"gate": "later"}')]))
        held(up)
        proxy.process.signal(signal.SIGTERM)
        until(lambda: not proxy.admin.ready(), "not ready while draining")
        up.open_gate("later")
        answer = connection.read()
        assert answer.status == 200
        assert answer.header("connection") == "close"
        assert connection.at_end()
    assert proxy.process.wait() == 0


def test_a_stream_under_way_is_answered_after_goaway(proxy, up):
    with http2.Connection(proxy.port()) as connection:
        stream = connection.start("GET", "/", [("x-respond", '{"gate": "later"}')])
        held(up)
        proxy.process.signal(signal.SIGTERM)
        connection.wait_for_goaway()
        up.open_gate("later")
        assert connection.read(stream).status == 200
    assert proxy.process.wait() == 0


def test_a_second_signal_does_not_wait(proxy, up):
    with http1.Connection(proxy.port()) as connection:
        connection.send(http1.encode("GET", "/", [("x-respond", '{"gate": "later"}')]))
        held(up)
        proxy.process.signal(signal.SIGTERM)
        until(lambda: not proxy.admin.ready(), "not ready while draining")
        proxy.process.signal(signal.SIGTERM)
        proxy.process.wait(deadline=5)
    up.open_gate("later")


def test_nothing_under_way_means_a_quick_end(proxy):
    with http1.Connection(proxy.port()) as idle:
        assert idle.request("GET", "/").status == 200
        proxy.process.signal(signal.SIGTERM)
        assert idle.at_end()
        assert proxy.process.wait(deadline=5) == 0
