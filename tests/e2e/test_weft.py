"""The command line `weft` against a running control plane."""

import json

import pytest

from harness import mesh
from harness.control import ControlPlane, Sidecar
from harness.process import run
from harness.proxy import ROOT, binary
from harness.waiting import until

pytestmark = pytest.mark.weft_only


@pytest.fixture
def control(tmp_path, processes):
    with ControlPlane(tmp_path) as running:
        yield running


@pytest.fixture
def weft(control, tmp_path):
    def call(*arguments, stdin=None):
        env = {"WEFT_SERVER": f"http://{control.rest.host}:{control.rest.port}"}
        return run([binary("weft"), *arguments], tmp_path, env, stdin=stdin)

    return call


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "catalog.yaml"
    path.write_text(mesh.documents([mesh.service("catalog", "127.0.0.1:9")]))
    return path


def test_apply_get_delete(weft, file):
    applied = weft("apply", "-f", file)
    assert applied.returncode == 0, applied.stderr
    got = weft("get", "service")
    assert got.returncode == 0 and "catalog" in got.stdout
    as_json = weft("get", "service", "-o", "json")
    assert "catalog" in json.dumps(json.loads(as_json.stdout))
    gone = weft("delete", "service", "catalog")
    assert gone.returncode == 0, gone.stderr
    assert "catalog" not in weft("get", "service").stdout


def test_validate_needs_no_control_plane(tmp_path, file):
    assert run([binary("weft"), "validate", file], tmp_path).returncode == 0
    broken = tmp_path / "broken.yaml"
    broken.write_text(mesh.documents([mesh.http_route("r", "nobody", mesh.rule("nobody"))]))
    outcome = run([binary("weft"), "validate", broken], tmp_path)
    assert outcome.returncode == 1
    assert "broken.yaml:" in outcome.stderr + outcome.stdout


