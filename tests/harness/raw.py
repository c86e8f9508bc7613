"""Connections below HTTP: what a client says first, and how a connection ends."""

import socket
import ssl
import struct
import time
from dataclasses import dataclass

V2 = b"\r\n\r\n\0\r\nQUIT\n"


def hello(name=None, protocols=()):
    """The first flight of a TLS client."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def in_records(flight, size):
    """The same handshake bytes in smaller TLS records."""
    payload = flight[5:]
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
    return b"".join(flight[:3] + struct.pack("!H", len(piece)) + piece for piece in pieces)


def proxy_v1(source, destination):
    """A header of version 1; addresses are pairs of host and port."""
    family = "TCP6" if ":" in source[0] else "TCP4"
    return f"PROXY {family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n".encode()


def proxy_v2(source=None, destination=None, tlvs=(), command=0x21, family=None, body=None):
    """A header of version 2; without addresses the proxy speaks for itself."""
    if source is None:
        command, family, body = (0x20 if command == 0x21 else command), family or 0, body or b""
    if body is None:
        version = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
        family = family if family is not None else (0x21 if version == socket.AF_INET6 else 0x11)
        body = socket.inet_pton(version, source[0]) + socket.inet_pton(version, destination[0])
        body += struct.pack("!HH", source[1], destination[1])
        for kind, value in tlvs:
            body += struct.pack("!BH", kind, len(value)) + value
    return V2 + struct.pack("!BBH", command, family, len(body)) + body


@dataclass
class End:
    """What came back until the connection ended, and how it did."""

    data: bytes
    how: str


def read_to_end(connection, deadline=10.0):
    """Everything until the peer closes (`closed`), resets (`reset`), or stays `open`."""
    connection.settimeout(deadline)
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionResetError:
        return End(data, "reset")
    except TimeoutError:
        return End(data, "open")
    return End(data, "closed")


def connect(port, source="127.0.0.1", host="127.0.0.1"):
    """A connection from an address of loopback."""
    connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if source != "127.0.0.1":
        connection.bind((source, 0))
    connection.settimeout(10)
    connection.connect((host, port))
    return connection


def knock(port, *pieces, source="127.0.0.1", half_close=False, deadline=10.0):
    """Sends each piece in a packet of its own, and reads to the end."""
    with connect(port, source) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                if piece is not pieces[-1]:
                    _until_taken(connection)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            # The peer has ended it already; how, is what reading says.
            pass
        return read_to_end(connection, deadline)


def converse(port, *pieces):
    """The same, and closes for writing only when the end of what was sent has come back, or nothing does."""
    with connect(port) as connection:
        data = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
            connection.settimeout(2)
            while not data.endswith(pieces[-1][-4:]) and (piece := connection.recv(65536)):
                data += piece
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        end = read_to_end(connection)
        return End(data + end.data, end.how)


def _until_taken(connection):
    """Waits until the peer's kernel has acknowledged what was sent, so that pieces stay pieces."""
    SIOCOUTQ = 0x5411
    import fcntl

    end = time.monotonic() + 2
    while struct.unpack("i", fcntl.ioctl(connection, SIOCOUTQ, b"\0" * 4))[0] and time.monotonic() < end:
        pass
