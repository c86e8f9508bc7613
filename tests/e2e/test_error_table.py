"""What callers see when a server behaves badly: the page `proxy/ERRORS.md` is made from these runs.

`WEFT_BLESS=1` writes it anew.
"""

import json
import os
import socket
import struct

import pytest

from differential.filtering import put
from differential.services import LIMIT, OF_PATH, PLAN, service
from harness import frames, http1
from harness.config import ROUTER, bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.frames import HEADERS, PREFACE
from harness.proxy import ROOT
from harness.rls import Service
from harness.upstream import Server
from harness.waiting import until

pytestmark = pytest.mark.weft_only

PAGE = ROOT / "proxy" / "ERRORS.md"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfine\n"
BUSY = b"HTTP/1.1 503 Busy\r\ncontent-length: 5\r\n\r\nbusy\n"


def plain(patience):
    """A timeout alone, as nobody waits for ever."""
    return {"timeout": f"{patience}s"}


def policy(patience):
    tries = {"num_retries": 2, "per_try_timeout": f"{patience * 0.6}s", "retry_back_off": {"base_interval": "0.001s"}}
    return {"timeout": f"{patience * 2}s", "retry_policy": {"retry_on": "5xx", **tries}}


#: Seconds: where the caller waits for what never comes, and where only a slow machine would take so long.
SHORT, LONG = 0.5, 20

GRPC = [("content-type", "application/grpc"), ("te", "trailers")]


class Script(Server):
    """Reads the head of a request and does the next thing of a list, of which the last is done from then on."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.requests = 0
        super().__init__("script")

    def serve(self, connection, number):
        while self._head(connection):
            self.requests += 1
            step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
            if not step(connection):
                return

    @staticmethod
    def _head(connection):
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(65536)
            if not data:
                return b""
            head += data
        return head


def says(data, then=None):
    def step(connection):
        connection.sendall(data)
        return then(connection) if then else True

    return step


def closes(connection):
    return False


def resets(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return False


def waits(connection):
    """Until the proxy gives up."""
    while connection.recv(65536):
        pass
    return False


class Refusing(Server):
    """An h2 server that refuses every stream."""

    def __init__(self):
        self.requests = 0
        super().__init__("refusing")

    def serve(self, connection, number):
        connection.sendall(frames.settings())
        read = connection.makefile("rb").read
        read(len(PREFACE))
        while header := read(9):
            read(int.from_bytes(header[:3], "big"))
            if header[3] == HEADERS:
                self.requests += 1
                stream = int.from_bytes(header[5:9], "big")
                connection.sendall(frames.reset(stream, frames.REFUSED_STREAM))


def script(*steps, **more):
    def make():
        up = Script(*steps)
        return up, cluster("up", up.port, **more)

    return make


def refusing():
    up = Refusing()
    return up, cluster("up", up.port, http2=True)


def nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return None, cluster("up", free.getsockname()[1])


def nobody_accepts():
    """A queue of connections that is full: one more gets no answer."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    waiting = [socket.socket() for _ in range(2)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(listening.getsockname())
    return Held([listening, *waiting]), cluster("up", listening.getsockname()[1], connect_timeout="0.2s")


class Held:
    """Sockets that are kept until the end."""

    requests = None

    def __init__(self, sockets):
        self._sockets = sockets

    def stop(self):
        for held in self._sockets:
            held.close()


def no_endpoints():
    return None, cluster("up")


def no_name():
    asked = {
        "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": 1}}],
        "query_timeout_seconds": 1,
        "query_tries": 1,
    }
    resolver = {"name": "envoy.network.dns_resolver.cares", "typed_config": asked}
    found = {"type": "STRICT_DNS", "typed_dns_resolver_config": resolver}
    there = {"endpoint": {"address": {"socket_address": {"address": "nobody.test", "port_value": 80}}}}
    assigned = {"cluster_name": "up", "endpoints": [{"lb_endpoints": [there]}]}
    return None, {**cluster("up"), **found, "load_assignment": assigned}


def full():
    up = Script(says(OK))
    return up, cluster("up", up.port, circuit_breakers={"thresholds": [{"max_pending_requests": 0, "max_connections": 0}]})


