"""A proxy that is attacked, and what must hold of it afterwards whoever it is."""

import pytest

from harness import frames, http1, http2
from harness.config import bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host
from harness.waiting import until

#: Counters that tell of what clients did wrong, by a part of their names in Envoy and in ours.
TELLING = ("protocol_error", "messaging_error", "rx_reset", "flood", "rq_4xx", "overflow", "idle_timeout", "tx_reset")


#: Streams at once on a connection to `hasty`.
STREAMS = 10


class Target:
    """A running proxy with one upstream; `main` is plain, `hasty` has short timeouts."""

    def __init__(self, proxy, upstream):
        self.proxy, self.upstream, self.streams = proxy, upstream, STREAMS
        self.port, self.hasty = proxy.port("main"), proxy.port("hasty")

    @property
    def resident_kib(self):
        return frames.resident_kib(self.proxy.process)

    def told(self):
        """How often the proxy has counted something wrong."""
        stats = self.proxy.admin.stats()
        return sum(value for name, value in stats.items() if any(part in name for part in TELLING))

    def serves(self):
        """Others are served, over both protocols."""
        assert http1.request(self.port, target="/direct").text == "alive"
        with http2.Connection(self.port) as connection:
            assert connection.request("GET", "/direct").text == "alive"
            assert connection.request("GET", "/up", headers=[("x-respond", '{"body": "up"}')]).text == "up"

    def attacked(self, path):
        """Requests for a path that reached the upstream."""
        return [report for report in self.upstream.seen if report["target"].startswith(path)]


def manager(name, **more):
    host = virtual_host("all", ["*"], direct("/direct", 200, "alive"), route("/", {"cluster": "up", "timeout": "30s"}))
    return listener(name, hcm(routes(name, host), stat_prefix=name, **more))


@pytest.fixture(scope="module")
def shared(proxy_kind, tmp_path_factory):
    from harness.proxy import Proxy
    from harness.upstream import Http

    upstream = Http("up")
    hasty = {
        "request_headers_timeout": "0.5s",
        "stream_idle_timeout": "1s",
        "common_http_protocol_options": {"idle_timeout": "1s"},
        "http2_protocol_options": {"max_concurrent_streams": STREAMS},
    }
    made = bootstrap([manager("main"), manager("hasty", **hasty)], [cluster("up", upstream.port)])
    proxy = Proxy(proxy_kind, made, tmp_path_factory.mktemp("hostile"))
    yield Target(proxy, upstream)
    proxy.stop()
    upstream.stop()


@pytest.fixture
def target(shared):
    """The shared target, which must run and serve others after each test, too."""
    upstream_requests = len(shared.upstream.seen)
    del shared.upstream.seen[:upstream_requests]
    shared.serves()
    yield shared
    shared.proxy.process.require_alive()
    shared.serves()


@pytest.fixture
def flat(target):
    """`with flat(mib):` the proxy's memory grows by no more than that, at its highest."""
    import contextlib
    import threading

    @contextlib.contextmanager
    def measure(mib):
        before = highest = target.resident_kib
        done = threading.Event()

        def watch():
            nonlocal highest
            while not done.wait(0.01):
                highest = max(highest, target.resident_kib)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
        assert highest - before <= mib * 1024, f"from {before} to {highest} KiB"

    return measure


@pytest.fixture
def counted(target):
    """The attack must have been counted when the test is over."""
    before = target.told()
    yield
    until(lambda: target.told() > before, "a counter to tell of it", 3)