@pytest.mark.parametrize("example", sorted((ROOT / "config/examples").glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_valid(tmp_path, example):
    outcome = run([binary("weft"), "validate", example], tmp_path)
    assert outcome.returncode == 0, outcome.stderr + outcome.stdout


def test_status_says_who_is_connected(weft):
    outcome = weft("status")
    assert outcome.returncode == 0, outcome.stderr


def test_what_is_got_can_be_applied_again(weft, file):
    assert weft("apply", "-f", file).returncode == 0
    got = weft("get", "-o", "yaml")
    again = weft("apply", "-f", "-", "-o", "json", stdin=got.stdout)
    assert again.returncode == 0, again.stderr
    assert [one["change"] for one in json.loads(again.stdout)["resources"]] == ["unchanged"]
    changed = weft("apply", "-f", "-", "-o", "json", stdin=got.stdout.replace("port: 80", "port: 81"))
    assert json.loads(changed.stdout)["resources"][0]["change"] == "updated"


def test_the_status_of_a_route_is_shown_and_does_not_hinder(weft, tmp_path):
    path = tmp_path / "route.yaml"
    rule = mesh.rule("catalog")
    path.write_text(mesh.documents([mesh.service("catalog"), mesh.http_route("r", "catalog", rule)]))
    assert weft("apply", "-f", path).returncode == 0
    got = weft("get", "httproute", "r", "-o", "json")
    parent = json.loads(got.stdout)["status"]["parents"][0]
    assert {"Accepted": "True"}.items() <= {c["type"]: c["status"] for c in parent["conditions"]}.items()
    again = weft("apply", "-f", "-", "-o", "json", stdin=weft("get", "-o", "yaml").stdout)
    assert {one["change"] for one in json.loads(again.stdout)["resources"]} == {"unchanged"}, again.stderr


def test_a_folder_is_applied_with_all_below_it_and_deleted_again(weft, tmp_path):
    deeper = tmp_path / "shop" / "team"
    deeper.mkdir(parents=True)
    (tmp_path / "shop" / "a.yaml").write_text(mesh.documents([mesh.service("a")]))
    (deeper / "b.yaml").write_text(mesh.documents([mesh.subset("b-1", "a", version="1")]))
    assert weft("apply", "-f", tmp_path / "shop").returncode == 0
    assert {"a", "b-1"} == {one["metadata"]["name"] for one in json.loads(weft("get", "-o", "json").stdout)}
    dry = weft("delete", "-f", tmp_path / "shop", "--dry-run")
    assert dry.returncode == 0 and dry.stdout.count("deleted") == 2 and "nothing was applied" in dry.stdout
    assert weft("delete", "-f", tmp_path / "shop").returncode == 0
    assert json.loads(weft("get", "-o", "json").stdout) == []


def test_exit_codes_are_those_that_help_says(weft, file, tmp_path):
    assert weft("apply", "-f", file).returncode == 0
    assert weft("apply", "-f", file, "--if-revision", "0").returncode == 1
    assert weft("apply", "-f", file, "--if-revision", "1").returncode == 0
    assert weft("get", "service", "nobody").returncode == 4
    assert weft("get", "no-such-kind").returncode == 2
    assert weft("apply", "-f", tmp_path / "missing.yaml").returncode == 1
    assert weft("diff", "-f", file).returncode == 0
    other = tmp_path / "other.yaml"
    other.write_text(mesh.documents([mesh.service("other")]))
    assert weft("diff", "-f", other).returncode == 1
    away = run([binary("weft"), "status", "--server", "http://127.0.0.1:1"], tmp_path)
    assert away.returncode == 3 and "hint" in away.stderr


def test_effects_are_told_before_they_are(weft, file, control, tmp_path):
    Sidecar(tmp_path, control, arguments=["--instance", "caller"])
    until(lambda: control.proxies() and control.proxies()[0]["converged"], "the sidecar")
    dry = weft("apply", "-f", file, "--dry-run", "--effects")
    assert dry.returncode == 0, dry.stderr
    assert any(line.split()[:2] == ["caller", "CDS"] for line in dry.stdout.splitlines()), dry.stdout


def test_status_waits_until_everybody_has_acknowledged(weft, file, control, tmp_path):
    Sidecar(tmp_path, control, "catalog", 1, arguments=["--instance", "c-1"])
    assert weft("apply", "-f", file).returncode == 0
    settled = weft("status", "--wait", "--timeout", "20")
    assert settled.returncode == 0, settled.stderr
    row = next(line for line in settled.stdout.splitlines() if line.startswith("c-1 ") and "weft" in line)
    assert "default/catalog" in row and row.count("acknowledged") == 4, row
    report = json.loads(weft("status", "-o", "json").stdout)
    assert report["info"]["served"] == 1 and report["proxies"][0]["since"].startswith("2")


def shop(tmp_path):
    path = tmp_path / "shop.yaml"
    stock = {"path": {"type": "PathPrefix", "value": "/stock"}}
    canary = {**stock, "headers": [{"name": "canary", "value": "yes"}]}
    path.write_text(
        mesh.documents(
            [
                mesh.service("storefront"),
                mesh.service("inventory", ("127.0.0.1:1001", {"version": "v1"}), ("127.0.0.1:1002", {"version": "v2"})),
                mesh.subset("inventory-v2", "inventory", version="v2"),
                mesh.service("empty"),
            ]
        )
        + """
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: inventory}
spec:
  parentRefs: [{group: "", kind: Service, name: inventory}]
  rules:
  - matches: [%s]
    timeouts: {request: 700ms}
    backendRefs: [{group: weft.dev, kind: Subset, name: inventory-v2}]
  - matches: [%s]
    backendRefs: [{name: inventory, port: 80}]
"""
        % (json.dumps(canary), json.dumps(stock))
    )
    return path


def test_explain_says_which_rule_takes_a_request_and_why_not_the_others(tmp_path):
    path = shop(tmp_path)

    def explain(*arguments):
        command = [binary("weft"), "explain", "request", "--from", "storefront", "-f", path, *arguments]
        return run(command, tmp_path)

    plain = explain("GET", "http://inventory/stock/7")
    assert plain.returncode == 0, plain.stderr
    assert "spec.rules[1]" in plain.stdout and "127.0.0.1:1001" in plain.stdout
    assert "canary is yes; the request has none" in plain.stdout
    line = path.read_text().splitlines().index("  - matches: [%s]" % '{"path": {"type": "PathPrefix", "value": "/stock"}}') + 1
    assert f"shop.yaml:{line}:" in plain.stdout

    canary = json.loads(explain("GET", "http://inventory/stock/7", "-H", "canary: yes", "-o", "json").stdout)
    assert canary["route"]["document"] == "HTTPRoute/inventory spec.rules[0]"
    assert [one["address"] for one in canary["destinations"][0]["endpoints"]] == ["127.0.0.1:1002"]
    assert {"what": "the whole answer", "milliseconds": 700} in canary["timeouts"]
    assert "an earlier route takes" in canary["others"][0]["why"][0]

    for arguments, said in [
        (("GET", "http://inventory/other"), "no rule of this host matches"),
        (("GET", "http://nobody/"), "nothing is called"),
        (("GET", "http://empty/"), "nobody takes requests"),
    ]:
        outcome = explain(*arguments)
        assert said in outcome.stdout, outcome.stdout + outcome.stderr
    assert explain("GET", "http://nobody/").returncode == 1
    stranger = run([binary("weft"), "explain", "request", "--from", "x", "-f", path, "GET", "http://a/"], tmp_path)
    assert stranger.returncode == 4 and "storefront" in stranger.stderr


def test_explain_says_where_connections_go_and_why(tmp_path):
    path = tmp_path / "stores.yaml"
    documents = [
        mesh.service("storefront"),
        mesh.service("orders", "127.0.0.1:1001", protocol="tcp", port=5432, listen="127.0.0.1:15432"),
        mesh.service("archive", "127.0.0.1:1002", protocol="tcp", port=5432),
        mesh.service("vault", "127.0.0.1:1003", protocol="tls", port=443, listen="127.0.0.1:15443"),
        mesh.stream_route("TCPRoute", "moved", "orders", ("orders", 3), ("archive", 1)),
        mesh.stream_route("TLSRoute", "vault", "vault", ("vault", 1), hostnames=["vault.example.com"]),
        mesh.stream_route("TLSRoute", "rest", "vault", ("archive", 1), hostnames=["*.example.com"]),
    ]
    path.write_text(mesh.documents(documents))

    def explain(*arguments):
        command = [binary("weft"), "explain", "connection", "--from", "storefront", "-f", path, *arguments]
        return run(command, tmp_path)

    split = explain("orders:5432", "-o", "json")
    assert split.returncode == 0, split.stderr
    told = json.loads(split.stdout)
    assert told["listener"] == "orders.default:5432 (127.0.0.1:15432)"
    assert told["route"]["document"] == "TCPRoute/moved spec.rules[0]"
    assert told["route"]["place"].startswith(str(path))
    assert [(one["percent"], one["endpoints"][0]["address"]) for one in told["destinations"]] == [
        (75.0, "127.0.0.1:1001"),
        (25.0, "127.0.0.1:1002"),
    ]

    named = explain("--server-name", "Vault.example.com", "vault:443")
    assert named.returncode == 0 and "TLSRoute/vault" in named.stdout, named.stdout + named.stderr
    assert "it is for the server name *.example.com" in named.stdout
    for arguments, said in [
        (("vault:443",), "it names no server"),
        (("--server-name", "else.test", "vault:443"), "no route is for the server name"),
        (("archive:5432",), "give it a `listen` address"),
        (("orders:1",), "has no port 1 (there are: 5432)"),
        (("nobody:1",), "no Service is called"),
        (("storefront:80",), "weft explain request"),
    ]:
        outcome = explain(*arguments)
        assert outcome.returncode == 1 and said in outcome.stdout, outcome.stdout + outcome.stderr
    assert "has no port" in explain("orders").stderr


def test_explain_tells_what_really_happens(weft, control, tmp_path, http_upstream):
    """The sidecar and the explanation agree, of what is registered too."""
    from harness import http1

    app = http_upstream("app")
    control.put(mesh.service("catalog"), mesh.service("storefront"))
    backend = Sidecar(tmp_path, control, "catalog", app.port, arguments=["--instance", "c-1"])
    caller = Sidecar(tmp_path, control, "storefront", arguments=["--instance", "s-1"])
    until(lambda: http1.request(caller.outbound, host="catalog").status == 200, "the catalog")
    told = weft("explain", "request", "--from", "storefront", "GET", "http://catalog/", "-o", "json")
    assert told.returncode == 0, told.stderr
    endpoints = json.loads(told.stdout)["destinations"][0]["endpoints"]
    assert [one["address"] for one in endpoints] == [f"127.0.0.1:{backend.inbound}"]

    of_proxy = weft("explain", "proxy", "s-1", "catalog")
    assert of_proxy.returncode == 0, of_proxy.stderr
    assert any(line.startswith("CDS") and "in use" in line for line in of_proxy.stdout.splitlines())
    assert weft("explain", "proxy", "s-1", "no-such-thing").returncode == 4
    assert weft("explain", "proxy", "nobody").returncode == 4


@pytest.mark.parametrize("command", ["apply", "get", "delete", "validate", "diff", "status", "explain", "bootstrap"])
def test_every_command_has_help_with_examples(tmp_path, command):
    outcome = run([binary("weft"), command, "--help"], tmp_path)
    assert outcome.returncode == 0
    if command == "explain":
        assert "Example" in run([binary("weft"), command, "connection", "--help"], tmp_path).stdout
        outcome = run([binary("weft"), command, "request", "--help"], tmp_path)
    assert "Example" in outcome.stdout and f"weft {command}" in outcome.stdout
