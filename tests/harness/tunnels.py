"""Both ends of tunnels over HTTP/2 (RFC 9113 §8.5, RFC 8441)."""

import h2.config
import h2.connection
import h2.events
import h2.settings

from harness.frames import DATA, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Raw, frame, headers, window_update
from harness.upstream import Server

ENABLE_CONNECT_PROTOCOL = 8


def extended(protocol, path="/", *extra, authority="weft.test"):
    """The fields of an extended CONNECT."""
    pseudo = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":path", path)]
    return [*pseudo, (":authority", authority), *extra]


def plain(authority="any.test:1"):
    """The fields of a CONNECT."""
    return [(":method", "CONNECT"), (":authority", authority)]


class Tunnel:
    """A stream of a connection of its own that asks for a tunnel; `status` is the answer."""

    def __init__(self, port, fields):
        self.connection = Raw(port)
        self.connection.send(headers(1, fields, end=False))
        self.status, self.fields, self.reset, self.ended = None, {}, None, False
        self._data = b""
        self._frames = self.connection.frames()
        while self.status is None and self.reset is None:
            self._take()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.socket.close()

    def send(self, data, end=False):
        self.connection.send(frame(DATA, END_STREAM if end else 0, 1, data))

    def read(self, length):
        """Exactly so many bytes."""
        while len(self._data) < length:
            self._take()
        data, self._data = self._data[:length], self._data[length:]
        return data

    def read_to_end(self):
        while not self.ended:
            self._take()
        data, self._data = self._data, b""
        return data

    def _take(self):
        kind, flags, stream, payload = next(self._frames)
        if kind == GOAWAY and int.from_bytes(payload[4:8], "big"):
            raise AssertionError(f"GOAWAY {payload!r}")
        if stream != 1:
            return
        if kind == HEADERS:
            self.fields = dict(self.connection._decoder.decode(payload))
            self.status = int(self.fields[":status"])
        elif kind == DATA:
            self._data += payload
            if payload:
                self.connection.send(window_update(0, len(payload)) + window_update(1, len(payload)))
        elif kind == RST_STREAM:
            self.reset, self.ended = int.from_bytes(payload[:4], "big"), True
        self.ended |= kind in (DATA, HEADERS) and bool(flags & END_STREAM)


class Tunnels(Server):
    """An h2c server that agrees to any tunnel and sends back what comes through; `asked` keeps the
    fields of each request and `settings` what the client says. `offers` says whether its settings take extended
    CONNECT, `says` are more fields of its answers."""

    def __init__(self, offers=True, status=200, answers_pings=True, says=()):
        self.says = list(says)
        self.asked, self.offers, self.status, self.answers_pings = [], offers, status, answers_pings
        self.settings = {}
        super().__init__("tunnels")

    def serve(self, connection, number):
        config = h2.config.H2Configuration(
            client_side=False, header_encoding="latin-1", validate_inbound_headers=False
        )
        peer = h2.connection.H2Connection(config)
        if self.offers:
            said = {**dict(peer.local_settings), ENABLE_CONNECT_PROTOCOL: 1}
            peer.local_settings = h2.settings.Settings(client=False, initial_values=said)
        peer.initiate_connection()
        connection.sendall(peer.data_to_send())
        while data := connection.recv(65536):
            for event in peer.receive_data(data):
                self._handle(peer, event)
                if isinstance(event, h2.events.PingReceived) and not self.answers_pings:
                    peer.clear_outbound_data_buffer()
            connection.sendall(peer.data_to_send())

    def _handle(self, peer, event):
        match event:
            case h2.events.RemoteSettingsChanged():
                self.settings |= {int(code): changed.new_value for code, changed in event.changed_settings.items()}
            case h2.events.RequestReceived():
                self.asked.append(dict(event.headers))
                peer.send_headers(event.stream_id, [(":status", str(self.status)), *self.says], end_stream=self.status != 200)
            case h2.events.DataReceived() if self.status == 200:
                peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.data:
                    peer.send_data(event.stream_id, event.data)
            case h2.events.StreamEnded() if self.status == 200:
                peer.end_stream(event.stream_id)
