"""Clients of others over HTTP/2: h2load and nghttp of nghttp2, and curl."""

import subprocess

import pytest

from harness.config import bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host


def run(*command):
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("latin-1")


@pytest.fixture(params=[False, True], ids=["http1", "h2"])
def url(request, start, http_upstream):
    """A proxy before an upstream of either protocol."""
    up = http_upstream("up")
    host = virtual_host("all", ["*"], direct("/direct", 200, "alive"), route("/", "up"))
    clusters = [cluster("up", up.port, http2=request.param)]
    proxy = start(bootstrap([listener("main", hcm(routes("main", host)))], clusters))
    return f"http://127.0.0.1:{proxy.port()}"


@pytest.mark.parametrize("path, count", [("/direct", 20_000), ("/up", 500)])
def test_h2load_loses_nothing(url, path, count):
    told = run("h2load", "-n", str(count), "-c", "10", "-m", "50", url + path)
    assert f"{count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout" in told
    assert f"status codes: {count} 2xx, 0 3xx, 0 4xx, 0 5xx" in told


def test_h2load_posts(url, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"x" * 100_000)
    told = run("h2load", "-n", "100", "-c", "4", "-m", "10", "-d", str(body), url + "/up")
    assert "100 succeeded, 0 failed, 0 errored" in told


def test_nghttp_sees_no_mistake(url, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"y" * 200_000)
    told = run("nghttp", "-nv", "-d", str(body), "--expect-continue", "-H", "te: trailers", url + "/up")
    assert ":status: 200" in told and "recv GOAWAY" not in told and "RST_STREAM" not in told
    assert run("nghttp", url + "/direct", url + "/direct?again") == "alivealive"


def test_curl_speaks_either_version(url):
    versions = ["--http1.1", "--http2", "--http2-prior-knowledge"]
    told = [run("curl", "-sS", way, "-w", " %{http_version}", url + "/direct") for way in versions]
    # An offer to upgrade to h2c is not taken up: RFC 9113 §3.1 has withdrawn it.
    assert told == ["alive 1.1", "alive 1.1", "alive 2"]
