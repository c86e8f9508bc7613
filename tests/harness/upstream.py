"""Upstreams that tell what reached them: HTTP/1.1 and h2c on one port, and plain TCP.

What to answer travels with the request, in the header `x-respond` (JSON): `status`, `headers`
(pairs), `body`, `fill` (a body of that many bytes), `framing` (`length`, `chunked`, `close`), `trailers`, `gate` (hold the answer until
the test opens that gate), `hangup` (`before` the head or in the `middle` of the body, with `code` over h2),
`tunnel` (send bytes back after the head). Without it
the answer is 200 and the server's own body, or else a JSON description of the request.
"""

import json
import socket
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GATE_LIMIT = 30


class Server:
    """Listens on a port of the kernel's choice or at a path, a thread for each connection."""

    def __init__(self, name, port=0):
        self.name = name
        self.connections = 0
        self._open = set()
        self._lock = threading.Lock()
        self._socket, self.port = _listening(port)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        """Closes the listener and every connection."""
        self._shut(self._socket)
        with self._lock:
            for connection in list(self._open):
                self._shut(connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @staticmethod
    def _shut(connection):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        connection.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._open.add(connection)
                number = self.connections
            threading.Thread(target=self._run, args=(connection, number), daemon=True).start()

    def _run(self, connection, number):
        try:
            self.serve(connection, number)
        except (OSError, ValueError, h2.exceptions.H2Error):
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            self._shut(connection)

    def serve(self, connection, number):
        raise NotImplementedError


def _listening(port):
    """A socket that listens, and where: a port, one of another address as a pair, or a path."""
    if isinstance(port, str):
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(port)
        bound.listen(512)
        return bound, port
    host, number = port if isinstance(port, tuple) else ("127.0.0.1", port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.create_server((host, number), family=family, backlog=512)
    return bound, bound.getsockname()[1]


def peer_of(connection):
    """The address that a connection came from; empty for a Unix socket."""
    name = connection.getpeername()
    return name[0] if isinstance(name, tuple) else ""


class Tcp(Server):
    """Says its name in one line, then sends back what it gets until the peer has finished."""

    def serve(self, connection, number):
        connection.sendall(f"{self.name}\n".encode())
        while data := connection.recv(65536):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)


class Switch(Tcp):
    """Answers any head with 101, then sends bytes back; `head` is what it was asked."""

    def serve(self, connection, number):
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        self.head, rest = head.split(b"\r\n\r\n", 1)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: own/1\r\n\r\n" + rest)
        super().serve(connection, number)


class Http(Server):
    """The echo; `seen` keeps every request of its life, newest last; targets in `failing` get a 503.

    `script` holds what to do with the next requests, one after the other, in the place of what they ask for, and
    `answers` what to do with all requests for a target. `peak` is how many HTTP/1.1 requests there were at most
    that had come and not been answered.
    """

    def __init__(self, name, port=0, body=None):
        self.seen = []
        self.failing = set()
        self.script = []
        self.answers = {}
        self.peak = 0
        self._at_work = 0
        self._body = body
        self._gates = {}
        self._gates_lock = threading.Lock()
        super().__init__(name, port)

    def open_gate(self, name):
        self._gate(name).set()

    def let_through(self, name):
        """Opens a gate for those who wait now: who comes later waits again."""
        with self._gates_lock:
            gate = self._gates.pop(name, None)
        if gate is not None:
            gate.set()

    def _gate(self, name):
        with self._gates_lock:
            return self._gates.setdefault(name, threading.Event())

    def serve(self, connection, number):
        first = b""
        while len(first) < len(PREFACE) and PREFACE.startswith(first):
            data = connection.recv(65536)
            if not data:
                return
            first += data
        if first.startswith(PREFACE):
            _Http2(self, connection, number).run(first)
        else:
            _Http1(self, connection, number, first).run()

    def plan(self, report):
        """Records a request; the answer it asked for."""
        report = {"upstream": self.name, **report}
        self.seen.append(report)
        asked = [value for name, value in report["headers"] if name.lower() == "x-respond"]
        status = 503 if report["target"] in self.failing else 200
        plan = {"status": status, "headers": [], "framing": "length", **(json.loads(asked[0]) if asked else {})}
        if report["target"] in self.answers:
            plan |= self.answers[report["target"]]
        else:
            plan |= self.script.pop(0) if self.script else {}
        if "fill" in plan:
            plan["body"] = "z" * plan["fill"]
        elif "body" not in plan and self._body is not None:
            plan["body"] = self._body
        elif "body" not in plan:
            plan["body"] = json.dumps(report)
            plan["headers"] = [["content-type", "application/json"], *plan["headers"]]
        plan["headers"] = [["x-upstream", self.name], *plan["headers"]]
        return plan

    def works(self, more):
        """Counts requests that have yet to be answered."""
        with self._gates_lock:
            self._at_work += more
            self.peak = max(self.peak, self._at_work)

    def hold(self, plan):
        """Waits at the gate that the plan names."""
        if "gate" in plan:
            self._gate(plan["gate"]).wait(GATE_LIMIT)


class _Http1:
    def __init__(self, server, connection, number, first):
        self._server, self._connection, self._number, self._buffer = server, connection, number, first

    def run(self):
        while (head := self._until(b"\r\n\r\n")) is not None:
            if not self._exchange(head):
                return

    def _exchange(self, head):
        start, *lines = head.decode("latin-1").split("\r\n")
        method, target, protocol = start.split(" ", 2)
        headers = [[name, value.strip()] for name, _, value in (line.partition(":") for line in lines)]
        known = {name.lower(): value for name, value in headers}
        if known.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        framing, body, trailers = self._body(known)
        self._server.works(1)
        plan = self._server.plan(
            {
                "connection": self._number,
                "peer": peer_of(self._connection),
                "protocol": protocol,
                "method": method,
                "target": target,
                "headers": headers,
                "framing": framing,
                "body": body.decode("latin-1") if len(body) <= 4096 else f"{len(body)} bytes",
                "trailers": trailers,
            }
        )
        self._server.hold(plan)
        # Whoever reads the answer finds this one gone.
        self._server.works(-1)
        if plan.get("hangup") == "before":
            return False
        goes_on = self._respond(method, protocol, known, plan)
        if plan.get("tunnel"):
            self._echo()
        return goes_on

    def _echo(self):
        data = self._buffer or self._connection.recv(65536)
        while data:
            self._connection.sendall(data)
            data = self._connection.recv(65536)
        self._connection.shutdown(socket.SHUT_WR)

    def _respond(self, method, protocol, known, plan):
        body = plan["body"].encode("latin-1")
        status, framing = plan["status"], plan["framing"]
        headers = [tuple(pair) for pair in plan["headers"]]
        bodiless = method == "HEAD" or status in (204, 304)
        if framing == "chunked":
            headers.append(("transfer-encoding", "chunked"))
        elif framing == "length" and status != 204:
            headers.append(("content-length", str(len(body))))
        lines = [f"HTTP/1.1 {status} {plan.get('reason', 'Answered')}", *(f"{n}: {v}" for n, v in headers)]
        out = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if plan.get("hangup") == "middle":
            self._connection.sendall(out + body[: len(body) // 2])
            return False
        if not bodiless:
            out += self._framed(body, framing, plan.get("trailers", []))
        self._connection.sendall(out)
        closing = known.get("connection", "").lower() == "close" or protocol == "HTTP/1.0"
        return not closing and framing != "close"

    @staticmethod
    def _framed(body, framing, trailers):
        if framing != "chunked":
            return body
        half = len(body) // 2
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (body[:half], body[half:]) if c)
        return chunks + b"0\r\n" + b"".join(f"{n}: {v}\r\n".encode() for n, v in trailers) + b"\r\n"

    def _body(self, known):
        if known.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self._line().split(b";")[0], 16):
                body += self._exactly(size)
                self._exactly(2)
            trailers = []
            while line := self._line():
                name, _, value = line.decode("latin-1").partition(":")
                trailers.append([name, value.strip()])
            return "chunked", body, trailers
        if "content-length" in known:
            return "length", self._exactly(int(known["content-length"])), []
        return "none", b"", []

    def _until(self, mark):
        while mark not in self._buffer:
            data = self._connection.recv(65536)
            if not data:
                return None
            self._buffer += data
        part, self._buffer = self._buffer.split(mark, 1)
        return part

    def _line(self):
        line = self._until(b"\r\n")
        if line is None:
            raise ValueError("closed in the middle of a body")
        return line

    def _exactly(self, length):
        while len(self._buffer) < length:
            data = self._connection.recv(65536)
            if not data:
                raise ValueError("closed in the middle of a body")
            self._buffer += data
        part, self._buffer = self._buffer[:length], self._buffer[length:]
        return part


class _Http2:
    def __init__(self, server, connection, number):
        self._server, self._connection, self._number = server, connection, number
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        )
        self._requests = {}
        self._pending = {}
        self._lock = threading.Lock()

    def run(self, first):
        self._h2.initiate_connection()
        self._flush()
        data = first
        while data:
            with self._lock:
                for event in self._h2.receive_data(data):
                    self._handle(event)
                self._continue_bodies()
                self._flush()
            data = self._connection.recv(65536)

    def _flush(self):
        self._connection.sendall(self._h2.data_to_send())

    def _handle(self, event):
        stream = getattr(event, "stream_id", None)
        match event:
            case h2.events.RequestReceived():
                self._requests[stream] = {"headers": event.headers, "body": b"", "trailers": []}
            case h2.events.DataReceived():
                self._requests[stream]["body"] += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
            case h2.events.TrailersReceived():
                self._requests[stream]["trailers"] = [list(pair) for pair in event.headers]
            case h2.events.StreamEnded():
                self._answer(stream, self._requests.pop(stream))
            case h2.events.StreamReset():
                self._requests.pop(stream, None)
                self._pending.pop(stream, None)

    def _answer(self, stream, request):
        pseudo = {name: value for name, value in request["headers"] if name.startswith(":")}
        body = request["body"]
        plan = self._server.plan(
            {
                "connection": self._number,
                "peer": peer_of(self._connection),
                "protocol": "HTTP/2",
                "method": pseudo[":method"],
                "target": pseudo.get(":path"),
                "authority": pseudo.get(":authority"),
                "scheme": pseudo.get(":scheme"),
                "headers": [[n, v] for n, v in request["headers"] if not n.startswith(":")],
                "framing": "data" if body else "none",
                "body": body.decode("latin-1") if len(body) <= 4096 else f"{len(body)} bytes",
                "trailers": request["trailers"],
            }
        )
        if "gate" in plan:
            # Other streams of this connection go on meanwhile.
            threading.Thread(target=self._held, args=(stream, plan, pseudo[":method"]), daemon=True).start()
        else:
            self._respond(stream, plan, pseudo[":method"])

    def _held(self, stream, plan, method):
        self._server.hold(plan)
        with self._lock:
            try:
                self._respond(stream, plan, method)
                self._flush()
            except (OSError, h2.exceptions.H2Error):
                pass

    def _respond(self, stream, plan, method):
        if plan.get("hangup") == "before":
            self._h2.reset_stream(stream, error_code=plan.get("code", 2))
            return
        body = plan["body"].encode("latin-1")
        headers = [(":status", str(plan["status"]))] + [(n.lower(), v) for n, v in plan["headers"]]
        bodiless = method == "HEAD" or plan["status"] in (204, 304)
        if plan["framing"] == "length" and plan["status"] != 204:
            headers.append(("content-length", str(len(body))))
        trailers = [(n, v) for n, v in plan.get("trailers", [])]
        ends = (bodiless or not body) and not trailers
        self._h2.send_headers(stream, headers, end_stream=ends)
        if plan.get("hangup") == "middle":
            self._h2.send_data(stream, body[: len(body) // 2])
            self._h2.reset_stream(stream, error_code=plan.get("code", 2))
        elif not ends:
            self._pending[stream] = (b"" if bodiless else body, trailers)
            self._continue_bodies()

    def _continue_bodies(self):
        """Sends as much of each waiting body as flow control lets through."""
        for stream, (body, trailers) in list(self._pending.items()):
            while body:
                room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
                if room <= 0:
                    break
                piece, body = body[:room], body[room:]
                self._h2.send_data(stream, piece, end_stream=not body and not trailers)
            if body:
                self._pending[stream] = (body, trailers)
                continue
            if trailers:
                self._h2.send_headers(stream, trailers, end_stream=True)
            del self._pending[stream]
