"""Worlds and cases of routes that are chosen by a scope."""

from differential.case import Case, both
from harness.config import ADS, bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host


def extractor(name, separator="", **element):
    kind = {"element_separator": separator} if separator else {}
    return {"header_value_extractor": {"name": name, **kind, **element}}


def by_key(key, separator="="):
    return {"element": {"separator": separator, "key": key}}


def scope(name, *key, **more):
    return {"name": name, "key": {"fragments": [{"string_key": part} for part in key]}, **more}


def own(name, **more):
    """A scope's own routes, which say their name."""
    host = virtual_host("main", ["*"], direct("/direct", 200, name), route("/", "up"))
    headers = {"response_headers_to_add": [{"header": {"key": "x-scope", "value": name}}]}
    return {"route_configuration": routes(name, host, **headers, **more)}


def scoped(fragments, scopes, **more):
    """A manager whose routes are in these scopes."""
    made = hcm(
        scoped_routes={
            "name": "scopes",
            "scope_key_builder": {"fragments": fragments},
            "scoped_route_configurations_list": {"scoped_route_configurations": scopes},
            **more,
        }
    )
    del made["typed_config"]["route_config"]
    return made


def of_one(*extractors):
    """Scopes of one part."""

    def world(ports):
        scopes = [scope(f"s-{key or 'empty'}", key, **own(key or "empty")) for key in ("a", "b", "a,b", "", "k=1", "1=2", "weft.test", "/direct", "GET", "10.1.2.3")]
        made = scoped(list(extractors), scopes)
        return bootstrap([listener("main", made)], [cluster("up", ports["up"])])

    return world


def of_two(ports):
    """Scopes of two parts."""
    scopes = [
        scope("a-1", "a", "1", **own("a-1")),
        scope("a-2", "a", "2", **own("a-2", internal_only_headers=["x-inside"])),
        scope("b-1", "b", "1", **own("b-1", ignore_port_in_host_matching=True)),
        scope("long", "a", "1", "x", **own("long")),
        scope("short", "a", **own("short")),
    ]
    fragments = [extractor("x-tenant", ",", index=1), extractor("x-more", ";", **by_key("stage"))]
    made = scoped(fragments, scopes, rds_config_source=ADS)
    return bootstrap([listener("main", made)], [cluster("up", ports["up"])])


WORLDS = {
    "scoped-whole": of_one(extractor("x-tenant", index=0)),
    "scoped-first": of_one(extractor("X-Tenant", ",", index=0)),
    "scoped-third": of_one(extractor("x-tenant", ",", index=2)),
    "scoped-long-separator": of_one(extractor("x-tenant", "--", index=1)),
    "scoped-element": of_one(extractor("x-tenant", ";", **by_key("k"))),
    "scoped-element-whole": of_one(extractor("x-tenant", **by_key("k", "=="))),
    "scoped-authority": of_one(extractor(":authority", index=0)),
    "scoped-host": of_one(extractor("host", index=0)),
    "scoped-path": of_one(extractor(":path", index=0)),
    "scoped-method": of_one(extractor(":method", index=0)),
    "scoped-forwarded": of_one(extractor("x-forwarded-for", ",", index=0)),
    "scoped-two": of_two,
}

VALUES = [(), ("a",), ("b",), ("A",), ("",), ("a,b",), ("a,b,a",), ("b,,",), (",,",), ("a--b",), ("a--b--a",), ("a", "b"), (" a ",), ("k=1",), ("j=2;k=a",), ("k=1=2",), ("k=a;k=b",)]
VALUES += [("k",), ("kk=a",), ("k==a",), ("k== a",), ("k=;k=a",), ("unknown",), ("a\tb",)]


def cases():
    """Requests for both."""
    for world in (name for name in WORLDS if name != "scoped-two"):
        for values in VALUES:
            headers = tuple(("x-tenant", value) for value in values)
            yield Case(world, f"{'+'.join(values) or 'none'}{len(values)}", target="/direct", headers=headers)
        yield from both(world, "upstream", headers=(("x-tenant", "a"),))
    yield Case("scoped-forwarded", "forwarded", target="/direct", headers=(("x-forwarded-for", "10.1.2.3"),))
    for tenant in ("x,a", "x,b", "x,c", "x", None):
        for more in ("stage=1", "other;stage=2", "stage=3", "stage", None):
            headers = (("x-tenant", tenant),) if tenant else ()
            headers += (("x-more", more),) if more else ()
            for target in ("/direct", "/"):
                yield Case("scoped-two", f"{target} {tenant} {more}", target=target, headers=(*headers, ("x-inside", "1")))
            yield Case("scoped-two", f"{tenant} {more}", "h2", target="/direct", headers=headers)
