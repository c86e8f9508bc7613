"""The control plane's gRPC interface, as real grpcio sees it."""

import importlib
import json
import sys
import threading
from pathlib import Path

import grpc
import pytest
from google.rpc import status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc

from harness import mesh
from harness.control import ControlPlane, Sidecar
from harness.proxy import ROOT
from harness.waiting import until

pytestmark = pytest.mark.weft_only

PROTO = Path("weft/admin/v1/admin.proto")
CATALOG = mesh.documents([mesh.service("catalog", "127.0.0.1:9")])


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    """Our `.proto` compiled by Google's own compiler: the messages, and the stub."""
    out = tmp_path_factory.mktemp("admin")
    source = ROOT / "proto"
    arguments = [f"-I{source}", f"--python_out={out}", f"--grpc_python_out={out}", str(source / PROTO)]
    assert not protoc.main(["protoc", *arguments]), "admin.proto does not compile"
    sys.path.insert(0, str(out))
    # Another part of the package may have been imported from another folder.
    for name in [name for name in sys.modules if name == "weft" or name.startswith("weft.")]:
        if hasattr(sys.modules[name], "__path__"):
            del sys.modules[name]
    module = importlib.import_module("weft.admin.v1.admin_pb2")
    module.stub = importlib.import_module("weft.admin.v1.admin_pb2_grpc").MeshAdminStub
    return module


@pytest.fixture
def control(tmp_path, processes):
    with ControlPlane(tmp_path) as running:
        yield running


@pytest.fixture
def channel(control):
    with grpc.insecure_channel(f"127.0.0.1:{control.rest.port}") as channel:
        yield channel


@pytest.fixture
def admin(pb, channel):
    return pb.stub(channel)


def apply(pb, admin, text, **options):
    source = pb.Source(name="catalog.yaml", text=text)
    return admin.Apply(pb.ApplyRequest(sources=[source], options=pb.ChangeOptions(**options)))


def refusal(pb, error):
    """What the details of a status say."""
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    message = pb.Refusal()
    assert status_pb2.Status.FromString(details).details[0].Unpack(message)
    return message


def test_apply_get_list_delete(pb, admin, control):
    outcome = apply(pb, admin, CATALOG, dry_run=True)
    assert outcome.dry_run and outcome.resources[0].change == pb.CHANGE_CREATED
    assert list(admin.ListResources(pb.ListResourcesRequest()).resources) == []
    outcome = apply(pb, admin, CATALOG)
    assert (outcome.revision, outcome.resources[0].key.name) == (1, "catalog")
    key = pb.Key(kind="service", name="catalog")
    found = admin.GetResource(pb.GetResourceRequest(key=key))
    assert json.loads(found.document)["metadata"]["name"] == "catalog"
    assert found.kept == "store"
    assert [r.key.name for r in admin.ListResources(pb.ListResourcesRequest(kind="services")).resources] == ["catalog"]
    assert list(admin.ListResources(pb.ListResourcesRequest(name="other")).resources) == []
    assert control.rest.json("/v1/resources")["revision"] == 1
    outcome = admin.Delete(pb.DeleteRequest(keys=[key]))
    assert outcome.resources[0].change == pb.CHANGE_DELETED
    with pytest.raises(grpc.RpcError) as error:
        admin.GetResource(pb.GetResourceRequest(key=key))
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_refusals_say_everything(pb, admin):
    with pytest.raises(grpc.RpcError) as error:
        apply(pb, admin, "apiVersion: weft.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n")
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    said = refusal(pb, error.value)
    assert said.type == "urn:weft:problem:invalid-documents"
    problem = next(p for p in said.problems if p.field == "spec.prots")
    assert (problem.file, problem.line, problem.document) == ("catalog.yaml", 4, "Service/a")
    apply(pb, admin, CATALOG)
    with pytest.raises(grpc.RpcError) as error:
        apply(pb, admin, CATALOG, expected_revision=0)
    assert error.value.code() == grpc.StatusCode.ABORTED
    assert refusal(pb, error.value).revision == 1
    with pytest.raises(grpc.RpcError) as error:
        admin.GetProxy(pb.GetProxyRequest(node="nobody"))
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_watcher_is_told_everything_and_then_what_changes(pb, admin, control, tmp_path, http_upstream):
    apply(pb, admin, CATALOG)
    events, call = [], admin.Watch(pb.WatchRequest())

    def read():
        try:
            events.extend(iter(lambda: next(call), None))
        except (grpc.RpcError, StopIteration):
            pass

    threading.Thread(target=read, daemon=True).start()
    first = until(lambda: events and events[0], "the first event")
    assert (first.revision, [r.key.name for r in first.resources]) == (1, ["catalog"])
    assert first.health.ready

    control.put(mesh.service("storefront"))
    until(lambda: any(r.key.name == "storefront" for e in events[1:] for r in e.resources), "the new document")
    sidecar = Sidecar(tmp_path, control, "storefront", http_upstream("app").port, arguments=["--instance", "s-1"])
    until(lambda: any(w.instance == "s-1" for e in events for w in e.workloads), "the workload")
    until(lambda: any(p.node == "s-1" and p.converged for e in events for p in e.proxies), "the proxy")
    sidecar.process.kill()
    until(lambda: any("s-1" in e.proxies_gone for e in events), "the proxy to be gone")
    until(lambda: any(w.instance == "s-1" for e in events for w in e.workloads_gone), "the workload to be gone")
    assert not any(e.resources for e in events[1:] if any(r.key.name == "catalog" for r in e.resources))
    control.stop()
    until(lambda: call.code() is not None, "the end of the stream")


def test_proxies_health_and_info(pb, admin, control, tmp_path):
    Sidecar(tmp_path, control, arguments=["--instance", "caller"])
    until(lambda: admin.GetProxy(pb.GetProxyRequest(node="caller")).converged, "the sidecar")
    proxy = admin.ListProxies(pb.ListProxiesRequest()).proxies[0]
    assert proxy.agent.startswith("weft") and {"CDS", "LDS"} <= {of.type for of in proxy.types}
    assert all(of.acknowledged.version == of.sent.version for of in proxy.types)
    assert admin.GetHealth(pb.GetHealthRequest()).ready
    assert admin.GetInfo(pb.GetInfoRequest()).xds == control.xds
    assert list(admin.ListWorkloads(pb.ListWorkloadsRequest()).workloads) == []


def test_reflection_describes_the_service(channel):
    described = ProtoReflectionDescriptorDatabase(channel)
    assert "weft.admin.v1.MeshAdmin" in described.get_services()
    file = described.FindFileContainingSymbol("weft.admin.v1.MeshAdmin")
    assert {"Apply", "Watch"} <= {method.name for method in file.service[0].method}


def test_a_foreign_authority_is_refused(pb, control):
    options = [("grpc.default_authority", "evil.example")]
    with grpc.insecure_channel(f"127.0.0.1:{control.rest.port}", options) as channel:
        with pytest.raises(grpc.RpcError) as error:
            pb.stub(channel).GetInfo(pb.GetInfoRequest())
    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
