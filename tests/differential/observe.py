"""What one proxy did with one request, as a flat map that two proxies can be compared by."""

import re
import socket
from contextlib import suppress

from harness import http1, http2

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DATE = re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")
FIXED_DATE = "Sun, 22 Nov 2026 17:00:00 GMT"
PROBE_HOST = "probe.weft.test"


def observe(case, port, upstream):
    """Sends the request; what came back and what the upstream saw."""
    used = {report["connection"] for report in upstream.seen}
    upstream.seen.clear()
    seen = {}
    try:
        if case.protocol == "h2":
            _over_h2(case, port, seen)
        else:
            _over_h1(case, port, seen)
    except http2.Reset as error:
        seen["outcome"] = f"reset {error.code}"
    except (http1.Broken, ConnectionError):
        seen["outcome"] = "closed"
    except ValueError as error:
        seen["outcome"] = f"not HTTP: {error}"
    # A gate that a case waits at is never opened by it; nobody is held up for longer than the case.
    upstream.let_through("never")
    reports = [report for report in upstream.seen if PROBE_HOST not in str(report)]
    seen["upstream.requests"] = str(len(reports))
    if reports:
        _upstream(reports[-1], port, seen)
        if "fresh" in case.looks:
            seen["upstream.fresh"] = str(reports[-1]["connection"] not in used)
    return seen


def _over_h1(case, port, seen):
    with http1.Connection(port) as connection:
        connection.send(case.bytes())
        response = connection.read(case.method)
        _response(response, seen)
        seen["reason"] = response.reason
        if case.says is not None and (response.status == 101 or (case.method, response.status) == ("CONNECT", 200)):
            seen["tunnel"] = _through(connection, case.says)
            seen["connection"] = "closed"
        elif "ends" in case.looks:
            seen["connection"] = "ended" if connection.at_end() else "open"
        else:
            seen["connection"] = _kept(connection, response)


def _through(connection, text):
    """What comes back by a tunnel; it is closed for writing when that is all, or some time has passed."""
    back = b""
    connection.send(text)
    connection.socket.settimeout(2)
    with suppress(TimeoutError):
        while not back.endswith(text) and (piece := connection.read_some()):
            back += piece
    connection.socket.settimeout(15)
    with suppress(OSError):
        connection.socket.shutdown(socket.SHUT_WR)
    return (back + connection.read_to_end()).decode("latin-1")


def _kept(connection, response):
    """Whether the connection takes another request; a proxy may linger before it closes one."""
    announced = (response.header("connection") or "").lower() == "close"
    if announced or response.framing == "close" or response.status == 101:
        return "closed"
    try:
        connection.request("GET", "/probe", host=PROBE_HOST)
    except (http1.Broken, ConnectionError, ValueError):
        return "closed"
    return "kept"


def _over_h2(case, port, seen):
    with http2.Connection(port) as connection:
        trailers = list(case.trailers) or None
        response = connection.request(case.method, case.target, case.headers, case.body, case.host, trailers)
        _response(response, seen)
        if "settings" in case.looks:
            seen["streams"] = str(connection.h2.remote_settings.max_concurrent_streams)


def _response(response, seen):
    seen["outcome"] = "answered"
    seen["status"] = str(response.status)
    seen["framing"] = response.framing
    seen["body"] = response.body.decode("latin-1")
    if response.interim:
        seen["interim"] = ", ".join(str(part.status) for part in response.interim)
    _headers("header", response.headers, seen)
    _headers("trailer", response.trailers, seen)


def _upstream(report, port, seen):
    for name in ("protocol", "peer", "method", "target", "authority", "scheme", "framing", "body"):
        if report.get(name) is not None:
            seen[f"upstream.{name}"] = report[name]
    _headers("upstream.header", report["headers"], seen)
    if seen.get("upstream.header.x-forwarded-port") == str(port):
        seen["upstream.header.x-forwarded-port"] = "<port>"
    _headers("upstream.trailer", report["trailers"], seen)


def _headers(place, pairs, seen):
    for name, value in pairs:
        path = f"{place}.{name}"
        value = _steady(name.lower(), value)
        seen[path] = f"{seen[path]} | {value}" if path in seen else value


def _steady(name, value):
    """The value with what differs from run to run put aside."""
    if name == "date" and value != FIXED_DATE and DATE.fullmatch(value):
        return "<now>"
    if name == "x-request-id" and UUID.fullmatch(value) and not value.startswith("7f8d1c2e-0000"):
        return "<uuid>"
    if name == "x-envoy-upstream-service-time" and value.isdigit():
        return "<ms>"
    return value


def differences(left, right):
    """Paths that are not the same, with both values."""
    paths = sorted(set(left) | set(right))
    return {path: (left.get(path), right.get(path)) for path in paths if left.get(path) != right.get(path)}
