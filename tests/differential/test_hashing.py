"""Clusters that hash: the same requests reach the same endpoints as with Envoy."""

import pytest

from differential import hashing
from differential.beside import both, named_upstreams
from harness.http1 import Connection


@pytest.fixture(scope="module")
def ports(proxy_kind, tmp_path_factory):
    with named_upstreams(5) as upstreams:
        world = hashing.world([server.port for server in upstreams])
        with both(proxy_kind, world, tmp_path_factory.mktemp("hashing")) as made:
            yield made


def reached(port, policy, name):
    """Which endpoint answers each of the same requests."""
    with Connection(port) as client:
        answers = []
        for number in range(40):
            headers = [("x-user", f"user-{number % 17}"), ("cookie", f"a=b; who={number % 13}")]
            answer = client.request("GET", f"/{policy}/{name}/{number % 7}?q={number % 11}&q=2", headers=headers)
            assert answer.status == 200
            answers.append(answer.text)
        return answers


@pytest.mark.parametrize("name", hashing.CLUSTERS | hashing.EXTENSIONS)
@pytest.mark.parametrize("policy", hashing.POLICIES)
def test_requests_go_where_they_go_in_envoy(ports, policy, name):
    envoy, weft = (reached(port, policy, name) for port in ports)
    assert weft == envoy
    assert len(set(weft)) > 1 or policy == "source"


def test_lines_of_a_header_count_in_any_order(ports):
    for port in ports:
        with Connection(port) as client:
            both = [[("x-user", "ann"), ("x-user", "bob")], [("x-user", "bob"), ("x-user", "ann")]]
            one, other = (client.request("GET", "/header/ring/", headers=lines).text for lines in both)
            assert one == other


def test_a_client_is_given_the_cookie_that_envoy_gives(ports):
    """Its value follows from the ends of the connection, so only its form is the same."""
    forms = []
    for port in ports:
        with Connection(port) as client:
            first = client.request("GET", "/cookie")
            given = first.header("set-cookie")
            name, value, rest = given.replace('"', "=").split("=", 3)[0], given.split('"')[1], given.split('"')[2]
            assert len(value) == 16 and int(value, 16) >= 0
            forms.append((name, rest))
            again = client.request("GET", "/cookie", headers=[("cookie", f"{name}={value}")])
            assert again.header("set-cookie") is None
            assert again.text == first.text
        with Connection(port) as other:
            told = other.request("GET", "/cookie", headers=[("cookie", f'{name}="{value}"')])
            assert told.text == first.text, "the cookie leads there from any connection"
    assert forms[0] == forms[1]
