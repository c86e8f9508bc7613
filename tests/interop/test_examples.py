"""Every example mesh is taken, live, by proxies in both protocols and by gRPC clients."""

import re
import socket

import pytest

from harness.config import ads_bootstrap
from harness.control import ControlPlane, XdsClient
from harness.proxy import ROOT, Proxy
from harness.validation import Bootstrap, refusal
from harness.waiting import until

EXAMPLES = sorted((ROOT / "config/examples").glob("*.yaml"))
ADDRESS = "127.0.0.2"


@pytest.fixture
def free_ports():
    """Ports that nobody else gets: the kernel's choice on 127.0.0.1 keeps them on 127.0.0.2."""
    held = []

    def take():
        held.append(socket.create_server(("127.0.0.1", 0)))
        return str(held[-1].getsockname()[1])

    yield take
    for one in held:
        one.close()


def read(example, free_ports):
    """The text of an example; what proxies listen on is moved to addresses that are free."""
    text = example.read_text()
    text = re.sub(r'listen: "127\.0\.0\.1:\d+"', lambda _: f'listen: "{ADDRESS}:{free_ports()}"', text)
    text = text.replace("type: IPAddress, value: 127.0.0.1", f"type: IPAddress, value: {ADDRESS}")
    moved = {}

    def move(port):
        if port[0] not in moved:
            moved[port[0]] = free_ports()
        return moved[port[0]]

    return re.sub(r"(?<=port: )18\d\d\d", move, text)


def nodes(text):
    """What proxies of this mesh say of themselves: one that only calls, and each Gateway."""
    yield {"outbound": "127.0.0.1:0"}
    if "namespace: billing" in text:
        yield {"outbound": "127.0.0.1:0", "namespace": "billing"}
    for document in text.split("\n---\n"):
        name = re.search(r"^kind: Gateway$.*?name: ([\w-]+)", document, re.DOTALL | re.MULTILINE)
        if name:
            yield {"gateway": name[1]}


@pytest.mark.parametrize("mode", ["sotw", "delta"])
@pytest.mark.parametrize("kind", ["envoy", "envoy-older", "weft"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_proxies_take_it(example, kind, mode, free_ports, tmp_path, processes):
    text = read(example, free_ports)
    with ControlPlane(tmp_path) as control:
        answer = control.rest.put(text)
        assert answer.status in (200, 201), answer.text
        for index, node in enumerate(nodes(text)):
            config = ads_bootstrap(control.xds_port, mode, f"node-{index}", metadata={"weft": node})
            with Proxy(kind, config, tmp_path, name=f"node-{index}"):
                known = until(lambda name=f"node-{index}": settled(control, name), "everything to be acknowledged")
                assert not refusals(known), refusals(known)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_validators_take_it(example, free_ports, tmp_path, processes):
    text = read(example, free_ports)
    bootstrap = Bootstrap()
    with ControlPlane(tmp_path) as control:
        answer = control.rest.put(text)
        assert answer.status in (200, 201), answer.text
        for index, node in enumerate(nodes(text)):
            config = ads_bootstrap(control.xds_port, "delta", f"node-{index}", metadata={"weft": node})
            with Proxy("weft", config, tmp_path, name=f"node-{index}") as proxy:
                until(lambda name=f"node-{index}": settled(control, name), "everything to be acknowledged")
                bootstrap.add(index, held(proxy))
    for program in ("envoy", "envoy-older", "weft-proxy"):
        said = refusal(program, bootstrap, tmp_path)
        assert not said, f"{program}: {said}"


def held(proxy):
    """What a proxy was sent, by type and name."""
    view = {"listeners": {}, "clusters": {}, "routes": {}, "endpoints": {}}
    for dump in proxy.admin.json("/config_dump?include_eds")["configs"]:
        for entry in dump.get("dynamic_listeners", []):
            view["listeners"][entry["name"]] = entry["active_state"]["listener"]
        for entry in dump.get("dynamic_active_clusters", []):
            view["clusters"][entry["cluster"]["name"]] = entry["cluster"]
        for entry in dump.get("dynamic_route_configs", []):
            view["routes"][entry["route_config"]["name"]] = entry["route_config"]
        for entry in dump.get("dynamic_endpoint_configs", []):
            view["endpoints"][entry["endpoint_config"]["cluster_name"]] = entry["endpoint_config"]
    assert view["listeners"] and view["clusters"], view
    return view


def test_grpc_clients_take_them(free_ports, tmp_path, processes):
    for name, target in [("shop", "catalog"), ("traffic", "catalog"), ("ingress", "catalog"), ("local", "ledger.accounting:50051")]:
        with ControlPlane(tmp_path, name=f"control-{name}") as control:
            answer = control.rest.put(read(ROOT / f"config/examples/{name}.yaml", free_ports))
            assert answer.status in (200, 201), answer.text
            with XdsClient(tmp_path, control, f"xds:///{target}", name=f"client-{name}") as client:
                # Nothing runs behind it: the call gets as far as looking for an endpoint.
                assert client.call()["code"] in ("UNAVAILABLE", "UNIMPLEMENTED"), name
                known = until(lambda of=control, one=f"client-{name}": settled(of, one), "everything to be acknowledged")
                assert not refusals(known), refusals(known)


def settled(control, node):
    """What the control plane knows of a node; None until it has acknowledged or refused everything."""
    of_node = [proxy for proxy in control.proxies() if proxy["node"] == node]
    return next((proxy for proxy in of_node if proxy["converged"] or refusals(proxy)), None)


def refusals(proxy):
    return [one["refused"] for one in proxy["types"] if one.get("refused")]
