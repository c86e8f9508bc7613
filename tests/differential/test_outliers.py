"""Outlier detection: the same endpoints are left alone, after the same answers, as with Envoy."""

import re
import socket
import time
from contextlib import ExitStack

import pytest

from differential import outliers
from differential.beside import named_upstreams
from differential.observe import differences
from harness import http1
from harness.proxy import Proxy

CASES = list(outliers.cases())
USED, RUN = set(), set()
# Seconds within which an endpoint is left alone after the answer that made it so.
SOON = 5


@pytest.fixture(scope="module")
def sides(proxy_kind, tmp_path_factory):
    """Envoy and the proxy under test before the same endpoints, and which port is whose."""
    with ExitStack() as stack:
        directory = tmp_path_factory.mktemp("outliers")
        taken = stack.enter_context(socket.socket())
        taken.bind(("127.0.0.1", 0))
        ups = stack.enter_context(named_upstreams(len(outliers.HOSTS) - 1))
        ports = [*(up.port for up in ups), taken.getsockname()[1]]
        world = outliers.world(ports)
        kinds = {"reference": "envoy", "tested": proxy_kind}
        proxies = [stack.enter_context(Proxy(kind, world, directory, name=name)) for name, kind in kinds.items()]
        yield proxies, dict(zip(ports, outliers.HOSTS))


def ejected(case, proxy, hosts):
    """The letters of the endpoints that are left alone."""
    rows = [line.split("::") for line in proxy.admin.get("/clusters").text.splitlines() if line.startswith(f"{case.cluster}::")]
    flags = {hosts[int(row[1].rpartition(":")[2])]: row[3] for row in rows if len(row) > 3 and row[2] == "health_flags"}
    return "".join(sorted(letter for letter, flag in flags.items() if "failed_outlier_check" in flag))


def observe(case, proxy, hosts, known=None):
    """What each request was answered, and who is left alone after it; where that is `known`, soon after it."""
    seen = {}
    for number, (letter, status) in enumerate(case.steps()):
        plan = '{"hangup": "before"}' if status is None else f'{{"status": {status}, "body": "said"}}'
        got = http1.request(proxy.port(), target=f"/{case.cluster}/{letter}", headers=[("x-respond", plan)])
        seen[f"{number}.status"] = got.status
        name, end = f"{number}.ejected", time.monotonic() + SOON
        seen[name] = ejected(case, proxy, hosts)
        while known and seen[name] != known[name] and time.monotonic() < end:
            seen[name] = ejected(case, proxy, hosts)
    stats = proxy.admin.stats()
    seen |= {name: int(stats.get(f"cluster.{case.cluster}.outlier_detection.{name}", 0)) for name in outliers.COUNTERS}
    return seen


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_same_endpoints_are_left_alone(sides, case):
    proxies, hosts = sides
    envoy = observe(case, proxies[0], hosts)
    weft = observe(case, proxies[1], hosts, envoy)
    RUN.add(case.name)
    unexplained = {}
    for path, (left, right) in differences(envoy, weft).items():
        rows = [row for row in outliers.DIFFERENT if re.fullmatch(row.cases, case.name) and re.fullmatch(row.paths, path)]
        USED.update(rows)
        if not rows:
            unexplained[path] = {"envoy": left, "weft": right}
    assert not unexplained


def test_every_difference_is_still_needed(proxy_kind):
    if proxy_kind != "weft" or len(RUN) != len(CASES):
        pytest.skip("needs a whole run against weft-proxy")
    assert set(outliers.DIFFERENT) == USED
    assert all(len(row.why) > 40 for row in outliers.DIFFERENT)
