"""An HTTP/2 client with prior knowledge, one stream at a time or several side by side."""

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from harness.http1 import Broken, Response, dial


GOAWAY = 7


class Reset(Broken):
    """The peer reset the stream."""

    def __init__(self, code):
        super().__init__(f"stream reset with {code!r}")
        self.code = int(code)


class Connection:
    """One h2c connection to a port on loopback."""

    def __init__(self, port, host="127.0.0.1", timeout=15.0):
        self.socket = dial(port, host, timeout)
        # The client must be able to send what is wrong, to see it refused.
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
            )
        )
        self._responses = {}
        self._done = {}
        self._partial = b""
        self.going_away = False
        self.goaway_code = None
        self.h2.initiate_connection()
        self._flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def request(self, method, path, headers=(), body=None, authority="weft.test", trailers=None):
        """Sends a request and reads the answer."""
        return self.read(self.start(method, path, headers, body, authority, trailers))

    def start(self, method, path, headers=(), body=None, authority="weft.test", trailers=None):
        """Sends a request; the stream's number."""
        body = body.encode() if isinstance(body, str) else body
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "http")]
        fields += [(":path", path)] if path is not None else []
        fields += [(":authority", authority)] if authority is not None else []
        self.h2.send_headers(stream, fields + list(headers), end_stream=body is None and trailers is None)
        try:
            if body is not None:
                self._send_body(stream, body, ends=trailers is None)
            if trailers is not None:
                self.h2.send_headers(stream, trailers, end_stream=True)
        except h2.exceptions.StreamClosedError:
            # The answer was there before the request's end, and the rest is not wanted.
            pass
        self._flush()
        return stream

    def _send_body(self, stream, body, ends):
        for start in range(0, max(len(body), 1), 16384):
            piece = body[start : start + 16384]
            while self.h2.local_flow_control_window(stream) < len(piece):
                self._flush()
                self._receive()
            self.h2.send_data(stream, piece, end_stream=ends and start + 16384 >= len(body))

    def read(self, stream):
        """The answer on a stream."""
        while stream not in self._done:
            self._receive()
        outcome = self._done.pop(stream)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def reset(self, stream):
        self.h2.reset_stream(stream)
        self._flush()

    def wait_for_goaway(self):
        while not self.going_away:
            self._receive()

    def _flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def _receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise Broken("connection closed in the middle of a stream")
        try:
            for event in self.h2.receive_data(self._without_goaway(data)):
                self._handle(event)
        except h2.exceptions.ProtocolError as error:
            raise Broken(f"not HTTP/2: {error}") from error
        self._flush()

    def _without_goaway(self, data):
        """Whole frames but GOAWAY, after which the library would not read the streams that go on."""
        self._partial += data
        kept = b""
        while len(self._partial) >= 9:
            end = 9 + int.from_bytes(self._partial[:3], "big")
            if len(self._partial) < end:
                break
            frame, self._partial = self._partial[:end], self._partial[end:]
            if frame[3] == GOAWAY:
                self.going_away = True
                self.goaway_code = int.from_bytes(frame[13:17], "big")
            else:
                kept += frame
        return kept

    def _handle(self, event):
        stream = getattr(event, "stream_id", None)
        match event:
            case h2.events.InformationalResponseReceived():
                self._interim = event.headers
            case h2.events.ResponseReceived():
                fields = [_text(pair) for pair in event.headers]
                status = int(dict(fields)[":status"])
                plain = [pair for pair in fields if not pair[0].startswith(":")]
                self._responses[stream] = Response("2", status, headers=plain)
            case h2.events.DataReceived():
                self._responses[stream].body += event.data
                self._responses[stream].framing = "data"
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
            case h2.events.TrailersReceived():
                self._responses[stream].trailers = [_text(pair) for pair in event.headers]
            case h2.events.StreamEnded():
                self._done[stream] = self._responses.pop(stream)
            case h2.events.StreamReset():
                # A reset with NO_ERROR after a complete answer only stops the upload.
                self._done.setdefault(stream, Reset(event.error_code))


def _text(pair):
    return tuple(part.decode("latin-1") if isinstance(part, bytes) else part for part in pair)


def request(port, method="GET", path="/", headers=(), body=None, **more):
    """One request on a connection of its own."""
    with Connection(port) as connection:
        return connection.request(method, path, headers, body, **more)
