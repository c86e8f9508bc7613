"""Requests that wait or fail on purpose, by what shows in more than one answer."""

import threading
import time

from differential.filtering import put
from differential.limiting import FAULT, share
from harness import http1, http2
from harness.config import ROUTER, bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.waiting import until


def through(up, **rules):
    table = routes("main", virtual_host("all", ["*"], route("/", {"cluster": "up", "timeout": "0s"})))
    return bootstrap([listener("main", hcm(table, http_filters=[put(FAULT, **rules), ROUTER]))], [cluster("up", up.port)])


def test_a_share_of_the_requests_fails(start, http_upstream):
    up = http_upstream("up")
    proxy = start(through(up, abort={"http_status": 503, **share(40)}))
    with http1.Connection(proxy.port()) as connection:
        statuses = [connection.request("GET", "/").status for _ in range(400)]
    failed = statuses.count(503)
    # Six standard deviations of a binomial distribution around 160.
    assert 100 <= failed <= 220
    assert len(up.seen) == 400 - failed
    assert proxy.admin.stats()["http.ingress.fault.aborts_injected"] == failed


def test_a_request_waits_and_is_sent_then(start, http_upstream):
    up = http_upstream("up")
    proxy = start(through(up, delay={"fixed_delay": "0.3s", **share(100)}))
    began = time.monotonic()
    assert http1.request(proxy.port(), "POST", body="body").status == 200
    assert time.monotonic() - began >= 0.3
    assert up.seen[0]["body"] == "body"
    assert proxy.admin.stats()["http.ingress.fault.delays_injected"] == 1


def test_only_so_many_are_delayed_at_once(start, http_upstream):
    """Over all workers; the others are left alone."""
    up = http_upstream("up")
    proxy = start(through(up, delay={"fixed_delay": "6s", **share(100)}, max_active_faults=2), workers=4)
    port = proxy.port()
    held = [http1.Connection(port) for _ in range(2)]
    for connection in held:
        connection.send(http1.encode("GET", "/"))
    until(lambda: proxy.admin.stats()["http.ingress.fault.active_faults"] == 2, "two to wait")
    assert [http1.request(port).status for _ in range(5)] == [200] * 5
    assert proxy.admin.stats()["http.ingress.fault.faults_overflow"] == 5
    assert [connection.read().status for connection in held] == [200, 200]
    until(lambda: proxy.admin.stats()["http.ingress.fault.active_faults"] == 0, "nobody to wait")
    for connection in held:
        connection.close()


def test_other_requests_go_on_while_one_waits(start, http_upstream):
    up = http_upstream("up")
    delay = {"header_delay": {}, **share(100)}
    proxy = start(through(up, delay=delay))
    port, answers = proxy.port(), []
    slow = threading.Thread(target=lambda: answers.append(http1.request(port, headers=[("x-envoy-fault-delay-request", "2000")])))
    slow.start()
    until(lambda: proxy.admin.stats()["http.ingress.fault.active_faults"] == 1, "one to wait")
    assert http1.request(port).status == 200
    assert not answers
    slow.join()
    assert answers[0].status == 200


def test_answers_are_slowed_down(start, http_upstream):
    """Over HTTP/1.1 and h2, by a fixed rate or by a header, and nothing of them is lost."""
    text = "0123456789abcdef" * 2048
    up = http_upstream("up", body=text)
    fixed = start(through(up, response_rate_limit={"fixed_limit": {"limit_kbps": 32}, **share(100)}), name="fixed")
    asked = start(through(up, response_rate_limit={"header_limit": {}, **share(100)}), name="asked")
    by_header = (("x-envoy-fault-throughput-response", "32"),)
    for proxy, sent in ((fixed, ()), (asked, by_header)):
        for client in (http1, http2):
            with client.Connection(proxy.port()) as connection:
                began = time.monotonic()
                answer = connection.request("GET", "/", sent)
                # Of sixteen parts the first does not wait.
                assert time.monotonic() - began >= 0.9
                assert answer.body.decode() == text
        stats = proxy.admin.stats()
        assert stats["http.ingress.fault.response_rl_injected"] == 2
        until(lambda: proxy.admin.stats()["http.ingress.fault.active_faults"] == 0, "answers to be over")
    began = time.monotonic()
    assert http1.request(asked.port()).body.decode() == text
    assert time.monotonic() - began < 0.9


def test_a_slow_answer_holds_nobody_up(start, http_upstream):
    up = http_upstream("up", body="x" * 8192)
    port = start(through(up, response_rate_limit={"header_limit": {}, **share(100)}), workers=1).port()
    with http1.Connection(port) as slow:
        slow.send(http1.encode("GET", "/", (("x-envoy-fault-throughput-response", "4"),)))
        assert http1.request(port).status == 200
        assert len(slow.read().body) == 8192
