"""A world in Envoy and in the proxy under test, with upstreams that say who they are."""

from contextlib import ExitStack, contextmanager

from harness.proxy import Proxy
from harness.upstream import Http


@contextmanager
def named_upstreams(count):
    with ExitStack() as stack:
        yield [stack.enter_context(Http(f"up-{number}", body=f"up-{number}")) for number in range(count)]


@contextmanager
def both(proxy_kind, world, directory):
    """The port of Envoy and that of the proxy under test."""
    with ExitStack() as stack:
        kinds = {"reference": "envoy", "tested": proxy_kind}
        yield [stack.enter_context(Proxy(kind, world, directory, name=name)).port() for name, kind in kinds.items()]
