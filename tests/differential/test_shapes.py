"""Bootstraps in the shapes that people have: Envoy and weft-proxy serve them alike, or what is refused is named."""

import json
import re
from contextlib import ExitStack

import pytest

from differential import allowed, shapes
from differential.observe import differences, observe
from differential.test_differential import kinds, same_name
from harness.management import ManagementServer
from harness.process import run
from harness.proxy import Proxy, binary
from harness.raw import knock
from harness.upstream import Http, Tcp


class Side:
    """One proxy with a shape, and everything behind it."""

    def __init__(self, shape, name, kind, directory):
        self._open = ExitStack()
        enter = self._open.enter_context
        self.upstream = enter(Http(name, body="hello from the upstream"))
        other = enter(Http(name, body="hello from the other"))
        other.seen = self.upstream.seen
        ports = {"up": self.upstream.port, "other": other.port, "tcp": enter(Tcp("tcp")).port}
        ports["socket"] = str(directory / f"{name}.sock")
        with_server = shape.resources(shapes.NOWHERE)
        if with_server:
            by_socket = shape.name == "agent"
            server = enter(ManagementServer(pipe=ports["socket"] if by_socket else None))
            ports["xds"] = server.port
            server.put(**shape.resources(ports))
        made = shape.bootstrap(ports)
        self.port = enter(Proxy(kind, made, directory, name=name, arguments=shape.arguments)).port(shape.listener)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open.close()


def sides(shape, proxy_kind, directory):
    return [Side(shape, name, kind, directory) for name, kind in kinds(proxy_kind)]


@pytest.mark.parametrize("shape", shapes.SHAPES, ids=[shape.name for shape in shapes.SHAPES])
def test_the_shape_serves_alike(proxy_kind, tmp_path, shape):
    pair = sides(shape, proxy_kind, tmp_path)
    with pair[0], pair[1]:
        unexplained = {}
        for case in shape.cases:
            envoy, weft = (same_name(observe(case, side.port, side.upstream)) for side in pair)
            assert envoy["outcome"] == "answered", "the shape serves nothing in Envoy"
            for path, both in differences(envoy, weft).items():
                if not any(row.allows(f"shapes/{case.id}", path, *both) for row in allowed.rows()):
                    unexplained[f"{case.id} {path}"] = both
    assert not unexplained


def test_bytes_go_through_alike(proxy_kind, tmp_path):
    pair = sides(shapes.TCP, proxy_kind, tmp_path)
    with pair[0], pair[1]:
        seen = [knock(side.port, b"select 1", half_close=True) for side in pair]
    assert [(end.data, end.how) for end in seen] == [(b"tcp\nselect 1", "closed")] * 2


@pytest.mark.weft_only
@pytest.mark.parametrize("name", shapes.REFUSED)
def test_what_is_refused_is_named(tmp_path, name):
    make, said = shapes.REFUSED[name]
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(make({**shapes.NOWHERE})))
    results = {kind: run([binary(kind), "--mode", "validate", "-c", path], tmp_path) for kind in ("envoy", "weft-proxy")}
    assert results["envoy"].returncode == 0, results["envoy"].stderr[-2000:]
    told = results["weft-proxy"].stdout + results["weft-proxy"].stderr
    assert results["weft-proxy"].returncode == 1, told
    assert said in told and "supported" in told, told


# Prints something and ends, in Envoy; ours ends with an error that names it.
NOT_TAKEN = {"--hot-restart-version"}


@pytest.mark.weft_only
def test_every_flag_of_envoy_is_taken(tmp_path):
    """One command line with all of them, each with a value that it may have."""
    values = {"--mode": "validate", "--drain-strategy": "gradual", "--local-address-ip-version": "v4", "--socket-mode": "600"}
    usage = run([binary("envoy"), "--help"], tmp_path).stdout.partition("Where:")[0]
    flags = set(re.findall(r"\[(--[a-z-]+)(?:\s+<(string|uint32_t)>)?\]", usage)) - {("--version", "")}
    assert len(flags) > 30
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(shapes.quick_start(shapes.NOWHERE)))
    line = []
    for flag, kind in sorted(flags):
        if flag not in NOT_TAKEN and flag != "--config-yaml":
            default = {"string": str(tmp_path / flag.strip("-")), "uint32_t": "1"}.get(kind)
            line += [flag] if default is None else [flag, values.get(flag, default)]
    done = run([binary("weft-proxy"), "-c", path, "-l", "info", *line], tmp_path)
    assert done.returncode == 0, done.stderr
    for flag in ("--log-format", "--stats-tag", "--component-log-level"):
        assert f"{flag} is not supported" in done.stdout + done.stderr
