"""Connections about which a rate limit service is asked before a chain gets them."""

import json
import time

import pytest

from differential.behind import TYPE
from differential.services import service
from harness.config import bootstrap, cluster, listener
from harness.raw import connect, knock
from harness.rls import Service
from harness.waiting import until


@pytest.fixture
def rls():
    with Service() as running:
        yield running


def asked(*descriptors, **config):
    entries = [{"entries": [{"key": key, "value": value} for key, value in one.items()]} for one in descriptors]
    common = {"stat_prefix": "asked", "domain": "tcp", "timeout": "10s", "rate_limit_service": service(), "descriptors": entries}
    made = {"@type": TYPE + "envoy.extensions.filters.network.ratelimit.v3.RateLimit", **common, **config}
    return {"name": "asked", "typed_config": {key: value for key, value in made.items() if value is not None}}


def said(**answer):
    return json.dumps(answer)


def direct(text):
    config = {"@type": TYPE + "envoy.extensions.filters.network.direct_response.v3.Config", "response": {"inline_string": text}}
    return {"name": "direct", "typed_config": config}


def world(rls_port, *filters, **rls_cluster):
    chain = {**listener("main", None), "filter_chains": [{"filters": [*filters, direct("let through")]}]}
    return bootstrap([chain], [cluster("rls", rls_port, http2=True, **rls_cluster)])


def counts(proxy):
    stats = proxy.admin.stats()
    return {name: stats[f"ratelimit.asked.{name}"] for name in ("total", "ok", "over_limit", "error", "failure_mode_allowed", "cx_closed", "active")}


OVER = said(overall_code="OVER_LIMIT")
FAILS = said(status="UNAVAILABLE")
NONE = {"total": 1, "ok": 0, "over_limit": 0, "error": 0, "failure_mode_allowed": 0, "cx_closed": 0, "active": 0}


@pytest.mark.parametrize(
    ("answer", "config", "got", "counted"),
    [
        (said(), {}, b"let through", {"ok": 1}),
        (OVER, {}, b"", {"over_limit": 1, "cx_closed": 1}),
        (FAILS, {}, b"let through", {"error": 1, "failure_mode_allowed": 1}),
        (FAILS, {"failure_mode_deny": True}, b"", {"error": 1, "cx_closed": 1}),
        (said(), {"rate_limit_service": service("missing")}, b"let through", {"error": 1, "failure_mode_allowed": 1}),
    ],
    ids=["within", "over", "failed", "failed and denied", "no cluster"],
)
def test_a_service_says_which_connections_a_chain_gets(start, rls, answer, config, got, counted):
    proxy = start(world(rls.port, asked({"answer": answer}, **config)))
    assert knock(proxy.port()).data == got
    assert counts(proxy) == NONE | counted


def test_a_service_is_told_what_formats_say_of_a_connection(start, rls):
    first = {"fixed": "always", "from": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "host": "%REQUESTED_SERVER_NAME%"}
    port = start(world(rls.port, asked(first, {"other": "one"}))).port()
    assert knock(port).data == b"let through"
    assert rls.questions == ["tcp(0): fixed=always,from=127.0.0.1,host=- & other=one"]


def test_a_service_that_says_nothing_is_waited_for_as_long_as_it_may_be(start, rls):
    slow = {"answer": said(after=5)}
    for name, got, config in (("soon", b"let through", {"timeout": "0.2s"}), ("default", b"", {"timeout": None, "failure_mode_deny": True})):
        proxy = start(world(rls.port, asked(slow, **config)), name=name)
        began = time.monotonic()
        assert knock(proxy.port()).data == got
        assert time.monotonic() - began < 4
        assert counts(proxy)["error"] == 1


def test_gates_behind_a_question_count_what_it_lets_through(start, rls):
    """A connection that a service refuses takes no token of a filter behind it."""
    bucket = {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "86400s"}
    kind = TYPE + "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit"
    rated = {"name": "rate", "typed_config": {"@type": kind, "stat_prefix": "rate", "token_bucket": bucket}}
    for name, answer, refused in (("within", said(), 1), ("over", OVER, 0)):
        proxy = start(world(rls.port, asked({"answer": answer}), rated), name=name)
        for _ in range(2):
            knock(proxy.port())
        assert proxy.admin.stats()["local_rate_limit.rate.rate_limited"] == refused


def test_a_connection_waits_without_being_served(start, rls):
    """It is counted while it waits, and what it has said by then is not lost."""
    echo = {"name": "echo", "typed_config": {"@type": TYPE + "envoy.extensions.filters.network.echo.v3.Echo"}}
    config = world(rls.port)
    config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"] = [asked({"answer": said(after=1)}), echo]
    proxy = start(config)
    with connect(proxy.port()) as client:
        client.sendall(b"early")
        until(lambda: counts(proxy)["active"] == 1, "the question")
        assert client.recv(16) == b"early"
    assert counts(proxy)["ok"] == 1