#: What goes wrong, the server that does it, how many requests a caller sends, and for how long it waits.
ROWS = [
    ("nobody listens at the address", nobody_listens, 1, LONG),
    ("connections are not accepted in time (`connect_timeout`)", nobody_accepts, 1, SHORT),
    ("the name is not found, or no endpoint is there", no_endpoints, 1, LONG),
    ("… of a cluster by DNS whose name server does not answer", no_name, 1, LONG),
    ("the cluster has all it may have (`circuit_breakers`)", full, 1, LONG),
    ("the request is taken, and nothing comes back", script(waits), 1, SHORT),
    ("the connection is closed before an answer", script(closes), 1, LONG),
    ("the connection is reset before an answer", script(resets), 1, LONG),
    ("the first connection is closed, the next one answers", script(closes, says(OK)), 1, LONG),
    ("the answer is not HTTP", script(says(b"hello\r\n\r\n", closes)), 1, LONG),
    ("an h2 server refuses every stream", refusing, 1, LONG),
    ("one answer in three is a 503", script(*[says(OK), says(OK), says(BUSY)] * 4, says(OK)), 12, LONG),
    ("every answer is a 503", script(says(BUSY)), 1, LONG),
    ("kept connections are closed after each answer, unsaid", script(says(OK, closes)), 5, LONG),
    ("the body stands still in the middle", script(says(OK[:-3], waits)), 1, SHORT),
    ("the connection is closed in the middle of the body", script(says(OK[:-3], closes)), 1, LONG),
]


def ask(port, headers=()):
    """What the caller sees of one request."""
    try:
        return seen(http1.request(port, headers=headers))
    except (http1.Broken, ConnectionError):
        return "an answer that breaks off"


def seen(got):
    parts = [f"{got.status}"]
    if got.header("grpc-status"):
        parts.append(f"`grpc-status: {got.header('grpc-status')}`")
    if flags := (got.header("x-flags") or "").strip("-"):
        parts.append(f"`{flags}`")
    if status := got.header("proxy-status"):
        parts.append(f"`{status.removeprefix('weft; ')}`")
    return ", ".join(parts)


def cell(start, make, action, count, headers=()):
    up, target = make()
    flags = {"header": {"key": "x-flags", "value": "%RESPONSE_FLAGS%"}}
    host = virtual_host("all", ["*"], route("/", {"cluster": "up", **action}), response_headers_to_add=[flags])
    proxy = start(bootstrap([listener("main", hcm(routes("main", host)))], [target]))
    all_seen = [ask(proxy.port(), headers) for _ in range(count)]
    tries = f"; {up.requests} tries" if up and up.requests and up.requests != count else ""
    if up:
        up.stop()
    each = dict.fromkeys(all_seen)
    if len(each) == 1:
        return all_seen[0] + tries
    return "; ".join(f"{all_seen.count(one)} × {one}" for one in each) + tries


class Fine(Script):
    """Answers all requests but those to `/held`, which wait for as long as their client does."""

    def __init__(self):
        super().__init__(None)

    def serve(self, connection, number):
        while head := self._head(connection):
            self.requests += 1
            if b" /held " in head:
                waits(connection)
                return
            connection.sendall(OK)


def local(**more):
    bucket = {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "86400s"}
    always = {"default_value": {"numerator": 100}}
    return put("local_ratelimit.v3.LocalRateLimit", stat_prefix="l", token_bucket=bucket, filter_enabled=always, filter_enforced=always, **more)


def asked(**more):
    """Of a service that says what the header `x-plan` asks for."""
    return put(LIMIT, domain="d", timeout="10s", rate_limit_service=service(), **more)


def adaptive():
    limits = {"concurrency_update_interval": "3600s", "min_concurrency_limit": 1}
    gradient = {"concurrency_limit_params": limits, "min_rtt_calc_params": {"fixed_value": "3600s"}}
    return put("adaptive_concurrency.v3.AdaptiveConcurrency", gradient_controller_config=gradient)


OVER = (("x-plan", json.dumps({"overall_code": "OVER_LIMIT"})),)
FAILS = (("x-plan", json.dumps({"status": "UNAVAILABLE"})),)

