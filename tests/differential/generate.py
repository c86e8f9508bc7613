"""Worlds and requests made up from a seed: the same seed, the same pairs, for ever.

A world is a table of routes that mixes matchers, rewrites, redirects and header changes as no
person would; its requests aim at what it matches and just beside it. Everything drawn is
something that is honoured: what is refused by name has nothing to compare.
"""

import random

from differential.cases import Case
from differential.behind import DOWNSTREAM, spoken
from harness.config import bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host

SEGMENTS = ["a", "b", "A", "api", "v1", "img.png", "x-y", "1", "42", "a%2Fb", "%41", "%20", "~", "a;b", "a:b", "a,b"]
HOSTS = ["one.test", "two.test", "deep.one.test", "deeper.deep.one.test", "one.org", "ONE.test", "127.0.0.1"]
DOMAINS = ["one.test", "two.test", "*.one.test", "*.deep.one.test", "one.*", "*.test", "127.0.0.1", "one.test:81", "*"]
NAMES = ["x-a", "x-b", "x-c", "user-agent", "cookie"]
VALUES = ["one", "One", "two", "one-two", "", "15", "0", "-3", "a b", "é".encode().decode("latin-1")]
METHODS = ["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
EXPRESSIONS = ["/[a-z]+", "/v[0-9]+/.*", "/(a|b)/?.*", "/.*\\.png", "/[^/]+/[^/]+", "/api(/.*)?", "/x?y?a.*"]
VALUE_EXPRESSIONS = ["on[ef]", "[0-9]+", ".*two", "(one|two)?", "[A-Z].*"]
APPEND = ["APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"]

FORMATS = ["%PROTOCOL%", "%REQ(X-B)%", "<%REQ(:METHOD)%>"]
# In the answer to a redirect Envoy shows the path that it leads to; a chosen case says so.
REQUEST_FORMATS = [*FORMATS, "%REQ(X-NONE?:PATH)%"]

# Settings of a connection manager, with the values that they may have.
MANAGER = [
    ("use_remote_address", True, True),
    ("xff_num_trusted_hops", 1, 2),
    ("skip_xff_append", True),
    ("server_name", "drawn"),
    ("server_header_transformation", "APPEND_IF_ABSENT", "PASS_THROUGH"),
    ("generate_request_id", False),
    ("preserve_external_request_id", True),
    ("always_set_request_id_in_response", True),
    ("via", "drawn-via"),
    ("normalize_path", True),
    ("merge_slashes", True),
    ("path_with_escaped_slashes_action", "KEEP_UNCHANGED", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD"),
    ("strip_any_host_port", True),
    ("strip_trailing_host_dot", True),
    ("append_x_forwarded_port", True),
    ("internal_address_config", {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}),
]

# What clients and other proxies say about a request.
ABOUT = [
    ("x-forwarded-for", "10.1.2.3", "8.8.8.8", "8.8.8.8, 10.1.2.3", "10.1.2.3,9.9.9.9,10.0.0.1", "nobody"),
    ("x-forwarded-proto", "https", "http"),
    ("x-forwarded-host", "elsewhere.test"),
    ("x-request-id", "drawn", "7f8d1c2e-0000-4000-8000-000000000000"),
    ("x-to", "up", "up2", "nowhere"),
    ("x-envoy-internal", "true"),
    ("x-envoy-original-path", "/forged"),
    ("te", "trailers"),
    ("via", "1.1 before"),
]


class World:
    """One drawn configuration and the requests for it."""

    def __init__(self, seed, number, requests):
        self.name = f"{seed}-{number}"
        self._draw = random.Random(f"{seed}/{number}")
        self._paths, self._headers, self._queries = [], [], []
        self._table = self._routes()
        self.cases = self._cases(requests)

    def bootstrap(self, ports):
        clusters = [
            cluster("up", ports["up"]),
            cluster("up2", ports["up"], http2=True),
            cluster("up3", ports["up"], **spoken(**DOWNSTREAM)),
        ]
        return bootstrap([listener("main", hcm(self._table, **self._manager))], clusters)

    # Configuration.

    def _one_of(self, *values):
        return self._draw.choice(values)

    def _sometimes(self, chance=0.3):
        return self._draw.random() < chance

    def _routes(self):
        draw = self._draw
        domains = draw.sample(DOMAINS, k=draw.randint(1, 4))
        hosts = [self._host(n, [domain]) for n, domain in enumerate(domains)]
        self._manager = self._settings()
        more = self._mutations("table") if self._sometimes() else {}
        if self._sometimes(0.2):
            more["most_specific_header_mutations_wins"] = True
        if self._sometimes(0.2):
            more["ignore_port_in_host_matching"] = True
        return routes("main", *hosts, **more)

    def _settings(self):
        """Of the connection manager: each of them now and then."""
        made = {}
        for name, *values in MANAGER:
            if self._sometimes(0.15):
                made[name] = self._one_of(*values)
        return made

    def _host(self, number, domains):
        entries = [self._route(f"{number}-{n}") for n in range(self._draw.randint(2, 7))]
        if self._sometimes(0.7):
            entries.append(direct("/", 200, f"rest of {number}"))
        more = self._mutations(f"host{number}") if self._sometimes() else {}
        if self._sometimes(0.15):
            more["include_request_attempt_count"] = True
        if self._sometimes(0.05):
            more["require_tls"] = self._one_of("ALL", "EXTERNAL_ONLY")
        return virtual_host(f"host{number}", domains, *entries, **more)

    def _route(self, name):
        more = self._mutations(name) if self._sometimes() else {}
        match, by_prefix = self._match()
        kind = self._draw.random()
        if kind < 0.45:
            return direct(match, self._one_of(200, 200, 200, 202, 404, 503), f"route {name}", **more)
        if kind < 0.6:
            return route(match, redirect=self._redirect(by_prefix), **more)
        return route(match, self._forward(by_prefix), **more)

    def _match(self):
        kind = self._one_of("prefix", "prefix", "path", "path", "path_separated_prefix", "safe_regex")
        path = self._path()
        if kind == "safe_regex":
            expression = self._draw.choice(EXPRESSIONS)
            match = {"safe_regex": {"regex": expression}}
        else:
            path = path.rstrip("/") if kind == "path_separated_prefix" else path
            match = {kind: path or "/a"}
            self._paths.append(path)
        if kind != "safe_regex" and self._sometimes(0.2):
            match["case_sensitive"] = False
        if self._sometimes(0.35):
            match["headers"] = [self._header_match() for _ in range(self._one_of(1, 1, 2))]
        if self._sometimes(0.2):
            match["query_parameters"] = [self._query_match()]
        return match, kind in ("prefix", "path", "path_separated_prefix")

    def _header_match(self):
        name = self._one_of(*NAMES, ":method", ":authority", ":path")
        made = {"name": name, **self._value_match()}
        self._headers.append(made)
        if self._sometimes(0.2):
            made["invert_match"] = True
        if self._sometimes(0.15) and "string_match" in made:
            made["treat_missing_header_as_empty"] = True
        return made

    def _value_match(self):
        kind = self._one_of("exact", "prefix", "suffix", "contains", "regex", "present", "range")
        value = self._one_of("one", "One", "two", "on", "15", "GET", "/a")
        if kind == "present":
            return {"present_match": self._one_of(True, False)}
        if kind == "range":
            return {"range_match": {"start": self._one_of(-5, 0, 10), "end": self._one_of(11, 16, 50)}}
        if kind == "regex":
            return {"string_match": {"safe_regex": {"regex": self._draw.choice(VALUE_EXPRESSIONS)}}}
        case = {"ignore_case": True} if self._sometimes(0.2) else {}
        return {"string_match": {kind: value, **case}}

    def _query_match(self):
        made = self._value_match()
        made = {"present_match": True} if "range_match" in made else made
        return {"name": self._one_of("q", "k"), **made}

    def _forward(self, by_prefix):
        made = self._to()
        if by_prefix and self._sometimes(0.4):
            made["prefix_rewrite"] = self._one_of("/", "/new", "/new/", "/a/b/c", "")
        elif self._sometimes(0.15):
            expression = self._one_of("^/([^/]*)(.*)$", "[0-9]+", "a")
            swap = "/\\2/\\1" if "(" in expression else self._one_of("z", "")
            made["regex_rewrite"] = {"pattern": {"regex": expression}, "substitution": swap}
        if self._sometimes(0.2):
            made["host_rewrite_literal"] = "drawn.test"
        elif self._sometimes(0.1):
            made["host_rewrite_header"] = "x-host"
        return made

    def _to(self):
        """Where to: a cluster by name, by a header, or one of several by a number that the request says."""
        way, names = self._draw.random(), ("up", "up", "up2", "up3")
        if way < 0.8:
            return {"cluster": self._one_of(*names), **({"append_x_forwarded_host": True} if way < 0.1 else {})}
        if way < 0.9:
            return {"cluster_header": "x-to", "cluster_not_found_response_code": self._one_of("NOT_FOUND", "INTERNAL_SERVER_ERROR")}
        parts = [{"name": self._one_of(*names), "weight": self._one_of(1, 2, 5), **self._mutations(f"part{n}")} for n in range(2)]
        return {"weighted_clusters": {"clusters": parts, "header_name": "x-number"}}

    def _redirect(self, by_prefix):
        made = {}
        if self._sometimes(0.4):
            made["host_redirect"] = "elsewhere.test"
        if self._sometimes(0.3):
            made["port_redirect"] = self._one_of(80, 443, 8080)
        way = self._draw.random()
        if way < 0.2:
            made["https_redirect"] = True
        elif way < 0.35:
            made["scheme_redirect"] = self._one_of("https", "http")
        way = self._draw.random()
        if way < 0.3:
            made["path_redirect"] = self._one_of("/there", "/there?own=1")
        elif way < 0.55 and by_prefix:
            made["prefix_rewrite"] = self._one_of("/", "/there", "/there/")
        if self._sometimes():
            made["strip_query"] = True
        if self._sometimes():
            made["response_code"] = self._one_of("FOUND", "SEE_OTHER", "TEMPORARY_REDIRECT", "PERMANENT_REDIRECT")
        return made

    def _mutations(self, where):
        made = {}
        for side in ("request", "response"):
            if self._sometimes(0.7):
                made[f"{side}_headers_to_add"] = self._options(where, REQUEST_FORMATS if side == "request" else FORMATS)
            if self._sometimes():
                made[f"{side}_headers_to_remove"] = self._draw.sample(["x-a", "x-b", "x-c", "x-up"], k=self._one_of(1, 2))
        return made

    def _options(self, where, formats):
        """Names may repeat, so that what comes first within a level matters."""
        names = self._draw.choices([*NAMES[:3], "x-added"], k=self._draw.randint(1, 3))
        return [self._option(where, name, formats) for name in names]

    def _option(self, where, name, formats):
        value = self._one_of(where, where, "100%%", "", *formats)
        made = {"header": {"key": name, "value": value}}
        if self._sometimes(0.7):
            made["append_action"] = self._draw.choice(APPEND)
        if value == "" and self._sometimes(0.5):
            made["keep_empty_value"] = True
        return made

    # Requests.

    def _path(self):
        depth = self._one_of(1, 1, 2, 2, 3)
        return "/" + "/".join(self._draw.choice(SEGMENTS) for _ in range(depth)) + self._one_of("", "", "/")

    def _target(self):
        draw = self._draw
        path = draw.choice(self._paths) if self._paths and self._sometimes(0.75) else self._path()
        change = draw.random()
        if change < 0.15:
            path += self._one_of("/", "x", "/more", "/more/still")
        elif change < 0.2:
            path = path.swapcase()
        elif change < 0.25:
            path = path.replace("/", "//", 1)
        elif change < 0.3:
            path = path + self._one_of("/./a", "/../a", "/%2e%2e/a")
        elif change < 0.33:
            path = path[:-1] or "/"
        query = self._one_of("", "", "", "?", "?q=one", "?k=two&q=One", "?q", "?q=&k=15", "?Q=one")
        return (path or "/") + query

    def _cases(self, count):
        made = []
        for number in range(count):
            protocol = self._one_of("h1", "h1", "h2")
            method = self._draw.choice(METHODS)
            headers = []
            for name in self._draw.sample(NAMES, k=self._one_of(0, 1, 1, 2, 3)):
                values = VALUES if protocol == "h1" else VALUES[:-1]
                # An empty cookie is left out by Envoy on its way from h2 to HTTP/1.1.
                value = self._draw.choice([v for v in values if v or name != "cookie"])
                headers.append((name, value))
            if self._sometimes(0.3):
                headers.append(("x-host", self._one_of("drawn.test", "drawn.test:81", "Drawn.Test")))
            if self._sometimes(0.1):
                headers.append(("x-respond", '{"headers": [["x-up", "1"], ["x-a", "up"], ["x-b", "up"]], "body": "answer"}'))
            for name, *values in ABOUT:
                if self._sometimes(0.1):
                    headers.append((name, self._one_of(*values)))
            if method == "POST" and self._sometimes(0.2):
                headers.append(("content-type", "application/grpc"))
            # The number decides where several clusters are meant.
            headers.append(("x-number", str(self._draw.randint(0, 9))))
            body = self._one_of("a body", "", "b" * 70_000) if method in ("POST", "PUT", "PATCH") and self._sometimes(0.7) else None
            trailers = (("x-end", "1"),) if body and protocol == "h2" and self._sometimes(0.2) else ()
            host = self._draw.choice(HOSTS) + self._one_of("", "", "", ":80", ":81", ":8080")
            made.append(
                Case(
                    self.name,
                    f"{method} {number}",
                    protocol,
                    method=method,
                    target=self._target(),
                    headers=tuple(headers),
                    body=body,
                    host=host,
                    chunked=body is not None and protocol == "h1" and self._sometimes(0.3),
                    trailers=trailers,
                )
            )
        return made


def shrunk(case, still_differs):
    """The case with everything left out that the difference does not need."""
    from dataclasses import replace

    changed = True
    while changed:
        changed = False
        attempts = [replace(case, headers=case.headers[:n] + case.headers[n + 1 :]) for n in range(len(case.headers))]
        if case.body is not None:
            attempts.append(replace(case, body=None, chunked=False))
        if case.method != "GET":
            attempts.append(replace(case, method="GET", body=None, chunked=False))
        if "?" in case.target:
            attempts.append(replace(case, target=case.target.partition("?")[0]))
        for attempt in attempts:
            if still_differs(attempt):
                case, changed = attempt, True
                break
    return case
