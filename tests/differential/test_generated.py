"""Thousands of drawn pairs of configuration and request, to Envoy and to the proxy under test.

`--generated-worlds N` and `--generated-seed S` choose how many and which; a failure prints the
seed, the smallest request that still differs, and the route table.
"""

import json

import pytest

from differential import allowed
from differential.generate import World, shrunk
from differential.observe import differences, observe
from differential.test_differential import kinds, same_name
from harness.proxy import Proxy
from harness.upstream import Http

REQUESTS = 60


def pytest_generate_tests(metafunc):
    if "number" in metafunc.fixturenames:
        metafunc.parametrize("number", range(metafunc.config.getoption("--generated-worlds")))


def test_drawn_worlds_answer_alike(request, proxy_kind, tmp_path, number):
    world = World(request.config.getoption("--generated-seed"), number, REQUESTS)
    sides = []
    try:
        for name, kind in kinds(proxy_kind):
            upstream = Http(name, body="hello from the upstream")
            sides.append([upstream, None])
            sides[-1][1] = Proxy(kind, world.bootstrap({"up": upstream.port}), tmp_path, name=name)
        ports = [proxy.port() for _, proxy in sides]

        def unexplained(case):
            pairs = zip(ports, sides, strict=True)
            envoy, weft = (same_name(observe(case, port, side[0])) for port, side in pairs)
            found = differences(envoy, weft)
            return {path: both for path, both in found.items() if not explained(case, path, *both)}

        failures = [(case, found) for case in world.cases if (found := unexplained(case))]
        reports = []
        for case, found in failures[:3]:
            small = shrunk(case, lambda attempt: unexplained(attempt).keys() == found.keys())
            reports.append(report(small, unexplained(small) or found))
        table = json.dumps(world.bootstrap({"up": 1})["static_resources"]["listeners"][0]["filter_chains"])
        assert not failures, f"{len(failures)} of {REQUESTS} differ\n" + "\n".join(reports) + f"\nworld {world.name}: {table}"
    finally:
        for upstream, proxy in sides:
            if proxy:
                proxy.stop()
            upstream.stop()


def explained(case, path, envoy, weft):
    """Whether a listed difference covers it: for drawn cases protocol and method are what rows can name."""
    return any(row.allows(f"generated/{case.protocol}/{case.name}", path, envoy, weft) for row in allowed.rows())


def report(case, found):
    wire = case.bytes().decode("latin-1") if case.protocol == "h1" else repr(case)
    lines = [f"    {path}: envoy {left!r}, weft {right!r}" for path, (left, right) in found.items()]
    return "\n".join([f"{case.protocol} {wire!r}", *lines])


def test_the_same_seed_draws_the_same():
    one, two = World(7, 3, 20), World(7, 3, 20)
    assert one.cases == two.cases
    assert one.bootstrap({"up": 1}) == two.bootstrap({"up": 1})
    assert World(8, 3, 20).cases != one.cases


def test_a_difference_is_shrunk_to_what_it_needs():
    """Only the header matters here, so only the header is left."""
    world = World(7, 3, 40)
    case = next(case for case in world.cases if len(case.headers) > 1 and case.method != "GET")
    needed = case.headers[0]
    small = shrunk(case, lambda attempt: needed in attempt.headers)
    assert (small.headers, small.method, small.body) == ((needed,), "GET", None)


@pytest.mark.weft_only
def test_enough_is_drawn_to_mean_something(request):
    """Of the drawn requests, many reach a route of their own and many the upstream."""
    worlds = [World(request.config.getoption("--generated-seed"), number, REQUESTS) for number in range(60)]
    text = json.dumps([world.bootstrap({"up": 1}) for world in worlds])
    for word in ("prefix_rewrite", "regex_rewrite", "redirect", "range_match", "safe_regex", "headers_to_remove"):
        assert text.count(word) >= 5, word
