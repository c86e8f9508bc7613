"""Filters before the router, by what clients and upstreams see of them beyond single answers."""

import base64

import pytest

from differential.filtering import HTTP, put, said, typed
from harness import http1
from harness.config import ROUTER, bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.grpcs import Server
from harness.proxy import Proxy
from harness.upstream import Http


def through(filters, made, **manager):
    """Everything to one cluster, by way of these filters."""
    table = routes("main", virtual_host("all", ["*"], route("/", {"cluster": made["name"], "timeout": "0s"})))
    return bootstrap([listener("main", hcm(table, http_filters=[*filters, ROUTER], **manager))], [made])


def message(content):
    return b"\0" + len(content).to_bytes(4, "big") + content


def messages(data):
    """The messages of a body; the last one holds the trailers."""
    found = []
    while data:
        length = int.from_bytes(data[1:5], "big")
        found.append((data[0], data[5 : 5 + length]))
        data = data[5 + length :]
    return found


def trailers(content):
    return dict(line.split(":", 1) for line in content.decode().strip().split("\r\n"))


@pytest.fixture
def web(proxy_kind, tmp_path):
    """A real gRPC server, and a proxy that speaks gRPC-Web in front of it."""
    with Server("up") as server:
        made = cluster("up", server.port, http2=True)
        with Proxy(proxy_kind, through([put("grpc_web.v3.GrpcWeb")], made), tmp_path) as proxy:
            yield proxy


class Kind:
    """One of the two ways in which gRPC-Web writes its messages."""

    def __init__(self, is_text):
        self.content = "application/grpc-web-text" if is_text else "application/grpc-web+proto"
        self.headers = [("content-type", self.content), ("accept", self.content), ("x-grpc-web", "1")]
        self._is_text = is_text

    def write(self, data):
        return base64.b64encode(data) if self._is_text else data

    def read(self, data):
        # Each message may have its own padding.
        return b"".join(base64.b64decode(data[at : at + 4]) for at in range(0, len(data), 4)) if self._is_text else data


@pytest.mark.parametrize("kind", [Kind(False), Kind(True)], ids=["binary", "text"])
class TestGrpcWeb:
    """Calls of browsers to a real gRPC server."""

    def call(self, proxy, kind, method, body, headers=()):
        sent = [*kind.headers, *headers]
        text = kind.write(body).decode("latin-1")
        answer = http1.request(proxy.port(), "POST", f"/weft.test.Echo/{method}", sent, text)
        assert answer.status == 200
        assert answer.header("content-type").startswith(kind.content.removesuffix("+proto"))
        return answer, messages(kind.read(answer.body))

    def test_a_unary_call(self, web, kind):
        _, [(flag, content), (last, ends)] = self.call(web, kind, "Unary", message(b"hello"))
        assert (flag, content, last) == (0, b"hello", 0x80)
        assert trailers(ends)["grpc-status"] == "0"
        assert trailers(ends)["x-upstream"] == "up"

    def test_a_stream_of_answers(self, web, kind):
        sent = [b"x" * size for size in (0, 1, 2, 3, 70_000)]
        _, found = self.call(web, kind, "Stream", b"".join(map(message, sent)))
        assert [content for _, content in found[:-1]] == sent
        assert trailers(found[-1][1])["grpc-status"] == "0"

    def test_a_status_that_is_no_success(self, web, kind):
        answer, found = self.call(web, kind, "Refuse", message(b""), [("x-refuse", "NOT_FOUND")])
        said = trailers(found[-1][1]) if found else {name.lower(): value for name, value in answer.headers}
        assert (said["grpc-status"], said["grpc-message"]) == ("5", "as%20asked" if "%" in said["grpc-message"] else "as asked")

    def test_messages_pass_as_they_come(self, web, kind):
        head = http1.encode("POST", "/weft.test.Echo/Stream", [*kind.headers, ("transfer-encoding", "chunked")])
        with http1.Connection(web.port()) as connection:
            connection.send(head)
            seen = b""
            for content in (b"one", b"three", b"twelve bytes"):
                text = kind.write(message(content))
                connection.send(b"%x\r\n%s\r\n" % (len(text), text))
                # The echo of each is here before the next one is sent.
                while text not in seen:
                    seen += connection.read_some()
            connection.send(b"0\r\n\r\n")
            while not seen.endswith(b"0\r\n\r\n"):
                seen += connection.read_some()


