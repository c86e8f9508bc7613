"""Requests that are under way while a test goes on."""

import threading

from harness import http1


class Asking(threading.Thread):
    """A request to a port."""

    def __init__(self, port, **more):
        super().__init__(daemon=True)
        self._port, self._more = port, more
        self.start()

    def run(self):
        self.got = http1.request(self._port, **self._more)

    def answer(self):
        self.join(30)
        return self.got
