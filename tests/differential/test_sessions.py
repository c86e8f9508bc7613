"""Sessions and splits by hash: the same endpoints answer, and clients are told the same, as with Envoy."""

import re
import time
from base64 import b64decode
from collections import Counter
from contextlib import ExitStack

import pytest

from differential import sessions
from differential.beside import both
from differential.sessions import plain, written
from harness.http1 import Connection
from harness.upstream import Http


@pytest.fixture(scope="module")
def ups():
    with ExitStack() as enter:
        yield {name: enter.enter_context(Http(name, body="")).port for name in sessions.UPSTREAMS}


@pytest.fixture(scope="module")
def ports(proxy_kind, ups, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sessions")
    with both(proxy_kind, sessions.world(ups), folder) as made:
        yield made


def told(answer, header="set-cookie"):
    """What a client is told of its session; when that ends follows from the time of day."""
    lines = [value for name, value in answer.headers if name == header]
    return [re.sub(r'="[^"]*"', '="value"', line) for line in lines], [ends(line) for line in lines]


def ends(line):
    """Seconds from now, of a cookie that ends."""
    value = re.search(r'="([^"]*)"', line)
    data = b64decode(value.group(1) if value else line)
    if data[:1] != b"\x0a" or len(data) == data[1] + 2:
        return None
    number = sum((byte & 127) << 7 * at for at, byte in enumerate(data[data[1] + 3 :]))
    return round((number - time.time()) / 30)


def asked(port, path, *headers, times=1, header="set-cookie"):
    """How often which answer came."""
    with Connection(port) as client:
        answers = [client.request("GET", path, headers=list(headers)) for _ in range(times)]
    seen = Counter((answer.status, answer.text, answer.header("x-upstream"), str(told(answer, header))) for answer in answers)
    return dict(seen)


def cases(ups):
    b = ("cookie", f"session={written(ups['b'])}")
    yield "a cookie leads to its endpoint", "/up/", [b]
    yield "whatever is balanced", "/least/", [b]
    yield "by hash too", "/ring/", [b]
    yield "in quotes", "/up/", [("cookie", f'x=y; session="{written(ups["b"])}"')]
    yield "an older form", "/up/", [("cookie", f"session={plain(ups['b'])}")]
    yield "one that goes on", "/up/", [("cookie", f"session={written(ups['b'], int(time.time()) + 1000)}")]
    yield "a path that is another one", "/elsewhere/", [b]
    yield "a path that is this one", "/below", [b]
    yield "one below", "/below/x?y", [b]
    yield "one that only begins so", "/belowx", [b]
    yield "a header", "/header/", [("x-session", plain(ups["b"]))]
    yield "turned off", "/off/", [b]
    yield "without a state", "/nothing/", [b]
    yield "an endpoint that is sick", "/sick/", [b]
    yield "one that is leaving", "/sick/", [("cookie", f"session={written(ups['c'])}")]
    yield "one that is well", "/sick/", [("cookie", f"session={written(ups['a'])}")]
    yield "sick ones that will do", "/sick-too/", [b]
    yield "well ones that will not", "/sick-too/", [("cookie", f"session={written(ups['a'])}")]
    yield "none that will do", "/never/", [("cookie", f"session={written(ups['a'])}")]
    yield "only this one", "/strict/", [b]
    gone = ("cookie", f"session={written(1)}")
    yield "only one that is gone", "/strict/", [gone]
    yield "only one that is sick", "/strict-sick/", [b]
    yield "one that is gone and missed", "/missing/", [gone]
    yield "one that is sick and not missed", "/missing-sick/", [b]
    yield "only one that nobody has named", "/strict/", []


CASES = [name for name, _, _ in cases(dict.fromkeys(sessions.UPSTREAMS, 1))]


def settled(answers):
    """Where any endpoint may answer, only what all answers have in common is compared."""
    return {(status, text, told) for status, text, _, told in answers} if len(answers) > 1 else answers.keys()


@pytest.mark.parametrize("name", CASES)
def test_the_answers_are_the_same(ports, ups, name):
    _, path, headers = next(case for case in cases(ups) if case[0] == name)
    envoy, weft = (asked(port, path, *headers, times=12) for port in ports)
    assert settled(weft) == settled(envoy)


@pytest.mark.parametrize(("path", "header"), [("/up/", "set-cookie"), ("/lasting/x", "set-cookie"), ("/header/", "x-session")])
def test_a_session_begins_alike_and_stays(ports, path, header):
    seen = []
    for port in ports:
        with Connection(port) as client:
            first = client.request("GET", path)
            said = told(first, header)
            value = first.header(header)
            brings = (header, value) if header != "set-cookie" else ("cookie", value.split(";")[0])
            rest = [client.request("GET", path, headers=[brings]) for _ in range(8)]
        assert {answer.header("x-upstream") for answer in rest} == {first.header("x-upstream")}
        assert all(answer.header(header) is None for answer in rest)
        # A header holds the endpoint and nothing else.
        seen.append(said if header == "set-cookie" else len(said[0]))
    assert seen[0] == seen[1]


def test_an_expired_cookie_is_none(ports, ups):
    """Requests go round, and each answer begins a session."""
    for port in ports:
        old = ("cookie", f"session={written(ups['b'], int(time.time()) - 10)}")
        answers = asked(port, "/up/", old, times=12)
        assert {upstream for _, _, upstream, _ in answers} == set(sessions.UPSTREAMS)
        assert all("session" in said for _, _, _, said in answers)


def test_users_stay_at_their_part_of_a_split(ports):
    """Each at the one that Envoy chooses for it, in about the shares of the weights."""
    users = [("x-user", f"user-{number}") for number in range(200)]
    seen = []
    for port in ports:
        with Connection(port) as client:
            seen.append([client.request("GET", "/split/", headers=[user]).header("x-upstream") for user in users])
    assert seen[0] == seen[1]
    shares = Counter(seen[1])
    for name, weight in sessions.WEIGHTS.items():
        assert abs(shares[name] - 2 * weight) < 45, shares


@pytest.mark.parametrize("headers", [[], [("x-user", "ann")]])
def test_without_a_hash_chance_decides(ports, headers):
    """The request has none, or the route does not ask for it."""
    path = "/chance/" if headers else "/split/"
    for port in ports:
        with Connection(port) as client:
            seen = {client.request("GET", path, headers=headers).header("x-upstream") for _ in range(100)}
        assert seen == set(sessions.UPSTREAMS)