#: Which limit holds, its filter, what goes before, and what a request brings.
LIMITS = [
    ("no token is left (`local_ratelimit`)", local(), "/", ()),
    ("… with `rate_limited_as_resource_exhausted`", local(rate_limited_as_resource_exhausted=True), "/", ()),
    ("a service says that it is too much (`ratelimit`)", asked(), None, OVER),
    ("… with `rate_limited_as_resource_exhausted`", asked(rate_limited_as_resource_exhausted=True), None, OVER),
    ("the service does not answer", asked(), None, FAILS),
    ("… with `failure_mode_deny`", asked(failure_mode_deny=True), None, FAILS),
    ("as many requests are under way as latencies allow (`adaptive_concurrency`)", adaptive(), "/held", ()),
]


def limited(start, rls, limit, before, headers):
    """What a caller sees of a request behind a limit, when another one has come before."""
    up = Fine()
    flags = {"header": {"key": "x-flags", "value": "%RESPONSE_FLAGS%"}}
    action = {"cluster": "up", "rate_limits": [{"actions": [OF_PATH, PLAN]}]}
    host = virtual_host("all", ["*"], route("/", action), response_headers_to_add=[flags])
    clusters = [cluster("up", up.port), cluster("rls", rls.port, http2=True)]
    proxy = start(bootstrap([listener("main", hcm(routes("main", host), http_filters=[limit, ROUTER]))], clusters))
    with http1.Connection(proxy.port()) as first:
        if before:
            first.send(http1.encode("GET", before, (), None))
        if before == "/held":
            until(lambda: up.requests, "the request that is held")
        elif before:
            assert first.read("GET").status == 200
        said = ask(proxy.port(), headers)
    up.stop()
    return said


#: Whom a proxy refuses that is short of memory: requests of this priority.
LOADS = [
    ("the proxy is short of memory or of time (`--shed-memory-mib`, `--shed-lag-ms`)", "DEFAULT"),
    ("… and the request is of high priority", "HIGH"),
]


def loaded(start, priority, headers):
    """What a caller sees of a request to a proxy that holds more than it may."""
    up = Fine()
    host = virtual_host("all", ["*"], route("/", {"cluster": "up", "priority": priority}))
    made = bootstrap([listener("main", hcm(routes("main", host)))], [cluster("up", up.port)])
    proxy = start(made, arguments=["--shed-memory-mib", "1", "--max-memory-mib", "0"])
    until(lambda: proxy.admin.stats()["overload.sheds_requests"] == 1, "the guard to look")
    said = ask(proxy.port(), headers)
    up.stop()
    return said


def page(lines, limits):
    return "\n".join(
        [
            "# What callers see when a server behaves badly",
            "",
            "Made from runs of `weft-proxy` by `tests/e2e/test_error_table.py`, which fails when this page is not true.",
            "",
            "Each cell: the status, the flag that `%RESPONSE_FLAGS%` shows, and what `proxy-status` (RFC 9209) says. *Without a",
            "policy* the route has a timeout and nothing else; *with one* it may try twice more for `5xx`, each try with a time of",
            "its own. Requests are GETs over HTTP/1.1. What was provably not processed is tried again without a policy too, up to",
            "three times in all; what the caller sees is how the last try ended.",
            "",
            "| what the server does | without a policy | with one | a gRPC caller, without a policy |",
            "|---|---|---|---|",
            *lines,
            "",
            "## When a limit holds",
            "",
            "What a caller sees of a request that the proxy itself does not let through, or does although nobody answered it.",
            "",
            "| what holds | an HTTP caller | a gRPC caller |",
            "|---|---|---|",
            *limits,
            "",
        ]
    )


def test_callers_see_what_the_page_says(start):
    lines = []
    for what, make, count, patience in ROWS:
        cells = [
            cell(start, make, plain(patience), count),
            cell(start, make, policy(patience), count),
            cell(start, make, plain(patience), count, GRPC),
        ]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    limits = []
    with Service() as rls:
        for what, limit, before, headers in LIMITS:
            cells = [limited(start, rls, limit, before, (*more, *headers)) for more in ((), GRPC)]
            limits.append(f"| {what} | {' | '.join(cells)} |")
    for what, priority in LOADS:
        cells = [loaded(start, priority, more) for more in ((), GRPC)]
        limits.append(f"| {what} | {' | '.join(cells)} |")
    made = page(lines, limits)
    if os.environ.get("WEFT_BLESS"):
        PAGE.write_text(made)
    assert PAGE.read_text() == made
