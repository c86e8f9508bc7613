"""Options and fixtures of every suite."""

import threading

import pytest
from websockets.sync.server import serve

from harness import process, upstream
from harness.proxy import Proxy


def pytest_addoption(parser):
    parser.addoption(
        "--proxy",
        choices=("weft", "envoy"),
        default="weft",
        help="what stands in the place of weft-proxy; `envoy` proves the tests themselves",
    )
    parser.addoption("--generated-worlds", type=int, default=60, help="drawn configurations to compare, 60 requests each")
    parser.addoption("--generated-seed", type=int, default=1, help="what they are drawn from")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--proxy") == "weft":
        return
    skip = pytest.mark.skip(reason="only weft-proxy promises this")
    for item in items:
        if item.get_closest_marker("weft_only"):
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for child in process.LIVE:
            report.sections.append((f"output of {child.name}", child.tail()))
    return report


@pytest.fixture
def processes():
    """Ends what a test has started, whatever became of the test."""
    before = list(process.LIVE)
    yield
    for child in [c for c in process.LIVE if c not in before]:
        child.stop()


@pytest.fixture(scope="session")
def proxy_kind(request):
    return request.config.getoption("--proxy")


@pytest.fixture
def start(proxy_kind, tmp_path, processes):
    """Starts the proxy under test with a bootstrap; `start(bootstrap, name=..., arguments=...)`."""

    def launch(bootstrap, name="proxy", **more):
        return Proxy(proxy_kind, bootstrap, tmp_path, name=name, **more)

    return launch


@pytest.fixture
def http_upstream():
    """Makes HTTP upstreams by name."""
    made = []

    def make(name, **more):
        made.append(upstream.Http(name, **more))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def echo():
    """A WebSocket server that sends back what it gets."""

    def repeat(peer):
        for message in peer:
            peer.send(message)

    with serve(repeat, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.socket.getsockname()[1]
        server.shutdown()
