"""Documents of the mesh model as plain values."""

import json


def service(name, *addresses, port=80, protocol="http", registered=True, namespace=None, **port_more):
    """A Service; `addresses` are static endpoints, a string or (string, labels)."""
    sources = [{"registered": {}}] if registered else []
    static = [_static(address) for address in addresses]
    if static:
        sources.append({"static": static})
    return {
        "apiVersion": "weft.dev/v1",
        "kind": "Service",
        "metadata": _metadata(name, namespace),
        "spec": {
            "ports": [{"port": port, "name": protocol, "protocol": protocol, **port_more}],
            "endpoints": sources,
        },
    }


def _static(address):
    if isinstance(address, str):
        return {"address": address}
    return {"address": address[0], "labels": address[1]}


def _metadata(name, namespace=None):
    return {"name": name, **({"namespace": namespace} if namespace else {})}


def subset(name, of, **labels):
    return {
        "apiVersion": "weft.dev/v1",
        "kind": "Subset",
        "metadata": _metadata(name),
        "spec": {"service": of, "labels": labels},
    }


def http_route(name, parent, *rules):
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": _metadata(name),
        "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": parent}], "rules": list(rules)},
    }


def grpc_route(name, parent, *rules):
    return {**http_route(name, parent, *rules), "kind": "GRPCRoute"}


def method(service=None, name=None):
    """A match of a GRPCRoute."""
    return {"method": {k: v for k, v in (("service", service), ("method", name)) if v}}


def stream_route(kind, name, parent, *backends, hostnames=()):
    """A TCPRoute or TLSRoute; a backend is (Service, weight)."""
    version = {"TCPRoute": "v1alpha2", "TLSRoute": "v1"}[kind]
    references = [{"name": backend, "weight": weight} for backend, weight in backends]
    route = http_route(name, parent, {"backendRefs": references})
    route |= {"apiVersion": f"gateway.networking.k8s.io/{version}", "kind": kind}
    if hostnames:
        route["spec"]["hostnames"] = list(hostnames)
    return route


def traffic_policy(name, target, kind="Service", **settings):
    spec = {"targetRef": {"kind": kind, "name": target}, **settings}
    return {"apiVersion": "weft.dev/v1", "kind": "TrafficPolicy", "metadata": _metadata(name), "spec": spec}


def rate_limit_policy(name, target, *limits, **more):
    spec = {"targetRef": target, **({"limits": list(limits)} if limits else {}), **more}
    return {"apiVersion": "weft.dev/v1", "kind": "RateLimitPolicy", "metadata": _metadata(name), "spec": spec}


def mesh_config(**spec):
    return {"apiVersion": "weft.dev/v1", "kind": "MeshConfig", "metadata": _metadata("default"), "spec": spec}


def rule(*backends, matches=None, filters=None):
    """A rule; a backend is (subset, weight) or the name of a Service."""
    made = {"backendRefs": [_backend(backend) for backend in backends]} if backends else {}
    if matches:
        made["matches"] = matches
    if filters:
        made["filters"] = filters
    return made


def _backend(backend):
    if isinstance(backend, tuple):
        return {"group": "weft.dev", "kind": "Subset", "name": backend[0], "weight": backend[1]}
    return {"group": "", "kind": "Service", "name": backend, "port": 80}


def prefix(value):
    return {"path": {"type": "PathPrefix", "value": value}}


def exact(value):
    return {"path": {"type": "Exact", "value": value}}


def with_header(name, value):
    return {"headers": [{"name": name, "value": value}]}


def documents(values):
    """The values as one YAML stream (every JSON document is one of YAML)."""
    return "\n---\n".join(json.dumps(value, indent=1) for value in values)
