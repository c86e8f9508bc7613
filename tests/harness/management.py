"""A management server on grpcio and xds-protos, independent of our code, with bad manners on demand.

It serves one set of resources to every client, over both variants of ADS and of the services of
one type each. Knobs: `mute` a type, send each response `twice`, repeat one `out_of_turn`, `cut` all
streams, `refuse` new ones, say that a name has an `error`.
"""

import itertools
import queue
import threading
from concurrent import futures
from dataclasses import dataclass

import grpc
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401 (its type must be known)
from envoy.extensions.filters.network.echo.v3 import echo_pb2  # noqa: F401
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2  # noqa: F401
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2  # noqa: F401
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2  # noqa: F401
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2  # noqa: F401
from envoy.extensions.load_balancing_policies.least_request.v3 import least_request_pb2  # noqa: F401
from envoy.extensions.load_balancing_policies.round_robin.v3 import round_robin_pb2  # noqa: F401
from envoy.extensions.network.dns_resolver.cares.v3 import cares_dns_resolver_pb2  # noqa: F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from envoy.service.cluster.v3 import cds_pb2_grpc
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from envoy.service.endpoint.v3 import eds_pb2_grpc
from envoy.service.listener.v3 import lds_pb2_grpc
from envoy.service.route.v3 import rds_pb2_grpc
from google.protobuf import any_pb2
from google.protobuf.json_format import ParseDict

from harness.waiting import until

PREFIX = "type.googleapis.com/"
CDS = PREFIX + "envoy.config.cluster.v3.Cluster"
EDS = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LDS = PREFIX + "envoy.config.listener.v3.Listener"
RDS = PREFIX + "envoy.config.route.v3.RouteConfiguration"
ORDER = [CDS, EDS, LDS, RDS]
MESSAGES = {
    CDS: cluster_pb2.Cluster,
    EDS: endpoint_pb2.ClusterLoadAssignment,
    LDS: listener_pb2.Listener,
    RDS: route_pb2.RouteConfiguration,
}


def pack(type_url, value):
    """A resource as an Any; bytes are taken as they are, however wrong."""
    if isinstance(value, any_pb2.Any):
        return value
    packed = any_pb2.Any(type_url=type_url)
    packed.value = value if isinstance(value, bytes) else ParseDict(value, MESSAGES[type_url]()).SerializeToString()
    return packed


def name_of(type_url, value):
    return value["cluster_name"] if type_url == EDS else value["name"]


@dataclass
class Seen:
    """One request of a client."""

    stream: int
    mode: str
    type_url: str
    version: str
    nonce: str
    names: list
    removed: list
    initial: dict
    error: str
    node: object
    #: `ads`, or the type that the service is for.
    service: str


