"""A name server: answers what it is told to, over UDP and TCP, on one port of the kernel's choice."""

import socket
import struct
import threading

A, CNAME, AAAA, SRV = 1, 5, 28, 33
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


def labels(name):
    """A name on the wire."""
    return b"".join(bytes([len(part)]) + part.encode() for part in name.strip(".").split(".")) + b"\0"


class NameServer:
    """`zone` maps a name to records `(type, value, ttl)`; `asked` keeps every query as (transport, name, type)."""

    def __init__(self):
        self.zone = {}
        self.asked = []
        self.failing = False
        self.silent = False
        self.truncating = False
        while True:
            self._tcp = socket.create_server(("127.0.0.1", 0))
            self.port = self._tcp.getsockname()[1]
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self._udp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self._tcp.close()
                self._udp.close()
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def set(self, name, *addresses, ttl=300):
        """A name with these addresses."""
        kind = lambda address: AAAA if ":" in address else A
        self.zone[name] = [(kind(address), address, ttl) for address in addresses]

    def count(self, name, kind=None):
        return sum(1 for _, asked, of in list(self.asked) if asked == name and kind in (None, of))

    def stop(self):
        self._udp.close()
        self._tcp.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _serve_udp(self):
        while True:
            try:
                query, peer = self._udp.recvfrom(4096)
                answer = self._answer(query, "udp")
                if not self.silent:
                    self._udp.sendto(answer, peer)
            except OSError:
                return

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection):
        with connection:
            while len(size := connection.recv(2, socket.MSG_WAITALL)) == 2:
                query = connection.recv(struct.unpack("!H", size)[0], socket.MSG_WAITALL)
                answer = self._answer(query, "tcp")
                if self.silent:
                    continue
                connection.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, query, transport):
        at, parts = 12, []
        while size := query[at]:
            parts.append(query[at + 1 : at + 1 + size].decode())
            at += 1 + size
        name = ".".join(parts).lower()
        (kind,) = struct.unpack("!H", query[at + 1 : at + 3])
        self.asked.append((transport, name, kind))
        question = query[12 : at + 5]
        truncated = self.truncating and transport == "udp"
        code, records = (SERVFAIL, []) if self.failing else self._find(name, kind)
        records = [] if truncated else records
        flags = 0x8580 | code | (0x0200 if truncated else 0)
        head = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        return head + question + b"".join(records)

    def _find(self, name, kind):
        """Follows aliases as a name server does."""
        records, code = [], NOERROR if name in self.zone else NXDOMAIN
        while name in self.zone:
            alias = None
            for of, value, ttl in self.zone[name]:
                if of in (kind, CNAME):
                    records.append(labels(name) + struct.pack("!HHI", of, 1, ttl) + self._data(of, value))
                alias = value if of == CNAME else alias
            if alias is None:
                break
            name = alias
        return code, records

    @staticmethod
    def _data(kind, value):
        if kind == A:
            data = socket.inet_aton(value)
        elif kind == AAAA:
            data = socket.inet_pton(socket.AF_INET6, value)
        elif kind == SRV:
            priority, weight, port, target = value
            data = struct.pack("!HHH", priority, weight, port) + labels(target)
        else:
            data = labels(value)
        return struct.pack("!H", len(data)) + data


def resolver(server, **more):
    """Has a cluster ask this server and nobody else."""
    return {
        "typed_dns_resolver_config": {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": server.port}}],
                "dns_resolver_options": {"no_default_search_domain": True},
                **more,
            },
        }
    }
