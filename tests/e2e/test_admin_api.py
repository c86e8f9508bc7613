"""The control plane's REST interface as programs use it."""

import json
import socket

import pytest
from openapi_spec_validator import validate

from harness import http1, mesh
from harness.control import ControlPlane
from harness.waiting import until

pytestmark = pytest.mark.weft_only


@pytest.fixture
def control(tmp_path, processes):
    with ControlPlane(tmp_path, store=tmp_path / "mesh.db") as running:
        yield running


def send(control, method, path, headers=(), body=None, host="localhost"):
    headers = [("connection", "close"), *headers]
    return http1.request(control.rest.port, method, path, headers, body, host=host)


def test_the_description_is_valid_openapi(control):
    description = control.rest.json("/v1/openapi.json")
    assert description["openapi"].startswith("3.1")
    validate(description)
    assert "/v1/resources/{kind}/{namespace}/{name}" in description["paths"]


def test_a_refusal_is_a_problem_document(control):
    answer = control.rest.put("apiVersion: weft.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n")
    assert (answer.status, answer.header("content-type")) == (422, "application/problem+json")
    refusal = answer.json()
    assert refusal["type"] == "urn:weft:problem:invalid-documents"
    problem = next(p for p in refusal["problems"] if p.get("field") == "spec.prots")
    assert (problem["line"], problem["document"]) == (4, "Service/a")
    assert "ports" in problem["hint"] + problem["message"]


def test_two_authors_cannot_undo_each_others_work_unknowingly(control):
    control.put(mesh.service("a"))
    tag = control.rest.get("/v1/resources").header("etag")
    control.put(mesh.service("b"))
    answer = send(control, "PUT", "/v1/resources", [("if-match", tag)], mesh.documents([mesh.service("c")]))
    assert answer.status == 412
    assert answer.json()["revision"] == 2
    assert "c" not in control.rest.get("/v1/resources?name=c").text.replace("resources", "")


def test_what_proxies_would_be_sent_is_told_before_it_is_done(control, tmp_path):
    from harness.control import Sidecar

    Sidecar(tmp_path, control, arguments=["--instance", "caller"])
    until(lambda: control.proxies() and control.proxies()[0]["converged"], "the sidecar")
    answer = control.rest.put([mesh.service("a", "127.0.0.1:9")], "?dryRun=true&effects=true")
    effects = {effect["type"]: effect for effect in answer.json()["effects"]}
    assert effects["CDS"]["nodes"] == ["caller"]
    assert any("a" in name for name in effects["CDS"]["created"])
    assert control.rest.json("/v1/resources")["resources"] == []


def test_web_pages_are_kept_out(control):
    body = mesh.documents([mesh.service("a")])
    assert send(control, "GET", "/v1/info", host="evil.example").status == 403
    assert send(control, "PUT", "/v1/resources", [("origin", "https://evil.example")], body).status == 403
    assert send(control, "PUT", "/v1/resources", [("sec-fetch-site", "cross-site")], body).status == 403
    assert control.rest.json("/v1/info")["revision"] == 0


def test_a_connection_that_says_nothing_is_ended(control):
    with socket.create_connection(("127.0.0.1", control.rest.port)) as connection:
        connection.sendall(b"GET /v1/info HTTP/1.1\r\n")
        connection.settimeout(40)
        said = connection.recv(100)
        assert not said or b" 408 " in said
    assert control.rest.get("/healthz").status == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_read(control):
    with socket.create_connection(("127.0.0.1", control.rest.port)) as connection:
        head = "PUT /v1/resources HTTP/1.1\r\nhost: localhost\r\ncontent-length: 40000000\r\n\r\n"
        connection.sendall(head.encode())
        connection.settimeout(20)
        assert b"413" in connection.recv(4096)


def test_readiness_says_what_was_looked_at(control):
    health = json.loads(control.rest.get("/readyz").text)
    assert health["ready"] and [check["name"] for check in health["checks"]] == ["serving", "documents"]
