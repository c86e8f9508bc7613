"""gRPC without generated code: a service that echoes bytes, and calls to it."""

from concurrent import futures

import grpc

from harness.load import Load


class Echo(grpc.GenericRpcHandler):
    """Answers each call with its bytes; the method's last part chooses how.

    `Unary` echoes, `Stream` echoes each message of a stream, `Refuse` ends with the status that the
    metadata `x-refuse` names.
    """

    def __init__(self, name):
        self._name = name

    def service(self, details):
        method = details.method.rsplit("/", 1)[-1]
        if method == "Unary":
            return grpc.unary_unary_rpc_method_handler(self._unary)
        if method == "Stream":
            return grpc.stream_stream_rpc_method_handler(self._stream)
        if method == "Refuse":
            return grpc.unary_unary_rpc_method_handler(self._refuse)
        return None

    def _unary(self, request, context):
        context.set_trailing_metadata((("x-upstream", self._name),))
        return request

    def _stream(self, requests, context):
        yield from requests
        context.set_trailing_metadata((("x-upstream", self._name),))

    def _refuse(self, _request, context):
        wanted = dict(context.invocation_metadata())["x-refuse"]
        context.abort(getattr(grpc.StatusCode, wanted), "as asked")


class Server:
    """A grpcio server on a port of the kernel's choice."""

    def __init__(self, name):
        self.name = name
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((Echo(name),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._server.stop(grace=None)


def unary(channel, body=b"hello", method="/weft.test.Echo/Unary", metadata=(), deadline=10):
    """The answer's bytes and the upstream that gave it."""
    call = channel.unary_unary(method)
    answer, outcome = call.with_call(body, timeout=deadline, metadata=metadata)
    return answer, dict(outcome.trailing_metadata()).get("x-upstream")


class Calls(Load):
    """Callers that make unary calls and streams of some messages in turn, each by a channel of its own."""

    BROKEN = (grpc.RpcError,)
    MESSAGES = [b"%d" % number for number in range(20)]

    def _connect(self):
        options = [("grpc.default_authority", self._host), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.insecure_channel(f"127.0.0.1:{self._port()}", options=options)

    def _send(self, channel):
        if self.sent % 2:
            answer, upstream = unary(channel, b"hello")
            return Answer(answer == b"hello", upstream)
        call = channel.stream_stream("/weft.test.Echo/Stream")(iter(self.MESSAGES), timeout=20)
        answers = list(call)
        return Answer(answers == self.MESSAGES, dict(call.trailing_metadata()).get("x-upstream"))


class Answer:
    """What came of a call, in the words of a response."""

    def __init__(self, whole, upstream):
        self.status = 200 if whole else 0
        self.text = "not what was sent"
        self._upstream = upstream

    def header(self, name):
        return self._upstream if name == "x-upstream" else None
