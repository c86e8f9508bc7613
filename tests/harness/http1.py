"""An HTTP/1.1 client on a bare socket: sends what it is told and hides nothing it gets."""

import json
import select
import socket
from dataclasses import dataclass, field


class Broken(OSError):
    """The peer closed or spoke nonsense before the answer was complete."""


def dial(port, host="127.0.0.1", timeout=15.0):
    """A connected socket; `port` may be the path of a Unix socket."""
    if isinstance(port, str):
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(timeout)
        made.connect(port)
        return made
    made = socket.create_connection((host, port), timeout=timeout)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


@dataclass
class Response:
    """An answer as it stood on the wire."""

    version: str
    status: int
    reason: str = ""
    headers: list = field(default_factory=list)
    body: bytes = b""
    framing: str = "none"
    trailers: list = field(default_factory=list)
    interim: list = field(default_factory=list)

    def header(self, name):
        """The value of a header, repeated ones joined; None without it."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def trailer(self, name):
        values = [value for key, value in self.trailers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def text(self):
        return self.body.decode(errors="replace")

    def json(self):
        return json.loads(self.body)


class Connection:
    """One connection to a port on loopback, or to the path of a Unix socket."""

    def __init__(self, port, host="127.0.0.1", timeout=15.0):
        self.socket = dial(port, host, timeout)
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, target, headers=(), body=None, chunked=False, version="1.1", host="weft.test"):
        """Sends a request and reads the answer."""
        self.send(encode(method, target, headers, body, chunked, version, host))
        return self.read(method)

    def read(self, method="GET"):
        """Reads one answer; informational ones before it are kept in `interim`."""
        interim = []
        while True:
            response = self._head()
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response)
        response.interim = interim
        self._body(response, method)
        return response

    def has_come(self):
        """Whether something is there to be read now."""
        return bool(self._buffer or select.select([self.socket], [], [], 0)[0])

    def at_end(self):
        """Whether the peer has closed: True once it has, an error when it sends more."""
        if self._buffer:
            raise Broken(f"more bytes than expected: {self._buffer!r}")
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return True
        if data:
            raise Broken(f"more bytes than expected: {data!r}")
        return True

    def read_some(self):
        """What has come, or else what comes next; nothing at the end."""
        data, self._buffer = self._buffer, b""
        return data or self.socket.recv(65536)

    def read_to_end(self):
        data, self._buffer = self._buffer, b""
        while True:
            piece = self.socket.recv(65536)
            if not piece:
                return data
            data += piece

    def _more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise Broken(f"closed in the middle; had {self._buffer[:200]!r}")
        self._buffer += piece

    def _until(self, mark):
        while mark not in self._buffer:
            self._more()
        part, self._buffer = self._buffer.split(mark, 1)
        return part

    def _exactly(self, length):
        while len(self._buffer) < length:
            self._more()
        part, self._buffer = self._buffer[:length], self._buffer[length:]
        return part

    def _head(self):
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, *reason = lines[0].split(" ", 2)
        if not version.startswith("HTTP/"):
            raise Broken(f"not a status line: {lines[0]!r}")
        return Response(version[5:], int(status), "".join(reason), [_field(line) for line in lines[1:]])

    def _body(self, response, method):
        length = response.header("content-length")
        if method == "HEAD" or response.status in (204, 304) or response.status < 200:
            response.framing = "none"
        elif (response.header("transfer-encoding") or "").lower() == "chunked":
            response.framing = "chunked"
            response.body, response.trailers = self._chunks()
        elif method == "CONNECT" and response.status == 200:
            response.framing = "none"
        elif length is not None:
            response.framing = "length"
            response.body = self._exactly(int(length))
        else:
            response.framing = "close"
            response.body = self.read_to_end()

    def _chunks(self):
        body = b""
        while size := int(self._until(b"\r\n").split(b";")[0], 16):
            body += self._exactly(size)
            if self._exactly(2) != b"\r\n":
                raise Broken("a chunk without its end")
        trailers = []
        while line := self._until(b"\r\n"):
            trailers.append(_field(line.decode("latin-1")))
        return body, trailers


def _field(line):
    name, _, value = line.partition(":")
    return name, value.strip()


def encode(method, target, headers=(), body=None, chunked=False, version="1.1", host="weft.test"):
    """The bytes of a request; `host=None` leaves the header out."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    body = body.encode() if isinstance(body, str) else body
    if body is not None:
        lines.append("transfer-encoding: chunked" if chunked else f"content-length: {len(body)}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    if body is None:
        return head
    if not chunked:
        return head + body
    half = len(body) // 2
    pieces = [piece for piece in (body[:half], body[half:]) if piece]
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def request(port, method="GET", target="/", headers=(), body=None, **more):
    """One request on a connection of its own."""
    with Connection(port) as connection:
        return connection.request(method, target, headers, body, **more)