class ManagementServer:
    """Resources in, both variants of ADS out."""

    def __init__(self, port=0, pipe=None):
        self.port = port
        #: A Unix socket to listen on instead.
        self.pipe = pipe
        #: Metadata of each stream, in the order of opening.
        self.metadata = []
        #: What delta clients are told does not exist.
        self.unknown = set()
        #: What is said of a name instead of sending it, by type.
        self.errors = {type_url: {} for type_url in ORDER}
        self.requests = []
        self.sent = []
        self.muted = set()
        self.twice = False
        self.wrap_resources = False
        #: How many seconds resources live unless there is a `heartbeat`, by name.
        self.ttl = {}
        self._refuse = False
        self._resources = {type_url: {} for type_url in ORDER}
        self._versions = dict.fromkeys(ORDER, 0)
        self._nonces = itertools.count(1)
        self._streams = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._server = None
        self.start()

    def start(self):
        """Listens, on the same port as before when it has been stopped."""
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=32),
            options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.so_reuseport", 0)],
        )
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(_Ads(self), self._server)
        cds_pb2_grpc.add_ClusterDiscoveryServiceServicer_to_server(_Clusters(self), self._server)
        eds_pb2_grpc.add_EndpointDiscoveryServiceServicer_to_server(_Endpoints(self), self._server)
        lds_pb2_grpc.add_ListenerDiscoveryServiceServicer_to_server(_Listeners(self), self._server)
        rds_pb2_grpc.add_RouteDiscoveryServiceServicer_to_server(_Routes(self), self._server)
        if self.pipe:
            name = str(self.pipe)
            # A name that begins with @ is abstract, as in Envoy's configuration.
            self._server.add_insecure_port(f"unix-abstract:{name[1:]}" if name.startswith("@") else f"unix:{name}")
        else:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self):
        self.cut()
        self._server.stop(grace=0).wait(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # What it serves.

    def put(self, clusters=(), assignments=(), listeners=(), routes=()):
        """Adds or replaces resources and tells every client in one go, by make before break."""
        with self._lock:
            for type_url, values in zip(ORDER, (clusters, assignments, listeners, routes)):
                if values:
                    self._versions[type_url] += 1
                for value in values:
                    self._store(type_url, name_of(type_url, value), pack(type_url, value))
        self.push()

    def put_raw(self, type_url, name, packed):
        """Adds a resource whose bytes need not make sense."""
        with self._lock:
            self._versions[type_url] += 1
            self._store(type_url, name, pack(type_url, packed))
        self.push()

    def remove(self, type_url, *names):
        with self._lock:
            self._versions[type_url] += 1
            for name in names:
                del self._resources[type_url][name]
        self.push()

    def _store(self, type_url, name, packed):
        self._resources[type_url][name] = (f"{self._versions[type_url]}", packed)

    def push(self):
        with self._lock:
            for stream in self._streams.values():
                stream.pushes += 1
                stream.inbox.put(("push", None))

    def snapshot(self, type_url):
        """Version and resources of a type."""
        with self._lock:
            return str(self._versions[type_url]), dict(self._resources[type_url])

    # Its bad manners.

    def mute(self, *type_urls):
        self.muted |= set(type_urls)

    def unmute(self, *type_urls):
        self.muted -= set(type_urls)
        self.push()

    def cut(self):
        """Ends every stream as a crash would."""
        with self._lock:
            for stream in self._streams.values():
                stream.inbox.put(("cut", None))

    def refuse(self, on):
        """Whether new streams are refused."""
        self._refuse = on

    def remove_unknown(self, type_url, *names):
        """Says to delta clients that there is no such resource, as some servers do at once."""
        with self._lock:
            self.unknown |= {(type_url, name) for name in names}
        self.push()

    def error(self, type_url, name, text):
        """Says that a resource cannot be served, and why."""
        with self._lock:
            self.errors[type_url][name] = text
            self._versions[type_url] += 1
        self.push()

    def out_of_turn(self, type_url, nonce="nonce-of-nobody"):
        """Sends a response whose nonce was never announced and whose version is old."""
        with self._lock:
            for stream in self._streams.values():
                stream.inbox.put(("repeat", (type_url, nonce)))

    def heartbeat(self, type_url):
        """Has those that have a time to live begin anew, without sending them again."""
        with self._lock:
            for stream in self._streams.values():
                stream.inbox.put(("heartbeat", type_url))

    def wrapped(self, name, version, packed=None):
        """A resource in its envelope; without a body it is only refreshed."""
        wrapper = discovery_pb2.Resource(name=name, version=version, resource=packed)
        if name in self.ttl:
            wrapper.ttl.FromSeconds(self.ttl[name])
        return wrapper

    # What it saw.

    def of(self, type_url):
        return [request for request in self.requests if request.type_url == type_url]

    def acks(self, type_url):
        """Requests that acknowledge something."""
        return [r for r in self.of(type_url) if r.nonce and not r.error]

    def nacks(self, type_url):
        return [r for r in self.of(type_url) if r.error]

    def streams(self):
        with self._lock:
            return len(self._streams)

    def settled(self, type_url):
        """Whether the latest response of the type was acknowledged by some client."""
        with self._lock:
            if any(stream.pushes for stream in self._streams.values()):
                return False
            sent = [nonce for kind, nonce in self.sent if kind == type_url]
        return bool(sent) and any(r.nonce == sent[-1] and not r.error for r in self.of(type_url))

    def wait_settled(self, *type_urls, deadline=20):
        for type_url in type_urls:
            until(lambda: self.settled(type_url), f"an ACK of the latest {type_url}", deadline)

    def wait_nack(self, type_url, deadline=20):
        """The text of the newest refusal."""
        return until(lambda: self.nacks(type_url), f"a NACK of {type_url}", deadline)[-1].error

    # Of its streams.

    def open(self, mode, service, metadata):
        with self._lock:
            if self._refuse:
                return None
            stream = (_Delta if mode == "delta" else _Sotw)(self, next(self._numbers), service)
            self.metadata.append(metadata)
            self._streams[stream.number] = stream
            return stream

    def closed(self, stream):
        with self._lock:
            self._streams.pop(stream.number, None)

    def pushed(self, stream):
        with self._lock:
            stream.pushes -= 1

    def add_errors(self, response, names):
        for name, text in self.errors[response.type_url].items():
            if name in names:
                error = response.resource_errors.add()
                error.resource_name.name = name
                error.error_detail.code, error.error_detail.message = 5, text

    def next_nonce(self):
        return f"n{next(self._nonces)}"

    def note_sent(self, response):
        with self._lock:
            self.sent.append((response.type_url, response.nonce))
        return response


class _Service:
    #: The type of its resources; none for ADS.
    type_url = None

    def __init__(self, server):
        self._server = server

    def _sotw(self, requests, context):
        yield from self._run("sotw", requests, context)

    def _delta(self, requests, context):
        yield from self._run("delta", requests, context)

    def _run(self, mode, requests, context):
        stream = self._server.open(mode, self.type_url or "ads", dict(context.invocation_metadata()))
        if stream is None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        threading.Thread(target=_read, args=(requests, stream.inbox), daemon=True).start()
        try:
            while True:
                kind, value = stream.inbox.get()
                if kind == "end":
                    return
                if kind == "cut":
                    context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
                yield from map(self._server.note_sent, stream.on(kind, value))
                if kind == "push":
                    self._server.pushed(stream)
        finally:
            self._server.closed(stream)


class _Ads(_Service, ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    StreamAggregatedResources = _Service._sotw
    DeltaAggregatedResources = _Service._delta


class _Clusters(_Service, cds_pb2_grpc.ClusterDiscoveryServiceServicer):
    type_url = CDS
    StreamClusters = _Service._sotw
    DeltaClusters = _Service._delta


class _Endpoints(_Service, eds_pb2_grpc.EndpointDiscoveryServiceServicer):
    type_url = EDS
    StreamEndpoints = _Service._sotw
    DeltaEndpoints = _Service._delta


class _Listeners(_Service, lds_pb2_grpc.ListenerDiscoveryServiceServicer):
    type_url = LDS
    StreamListeners = _Service._sotw
    DeltaListeners = _Service._delta


class _Routes(_Service, rds_pb2_grpc.RouteDiscoveryServiceServicer):
    type_url = RDS
    StreamRoutes = _Service._sotw
    DeltaRoutes = _Service._delta


def _read(requests, inbox):
    try:
        for request in requests:
            inbox.put(("request", request))
    except grpc.RpcError:
        pass
    except Exception:  # noqa: BLE001 (grpcio raises its own bare Exception when a stream is gone)
        pass
    inbox.put(("end", None))


class _Stream:
    def __init__(self, server, number, service):
        self.server, self.number, self.service, self.inbox = server, number, service, queue.Queue()
        self.types = {}
        self.node = None
        #: Pushes that have not been sent yet.
        self.pushes = 0

    def on(self, kind, value):
        if kind == "request":
            yield from self.request(value)
        elif kind == "push":
            for type_url in ORDER:
                if type_url in self.types:
                    yield from self.changed(type_url)
        elif kind == "repeat":
            type_url, nonce = value
            if type_url in self.types:
                yield self.response(type_url, nonce)
        elif kind == "heartbeat" and value in self.types:
            yield from self.heartbeat(value)

    def note(self, mode, request, names, removed=(), initial=None):
        if request.HasField("node"):
            self.node = request.node
        error = request.error_detail.message if request.HasField("error_detail") else ""
        version = getattr(request, "version_info", "")
        self.server.requests.append(
            Seen(
                self.number,
                mode,
                request.type_url,
                version,
                request.response_nonce,
                list(names),
                list(removed),
                dict(initial or {}),
                error,
                request.node if request.HasField("node") else None,
                self.service,
            )
        )


class _Sotw(_Stream):
    def request(self, request):
        self.note("sotw", request, request.resource_names)
        state = self.types.setdefault(request.type_url, {"nonce": "", "names": None, "sent": None})
        if request.response_nonce and request.response_nonce != state["nonce"]:
            return
        names = set(request.resource_names)
        grown = state["names"] is None or bool(names - state["names"])
        state["names"] = names
        if not request.response_nonce or grown:
            yield from self.changed(request.type_url, force=True)

    def changed(self, type_url, force=False):
        if type_url in self.server.muted:
            return
        state = self.types[type_url]
        version, _ = self.server.snapshot(type_url)
        if state["sent"] == version and not force:
            return
        answered = state["nonce"]
        response = self.response(type_url)
        if not response.resources and not response.resource_errors and type_url in (EDS, RDS):
            # It is not sent, so nobody can answer it.
            state["nonce"] = answered
            return
        yield response
        if self.server.twice:
            yield self.response(type_url)

    def response(self, type_url, nonce=None):
        state = self.types[type_url]
        version, resources = self.server.snapshot(type_url)
        names = state["names"] or set()
        wildcard = type_url in (CDS, LDS) and not names
        chosen = [(n, v, p) for n, (v, p) in resources.items() if wildcard or n in names]
        state["sent"], state["nonce"] = version, nonce or self.server.next_nonce()
        response = discovery_pb2.DiscoveryResponse(version_info=version, type_url=type_url, nonce=state["nonce"])
        self.server.add_errors(response, names)
        for name, own_version, packed in chosen:
            if self.server.wrap_resources or name in self.server.ttl:
                response.resources.add().Pack(self.server.wrapped(name, own_version, packed))
            else:
                response.resources.append(packed)
        return response


    def heartbeat(self, type_url):
        state = self.types[type_url]
        _, resources = self.server.snapshot(type_url)
        state["nonce"] = self.server.next_nonce()
        response = discovery_pb2.DiscoveryResponse(version_info=state["sent"], type_url=type_url, nonce=state["nonce"])
        for name in self.server.ttl:
            response.resources.add().Pack(self.server.wrapped(name, resources[name][0]))
        yield response


class _Delta(_Stream):
    def request(self, request):
        self.note(
            "delta",
            request,
            request.resource_names_subscribe,
            request.resource_names_unsubscribe,
            request.initial_resource_versions,
        )
        first = request.type_url not in self.types
        state = self.types.setdefault(request.type_url, {"names": set(), "wild": False, "known": {}, "nonce": "", "told": set()})
        if first:
            state["known"] = dict(request.initial_resource_versions)
            state["wild"] = not request.resource_names_subscribe and request.type_url in (CDS, LDS)
        for name in request.resource_names_subscribe:
            state["wild"] |= name == "*"
            state["names"].add(name)
            if not first:
                state["known"].pop(name, None)
        for name in request.resource_names_unsubscribe:
            state["wild"] &= name != "*"
            state["names"].discard(name)
            state["known"].pop(name, None)
        if not request.response_nonce or request.resource_names_subscribe:
            yield from self.changed(request.type_url, force=first)

    def changed(self, type_url, force=False):
        if type_url in self.server.muted:
            return
        response = self.response(type_url)
        if response.resources or response.removed_resources or response.resource_errors or (force and type_url in (CDS, LDS)):
            yield response
            if self.server.twice:
                yield self._again(response)

    def _again(self, response):
        copy = discovery_pb2.DeltaDiscoveryResponse()
        copy.CopyFrom(response)
        copy.nonce = self.server.next_nonce()
        return copy

    def response(self, type_url, nonce=None):
        state = self.types[type_url]
        version, resources = self.server.snapshot(type_url)
        response = discovery_pb2.DeltaDiscoveryResponse(system_version_info=version, type_url=type_url)
        for name, (own_version, packed) in resources.items():
            if (state["wild"] or name in state["names"]) and state["known"].get(name) != own_version:
                response.resources.append(self.server.wrapped(name, own_version, packed))
                state["known"][name] = own_version
        unknown = {n for t, n in self.server.unknown if t == type_url and n in state["names"] - state["told"]}
        state["told"] |= unknown
        gone = [name for name in state["known"] if name not in resources]
        for name in gone:
            del state["known"][name]
        response.removed_resources.extend([*gone, *sorted(unknown)])
        self.server.add_errors(response, state["names"] - state["told"])
        state["told"] |= {error.resource_name.name for error in response.resource_errors}
        response.nonce = nonce or self.server.next_nonce()
        return response

    def heartbeat(self, type_url):
        known = self.types[type_url]["known"]
        response = discovery_pb2.DeltaDiscoveryResponse(type_url=type_url, nonce=self.server.next_nonce())
        for name in self.server.ttl:
            response.resources.append(self.server.wrapped(name, known[name]))
        yield response
