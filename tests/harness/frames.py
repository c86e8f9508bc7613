"""HTTP/2 frame by frame (RFC 9113 §4, §6): sends what no library would, and tells what came of it."""

import socket
import struct

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 5, 6, 7, 8, 9
ENHANCE_YOUR_CALM = 11


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """The bytes of a frame; `length` is a lie when it is given."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def reset(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def block(fields, indexed=True):
    """A header block that changes no table, so that blocks can be sent in any order."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    made = encoder.encode([hpack.NeverIndexedHeaderTuple(name, value) for name, value in fields], huffman=False)
    # The encoder announces the size of its table; the peer's first block may do that, later ones need not.
    return made if not made.startswith(b"\x20") else made[1:]


def request(method="GET", path="/", *extra, authority="weft.test", scheme="http"):
    return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority), *extra]


def headers(stream, fields, end=True, flags=END_HEADERS):
    payload = fields if isinstance(fields, bytes) else block(fields)
    return frame(HEADERS, flags | (END_STREAM if end else 0), stream, payload)


class Raw:
    """One connection, the preface and some SETTINGS sent."""

    def __init__(self, port, *pairs, timeout=15.0, preface=PREFACE):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._decoder = hpack.Decoder(max_header_list_size=1 << 20)
        self.send(preface + settings(*pairs))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Sends; that the peer has closed meanwhile is seen when reading."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def flood(self, piece, count, batch=200):
        """Sends a piece many times; False when the peer took no more, closed or stopped reading."""
        self.socket.settimeout(3.0)
        try:
            for _ in range(count // batch):
                self.socket.sendall(piece * batch)
        except OSError:
            return False
        finally:
            self.socket.settimeout(15.0)
        return True

    def frames(self):
        """Frames as (kind, flags, stream, payload), until the peer closes."""
        while True:
            while len(self._buffer) >= 9:
                size = int.from_bytes(self._buffer[:3], "big")
                if len(self._buffer) < 9 + size:
                    break
                kind, flags = self._buffer[3], self._buffer[4]
                stream = int.from_bytes(self._buffer[5:9], "big") & 0x7FFFFFFF
                payload, self._buffer = self._buffer[9 : 9 + size], self._buffer[9 + size :]
                yield kind, flags, stream, payload
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return
            if not data:
                return
            self._buffer += data

    def outcome(self, stream):
        """What decides about a stream: ("status", n), ("reset", code), ("goaway", code) or ("closed", None)."""
        for kind, _, about, payload in self.frames():
            if kind == RST_STREAM and about == stream:
                return "reset", int.from_bytes(payload[:4], "big")
            if kind == GOAWAY and (code := int.from_bytes(payload[4:8], "big")) != NO_ERROR:
                return "goaway", code
            if kind == HEADERS:
                fields = dict(self._decoder.decode(payload))
                if about == stream:
                    return "status", int(fields[":status"])
        return "closed", None

    def end(self):
        """How the connection ends: the code of its GOAWAY, or None when it just closes."""
        code = None
        for kind, _, _, payload in self.frames():
            if kind == GOAWAY:
                code = int.from_bytes(payload[4:8], "big")
        return code


def resident_kib(process):
    """Resident memory of a process."""
    with open(f"/proc/{process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1])
