"""A steady, bounded load that remembers every request that did not go well."""

import threading
import time

from harness import http1, http2


class Load:
    """Some callers, each with one kept connection and a fixed pace.

    A connection that its peer announced to close is replaced, as any client does; one that breaks
    under a request is a failure. `body` makes it a POST.
    """

    BROKEN = (OSError,)

    def __init__(
        self, port, *, host="weft.test", path="/", callers=4, rate=40, protocol="h1", limit=60.0, good=None, body=None
    ):
        self.failures = []
        self.sent = 0
        self.upstreams = {}
        self._port = port if callable(port) else lambda: port
        self._good = good or (lambda response: response.status == 200)
        self._host, self._path, self._pause, self._body = host, path, 1 / rate, body
        self._protocol = protocol
        self._end = time.monotonic() + limit
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, count):
        """A condition: that many more requests have gone through than now."""
        goal = self.sent + count
        return lambda: self.sent >= goal

    def require_no_loss(self):
        assert not self.failures, f"{len(self.failures)} of {self.sent} failed: {self.failures[:5]}"
        assert self.sent > 0

    def _call(self):
        connection = None
        due = time.monotonic()
        while not self._stop.is_set() and due < self._end:
            connection = self._one(connection)
            due += self._pause
            self._stop.wait(max(0.0, due - time.monotonic()))
        if connection:
            connection.close()

    def _one(self, connection):
        began = time.monotonic()
        try:
            connection = connection or self._connect()
            response = self._send(connection)
            failure = None if self._good(response) else f"{response.status} {response.text[:200]}"
            closing = (response.header("connection") or "").lower() == "close"
            self._note(response)
        except self.BROKEN as error:
            failure, closing = repr(error), True
        with self._lock:
            self.sent += 1
            if failure:
                self.failures.append((round(began, 3), failure))
        if closing or getattr(connection, "going_away", False):
            if connection:
                connection.close()
            return None
        return connection

    def _connect(self):
        kind = http2.Connection if self._protocol == "h2" else http1.Connection
        return kind(self._port())

    def _send(self, connection):
        method = "GET" if self._body is None else "POST"
        if self._protocol == "h2":
            return connection.request(method, self._path, body=self._body, authority=self._host)
        return connection.request(method, self._path, body=self._body, host=self._host)

    def _note(self, response):
        upstream = response.header("x-upstream")
        with self._lock:
            self.upstreams[upstream] = self.upstreams.get(upstream, 0) + 1