def buffering(up, **manager):
    return through([put("buffer.v3.Buffer", max_request_bytes=1000)], cluster("up", up.port), **manager)


def test_nothing_goes_up_before_the_request_is_here_as_a_whole(proxy_kind, tmp_path):
    with Http("up") as up, Proxy(proxy_kind, buffering(up), tmp_path) as proxy, http1.Connection(proxy.port()) as slow:
        head = b"POST /slow HTTP/1.1\r\nhost: weft.test\r\ntransfer-encoding: chunked\r\n\r\n"
        slow.send(head + b"5\r\nfirst\r\n")
        # Whoever comes later and is whole goes first.
        assert http1.request(proxy.port(), "POST", "/whole", body="x").status == 200
        slow.send(b"4\r\nlast\r\n0\r\n\r\n")
        assert slow.read("POST").status == 200
        assert [seen["target"] for seen in up.seen] == ["/whole", "/slow"]
        assert (up.seen[1]["body"], up.seen[1]["framing"]) == ("firstlast", "length")


def test_a_request_that_stops_coming_is_given_up(proxy_kind, tmp_path):
    with Http("up") as up, Proxy(proxy_kind, buffering(up, stream_idle_timeout="0.3s"), tmp_path) as proxy:
        with http1.Connection(proxy.port()) as slow:
            slow.send(b"POST / HTTP/1.1\r\nhost: weft.test\r\ncontent-length: 9\r\n\r\nhalf")
            answer = slow.read("POST")
        assert (answer.status, answer.text) == (408, "stream timeout")
        assert not up.seen
        assert proxy.admin.stats()["http.ingress.downstream_rq_idle_timeout"] == 1


def test_no_more_is_held_than_may_be(proxy_kind, tmp_path):
    """A client that never ends is refused at the limit, and nothing of it goes up."""
    with Http("up") as up, Proxy(proxy_kind, buffering(up), tmp_path) as proxy, http1.Connection(proxy.port()) as endless:
        endless.send(b"POST / HTTP/1.1\r\nhost: weft.test\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(11):
            endless.send(b"64\r\n" + b"x" * 100 + b"\r\n")
        assert endless.read("POST").status == 413
        assert not up.seen


def test_origins_are_counted(proxy_kind, tmp_path):
    policy = typed("cors.v3.CorsPolicy", allow_origin_string_match=[{"exact": "http://page.test"}])
    with Http("up") as up:
        entry = route("/", "up", **said(("cors", policy)))
        table = routes("main", virtual_host("all", ["*"], entry))
        filters = [put("cors.v3.Cors", "cors"), ROUTER]
        world = bootstrap([listener("main", hcm(table, http_filters=filters))], [cluster("up", up.port)])
        with Proxy(proxy_kind, world, tmp_path) as proxy:
            for origin in ("http://page.test", "http://else.test", "http://else.test"):
                http1.request(proxy.port(), headers=[("origin", origin)])
            stats = proxy.admin.stats()
            assert stats["http.ingress.cors.origin_valid"] == 1
            assert stats["http.ingress.cors.origin_invalid"] == 2


def test_a_filter_that_is_not_known_is_refused_by_name(tmp_path):
    unknown = {"name": "own", "typed_config": {"@type": HTTP + "csrf.v3.CsrfPolicy"}}
    with Http("up") as up, pytest.raises(RuntimeError) as refused:
        Proxy("weft", through([unknown], cluster("up", up.port)), tmp_path)
    assert 'http_filters[0].typed_config: `envoy.extensions.filters.http.csrf.v3.CsrfPolicy` is not supported' in str(refused.value)
