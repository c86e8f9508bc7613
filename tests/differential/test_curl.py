"""curl as the client, with the ways of its own: the same command lines through Envoy and weft-proxy."""

import json
import re
import shutil
import subprocess

import pytest

from differential.test_differential import kinds
from harness.config import bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host
from harness.proxy import Proxy
from harness.upstream import Http

if shutil.which("curl") is None:
    pytest.fail("curl is needed: apt-get install curl", pytrace=False)

# What curl is told before the URL, and its path. `@big` is a file of 2 MB, `@small` one of 11 bytes.
LINES = {
    "plain": ([], "/x?y=z"),
    "1.0": (["--http1.0"], "/x"),
    "1.0 post": (["--http1.0", "--data-binary", "@small"], "/x"),
    "h2": (["--http2-prior-knowledge"], "/x?y=z"),
    "upgrade to h2": (["--http2"], "/x"),
    "head": (["--head"], "/x"),
    "head h2": (["--head", "--http2-prior-knowledge"], "/x"),
    "expect": (["-H", "Expect: 100-continue", "--data-binary", "@small"], "/x"),
    "expect and large": (["-H", "Expect: 100-continue", "--data-binary", "@big"], "/x"),
    "expect refused": (["-H", "Expect: 100-continue", "--data-binary", "@big"], "/no"),
    "large": (["-H", "Expect:", "--data-binary", "@big"], "/x"),
    "large h2": (["--http2-prior-knowledge", "--data-binary", "@big"], "/x"),
    "put file": (["--upload-file", "small"], "/x"),
    "chunked": (["--upload-file", "small", "-H", "Transfer-Encoding: chunked"], "/x"),
    "chunked large": (["--upload-file", "big", "-H", "Transfer-Encoding: chunked", "-H", "Expect:"], "/x"),
    "form": (["--form", "field=value", "--form", "file=@small"], "/x"),
    "range": (["--range", "2-5"], "/x"),
    "compressed": (["--compressed"], "/x"),
    "path as is": (["--path-as-is"], "/a/../b/./c//d"),
    "path made plain": ([], "/a/../b/./c//d"),
    "globs off": (["--globoff"], "/a[1-2]{b}"),
    "method": (["--request", "PURGE"], "/x"),
    "options asterisk": (["--request", "OPTIONS", "--request-target", "*"], "/"),
    "absolute target": (["--request-target", "http://other.test/y"], "/x"),
    "no host": (["-H", "Host:"], "/x"),
    "no user agent": (["-A", ""], "/x"),
    "basic": (["--user", "ann:secret"], "/x"),
    "cookies": (["--cookie", "a=1; b=2"], "/x"),
    "close": (["-H", "Connection: close"], "/x"),
    "follow": (["--location", "--max-redirs", "3"], "/redirect"),
    "not found": ([], "/no"),
    "many headers": ([part for n in range(90) for part in ("-H", f"x-{n}: v")], "/x"),
    "too many headers": ([part for n in range(120) for part in ("-H", f"x-{n}: v")], "/x"),
    "tls to plain": (["--insecure"], "https"),
}
# A header that each proxy writes in its own way, or a moment.
OWN = {"date", "server", "proxy-status", "x-upstream", "x-request-id", "x-envoy-upstream-service-time", "content-length"}


@pytest.fixture(scope="module")
def sides(proxy_kind, tmp_path_factory):
    """Port and upstream, of Envoy and of the proxy under test."""
    folder = tmp_path_factory.mktemp("curl")
    (folder / "small").write_text("small bytes")
    (folder / "big").write_bytes(b"0123456789abcdef" * (1 << 17))
    made, pair = [], []
    for name, kind in kinds(proxy_kind):
        up = Http(name, body="hello from the upstream")
        host = virtual_host(
            "all",
            ["*"],
            direct("/no", 403, "not here"),
            route("/redirect", redirect={"path_redirect": "/after", "response_code": "FOUND"}),
            route("/", "up"),
        )
        manager = hcm(routes("main", host), http_protocol_options={"accept_http_10": True, "default_host_for_http_10": "given.test"})
        proxy = Proxy(kind, bootstrap([listener("main", manager)], [cluster("up", up.port)]), folder, name=name)
        made += [proxy, up]
        pair.append((proxy.port(), up))
    yield folder, pair
    for one in made:
        one.stop()


def curl(folder, port, options, path):
    """What curl says of it all: exit code, statuses, heads without what differs by nature, the body."""
    url = f"https://127.0.0.1:{port}/" if path == "https" else f"http://127.0.0.1:{port}{path}"
    line = ["curl", "--silent", "--max-time", "20", "--dump-header", "heads", "--output", "body", "--write-out", "%{json}", *options, url]
    (folder / "heads").write_text("")
    (folder / "body").write_text("")
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    said = json.loads(done.stdout)
    heads = (folder / "heads").read_text(errors="replace").replace(str(port), "PORT").splitlines()
    names = {re.split(":", head, maxsplit=1)[0].lower() for head in heads if head} - OWN
    return {
        "exit": done.returncode,
        "status": said["response_code"],
        "version": said["http_version"],
        "redirects": said["num_redirects"],
        "uploaded": said["size_upload"],
        "interim": sum(1 for head in heads if re.match(r"HTTP/[\d.]+ 100", head)),
        "names": sorted(name for name in names if not name.startswith("http/")),
        "body": "" if "--head" in options else (folder / "body").read_text(errors="replace"),
    }


def told(up):
    """What the upstream saw of the last request."""
    if not up.seen:
        return dict.fromkeys(("method", "target", "framing", "sent", "headers"))
    last = up.seen[-1]
    headers = [(n.lower(), v) for n, v in last["headers"] if n.lower() not in OWN | {"host"}]
    # The boundary of a form is drawn by curl.
    headers = [(n, "<form>" if v.startswith("multipart/") else v) for n, v in headers]
    body = "<form>" if ("content-type", "<form>") in headers else last["body"]
    return {"method": last["method"], "target": last["target"], "framing": last["framing"], "sent": body, "headers": sorted(headers)}


# What differs on purpose: nothing else may, and these must. Of each, DIFFERENCES.md says the same in general.
DIFFERENT = {
    # weft-proxy invites a body only when somebody wants it.
    "expect refused": {"interim": (1, 0)},
    # Only POST, PUT and PATCH are said to have no body.
    "method": {"framing": ("length", "none")},
    # A request that could be read as a whole does not end its connection.
    "no host": {"names": (["connection"], [])},
}


@pytest.mark.parametrize("name", LINES)
def test_curl_sees_the_same(sides, name):
    folder, pair = sides
    options, path = LINES[name]
    seen = []
    for port, up in pair:
        up.seen.clear()
        seen.append(curl(folder, port, options, path) | told(up))
    envoy, weft = seen
    assert {key: (envoy[key], weft[key]) for key in envoy if envoy[key] != weft[key]} == DIFFERENT.get(name, {})
