"""The service of gRPC's interoperability tests, its messages JSON instead of generated code.

A request says what it wants: a payload of `size` bytes back, a `status` as
(number of the code, words), to `sleep` until the test is over. Answers tell the length of what they `got`.
"""

import json
import threading
from concurrent import futures

import grpc

PREFIX = "/weft.test.Interop/"
INITIAL = "x-echo-initial"
TRAILING = "x-echo-trailing-bin"


def pack(**message):
    return json.dumps(message).encode()


def unpack(data):
    return json.loads(data)


def payload(size):
    return "\0" * size


class Service(grpc.GenericRpcHandler):
    """Answers; `cancelled` keeps the `x-call` of calls that were broken off before they were answered."""

    def __init__(self):
        self.cancelled = set()
        self.release = threading.Event()

    def service(self, details):
        method = details.method.removeprefix(PREFIX)
        made = {
            "Empty": grpc.unary_unary_rpc_method_handler(lambda request, context: b""),
            "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "Sum": grpc.stream_unary_rpc_method_handler(self._sum),
            "Sizes": grpc.unary_stream_rpc_method_handler(self._sizes),
            "Duplex": grpc.stream_stream_rpc_method_handler(self._duplex),
        }
        return made.get(method) if details.method.startswith(PREFIX) else None

    def _begin(self, context):
        known = {key: value for key, value in context.invocation_metadata()}
        if INITIAL in known:
            context.send_initial_metadata(((INITIAL, known[INITIAL]),))
        if TRAILING in known:
            context.set_trailing_metadata(((TRAILING, known[TRAILING]),))
        seen = {"code": None}
        context.add_callback(lambda: None if seen["code"] else self.cancelled.add(known.get("x-call")))
        return seen

    def _answer(self, message, context):
        if "status" in message:
            number, words = message["status"]
            code = next(code for code in grpc.StatusCode if code.value[0] == number)
            context.abort(code, words)
        return pack(payload=payload(message.get("size", 0)), got=len(message.get("payload", "")))

    def _unary(self, data, context):
        seen = self._begin(context)
        if (message := unpack(data)).get("sleep"):
            self.release.wait(30)
        seen["code"] = "done"
        return self._answer(message, context)

    def _sum(self, requests, context):
        seen = self._begin(context)
        total = sum(len(unpack(data)["payload"]) for data in requests)
        seen["code"] = "done" if context.is_active() else None
        return pack(total=total)

    def _sizes(self, data, context):
        seen = self._begin(context)
        for size in unpack(data)["sizes"]:
            yield pack(payload=payload(size))
        seen["code"] = "done"

    def _duplex(self, requests, context):
        # grpcio ends the requests of a broken-off call before its context knows, as if all had come: here
        # a call that ends is taken for broken off. Callers that end one properly give it no `x-call`.
        self._begin(context)
        for data in requests:
            yield self._answer(unpack(data), context)


class Server:
    """A grpcio server of the service, on a port of the kernel's choice."""

    def __init__(self, compression=None):
        self.service = Service()
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]
        pool = futures.ThreadPoolExecutor(max_workers=16)
        self._server = grpc.server(pool, options=options, compression=compression)
        self._server.add_generic_rpc_handlers((self.service,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        self.service.release.set()
        self._server.stop(grace=None).wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Client:
    """Calls of the service over one channel."""

    def __init__(self, port, authority=None, compression=None):
        options = [("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0)]
        if authority:
            options.append(("grpc.default_authority", authority))
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options, compression)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def call(self, method, shape, argument, timeout=20, **more):
        """Starts a call of a shape, `unary_stream` and the like."""
        made = getattr(self.channel, shape)(method if method.startswith("/") else PREFIX + method)
        return made(argument, timeout=timeout, **more)

    def unary(self, message, **more):
        """A unary call's answer and the call, for its metadata."""
        made = self.channel.unary_unary(PREFIX + "Unary")
        answer, call = made.with_call(pack(**message), timeout=20, **more)
        return unpack(answer), call
