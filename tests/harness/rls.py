"""A rate limit service, as grpcio speaks it: it answers what the question itself asks for."""

import json
import threading
import time
from concurrent import futures

import grpc
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc
from google.protobuf import json_format

ANSWER = "answer"


class Service(rls_pb2_grpc.RateLimitServiceServicer):
    """A server on a port of the kernel's choice.

    The value of an entry `answer` is JSON: a RateLimitResponse, or `{"status": NAME}` for a call that fails,
    or `{"after": SECONDS}` for one that takes its time. Without it all is well.
    """

    def __init__(self):
        self.questions = []
        self.metadata = []
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=4), options=[("grpc.so_reuseport", 0)])
        rls_pb2_grpc.add_RateLimitServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._server.stop(grace=None)

    def ShouldRateLimit(self, request, context):
        asked = shown(request)
        with self._lock:
            self.questions.append(asked)
            self.metadata.append(dict(context.invocation_metadata()))
        plan = next((json.loads(entry.value) for one in request.descriptors for entry in one.entries if entry.key == ANSWER), {})
        if status := plan.pop("status", None):
            context.abort(getattr(grpc.StatusCode, status), "as asked")
        time.sleep(plan.pop("after", 0))
        answer = json_format.ParseDict({"overall_code": "OK", **plan}, rls_pb2.RateLimitResponse())
        answer.request_headers_to_add.add(key="x-asked", value=asked)
        answer.response_headers_to_add.add(key="x-asked", value=asked)
        return answer


def shown(request):
    """A question in a line, without what it asks for as its answer."""
    return f"{request.domain}({request.hits_addend}): " + " & ".join(_shown(one) for one in request.descriptors)


def _shown(descriptor):
    entries = [f"{entry.key}={entry.value}" for entry in descriptor.entries if entry.key != ANSWER]
    more = []
    if descriptor.HasField("limit"):
        more.append(f"limit {descriptor.limit.requests_per_unit}/{descriptor.limit.unit}")
    if descriptor.HasField("hits_addend"):
        more.append(f"hits {'-' if descriptor.is_negative_hits else ''}{descriptor.hits_addend.value}")
    return " ".join([",".join(entries), *more])
