"""One request, and the small ways to say several at once."""

import json
from dataclasses import dataclass, field

from harness import http1


@dataclass(frozen=True)
class Case:
    """One request to a world."""

    world: str
    name: str
    protocol: str = "h1"
    method: str = "GET"
    target: str = "/"
    headers: tuple = ()
    body: str | None = None
    host: str | None = "weft.test"
    chunked: bool = False
    version: str = "1.1"
    trailers: tuple = ()
    raw: bytes | None = field(default=None, repr=False)
    # What goes through a tunnel once it is open.
    says: bytes | None = None
    # What else is compared: `settings` of h2, whether the upstream's connection is `fresh`, whether the
    # client's own `ends` by itself.
    looks: tuple = ()

    @property
    def id(self):
        return f"{self.world}/{self.protocol}/{self.name}"

    def bytes(self):
        """What an HTTP/1.1 client sends."""
        if self.raw is not None:
            return self.raw
        arguments = (self.method, self.target, self.headers, self.body, self.chunked, self.version, self.host)
        return http1.encode(*arguments)


def both(world, name, **more):
    """The same request over HTTP/1.1 and h2."""
    yield Case(world, name, "h1", **more)
    headers = tuple((key.lower(), value) for key, value in more.pop("headers", ()))
    yield Case(world, name, "h2", headers=headers, **more)


def plan(**answer):
    """Tells the upstream what to answer."""
    return (("x-respond", json.dumps(answer)),)
