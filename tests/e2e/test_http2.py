"""What `http2_protocol_options` say, on the wire."""

import struct

import pytest

from harness import http1, http2
from harness.config import HTTP_OPTIONS, bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host
from harness.frames import (
    ACK,
    DATA,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    SETTINGS,
    WINDOW_UPDATE,
    Raw,
    frame,
    headers,
    request,
    window_update,
)
from harness.tunnels import Tunnels
from harness.waiting import until


def single(up, options=None, upstream=None, **more):
    host = virtual_host("all", ["*"], direct("/direct", 200, "alive"), route("/", "up"))
    manager = hcm(routes("main", host), **({"http2_protocol_options": options} if options else {}), **more)
    spoken = {"explicit_http_config": {"http2_protocol_options": upstream or {}}}
    typed = {HTTP_OPTIONS: {"@type": f"type.googleapis.com/{HTTP_OPTIONS}", **spoken}}
    return bootstrap([listener("main", manager)], [cluster("up", up, typed_extension_protocol_options=typed)])


WINDOWS = {"initial_stream_window_size": 70_000, "initial_connection_window_size": 200_000, "hpack_table_size": 512}


def said(frames):
    """The settings and the window of the connection that a peer announces first."""
    settings, window = None, 65_535
    for kind, flags, stream, payload in frames:
        if kind == SETTINGS and not flags & ACK:
            pairs = (payload[at : at + 6] for at in range(0, len(payload), 6))
            settings = dict(struct.unpack(">HI", pair) for pair in pairs)
        elif kind == WINDOW_UPDATE and stream == 0:
            window += int.from_bytes(payload, "big")
            return settings, window
    raise AssertionError("no window was announced")


def test_settings_are_announced_as_configured(start):
    with Tunnels() as up:
        proxy = start(single(up.port, {**WINDOWS, "max_concurrent_streams": 7}, WINDOWS))
        with Raw(proxy.port()) as connection:
            settings, window = said(connection.frames())
            assert (settings[1], settings[3], settings[4], window) == (512, 7, 70_000, 200_000)
        # Towards the upstream, whose library tells what it was told.
        assert http2.request(proxy.port()).status == 200
        assert up.settings[1] == 512 and up.settings[4] == 70_000


FLOODS = {
    "PRIORITY": (
        {"max_inbound_priority_frames_per_stream": 0},
        headers(1, request(path="/direct")) + frame(PRIORITY, 0, 3, struct.pack(">IB", 5, 5)),
        "inbound_priority_frames_flood",
    ),
    "empty DATA": (
        {"max_consecutive_inbound_frames_with_empty_payload": 3},
        headers(1, request("POST", "/up"), end=False) + frame(DATA, 0, 1) * 4,
        "inbound_empty_frames_flood",
    ),
    "WINDOW_UPDATE": (
        {"max_inbound_window_update_frames_per_data_frame_sent": 1},
        window_update(0, 1) * 40,
        "inbound_window_update_frames_flood",
    ),
    "answers": (
        {"max_outbound_control_frames": 10},
        frame(PING, 0, 0, b"12345678") * 11,
        "outbound_control_flood",
    ),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_limits_of_floods_are_as_configured(start, kind):
    options, flood, counter = FLOODS[kind]
    with Tunnels() as up:
        proxy = start(single(up.port, options))
        with Raw(proxy.port()) as connection:
            connection.send(flood)
            assert connection.end() == ENHANCE_YOUR_CALM
        until(lambda: proxy.admin.stats()[f"http2.{counter}"] == 1, "the flood to be counted")


@pytest.mark.parametrize("costs", ["stream", "connection", "connection by the manager"])
def test_a_malformed_message_costs_what_is_configured(start, costs):
    options = {"override_stream_error_on_invalid_http_message": costs == "stream"} if costs != "connection by the manager" else {}
    more = {"stream_error_on_invalid_http_message": False} if costs == "connection by the manager" else {}
    with Tunnels() as up:
        proxy = start(single(up.port, options, **more))
        with Raw(proxy.port()) as connection:
            connection.send(headers(1, request("GET", "/direct", ("connection", "close"))))
            expected = "reset" if costs == "stream" else "goaway"
            assert connection.outcome(1) == (expected, PROTOCOL_ERROR)
        until(lambda: proxy.admin.stats()["http2.rx_messaging_error"] == 1, "it to be counted")


KEEPALIVE = {"connection_keepalive": {"interval": "0.1s", "timeout": "0.3s", "interval_jitter": {"value": 0}}}


def test_a_client_that_does_not_answer_is_let_go(start):
    with Tunnels() as up:
        proxy = start(single(up.port, KEEPALIVE))
        with Raw(proxy.port()) as silent:
            assert PING in [kind for kind, _, _, _ in silent.frames()]
        assert proxy.admin.stats()["http2.keepalive_timeout"] >= 1


def test_an_upstream_that_does_not_answer_is_let_go(start):
    with Tunnels(answers_pings=False) as up:
        proxy = start(single(up.port, upstream=KEEPALIVE))
        assert http2.request(proxy.port()).status == 200
        until(lambda: proxy.admin.stats()["cluster.up.http2.keepalive_timeout"] == 1, "the upstream to be given up")
        assert http2.request(proxy.port()).status == 200
        assert up.connections == 2


def test_a_stream_after_a_rest_is_preceded_by_a_ping(start):
    options = {"connection_keepalive": {"timeout": "5s", "connection_idle_interval": "0.001s"}}
    with Tunnels() as up:
        proxy = start(single(up.port, options))
        with Raw(proxy.port()) as connection:
            connection.send(headers(1, request(path="/direct")))
            for kind, flags, stream, _ in connection.frames():
                if kind == PING and not flags & ACK:
                    return
                if kind == DATA and flags & END_STREAM:
                    connection.send(headers(stream + 2, request(path="/direct")))
    raise AssertionError("no PING came")


def test_a_connection_whose_client_does_not_hear_of_its_end_is_ended(start):
    """It is told twice, and the second time it is over."""
    with Tunnels() as up:
        brief = {"common_http_protocol_options": {"max_connection_duration": "0.1s"}, "drain_timeout": "0.2s"}
        proxy = start(single(up.port, **brief))
        with Raw(proxy.port()) as deaf:
            last = [int.from_bytes(payload[:4], "big") for kind, _, _, payload in deaf.frames() if kind == GOAWAY]
            assert last == [(1 << 31) - 1, 0]
        stats = proxy.admin.stats()
        assert stats["http.ingress.downstream_cx_max_duration_reached"] == 1
        assert stats["http2.goaway_sent"] == 2


def test_a_client_of_h2_is_held_to_its_requests(start):
    with Tunnels() as up:
        proxy = start(single(up.port, common_http_protocol_options={"max_requests_per_connection": 2}))
        with http2.Connection(proxy.port()) as connection:
            assert connection.request("GET", "/direct").text == "alive"
            assert not connection.going_away
            assert connection.request("GET", "/direct").text == "alive"
            connection.wait_for_goaway()
        assert http1.request(proxy.port(), target="/direct").text == "alive"
        assert proxy.admin.stats()["http.ingress.downstream_cx_max_requests_reached"] == 1
