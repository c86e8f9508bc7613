"""The configuration on the proxy's disk: used when no control plane is there, and by nobody else's leave."""

import os

import pytest

from harness import http1, mesh
from harness.control import ControlPlane, Sidecar
from harness.waiting import until

pytestmark = pytest.mark.weft_only


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def documents(app):
    return [mesh.service("catalog", app.address), mesh.service("storefront")]


class Gone:
    """A control plane that is not there."""

    def __init__(self, xds):
        self.xds = xds


def sidecar(tmp_path, control, state, name="sidecar", arguments=(), wait=True):
    """The same proxy each time it is started; its ports are the kernel's choice."""
    more = ["--instance", "caller", "--state-dir", state, *arguments]
    return Sidecar(tmp_path, control, name=name, arguments=more, wait=wait)


def kept(state):
    """The file, once it is there."""
    files = until(lambda: list(state.glob("*.last-known-good")), "the configuration to be written")
    assert len(files) == 1
    return files[0]


@pytest.fixture
def remembered(tmp_path, processes, http_upstream, state):
    """A file of a proxy that knew the catalog; the address at which its control plane was."""
    app = http_upstream("app")
    with ControlPlane(tmp_path, documents(app)) as control:
        proxy = sidecar(tmp_path, control, state, "first")
        until(lambda: http1.request(proxy.outbound, host="catalog").status == 200, "the catalog")
        until(lambda: b"catalog" in kept(state).read_bytes(), "the catalog to be remembered")
        proxy.process.kill()
        return Gone(control.xds)


def test_traffic_flows_after_a_restart_without_a_control_plane(tmp_path, remembered, state):
    proxy = sidecar(tmp_path, remembered, state)
    assert http1.request(proxy.outbound, host="catalog").json()["upstream"] == "app"
    detail = proxy.admin.get("/ready?verbose")
    assert detail.status == 200
    assert "last known good" in detail.text and "not connected" in detail.text
    stats = proxy.admin.stats()
    assert stats["control_plane.last_known_good"] == 1
    until(lambda: proxy.admin.stats()["control_plane.last_known_good_age_seconds"] >= 1, "its age")


def test_others_may_neither_read_nor_write_it(remembered, state):
    path = kept(state)
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert oct(state.stat().st_mode & 0o777) == "0o700"


def test_what_the_control_plane_says_counts_alone_once_it_is_back(tmp_path, remembered, state, http_upstream):
    proxy = sidecar(tmp_path, remembered, state)
    assert http1.request(proxy.outbound, host="catalog").status == 200
    other = http_upstream("other")
    now = [mesh.service("storefront", other.address)]
    with ControlPlane(tmp_path, now, name="second", xds=remembered.xds):
        until(lambda: "as last said" in proxy.admin.get("/ready?verbose").text, "the control plane", 40)
        until(lambda: http1.request(proxy.outbound, host="storefront").status == 200, "the new service")
        until(lambda: http1.request(proxy.outbound, host="catalog").status == 404, "the old service to be gone")
        assert "catalog" not in proxy.admin.get("/clusters").text
        assert proxy.admin.stats()["control_plane.last_known_good"] == 0
        until(lambda: b"catalog" not in kept(state).read_bytes(), "the new state to be remembered", 20)


def test_an_update_costs_no_request_when_it_replaces_what_is_remembered(tmp_path, remembered, state, http_upstream):
    proxy = sidecar(tmp_path, remembered, state)
    port = proxy.outbound
    app = http_upstream("app")
    with ControlPlane(tmp_path, documents(app), name="second", xds=remembered.xds):

        def live():
            assert http1.request(port, host="catalog").status == 200, "a request was lost"
            return "as last said" in proxy.admin.get("/ready?verbose").text

        # An assertion would count as not yet.
        lost = []

        def probe():
            try:
                return live()
            except AssertionError as error:
                lost.append(error)

        until(probe, "the control plane", 40)
        assert not lost


def test_a_live_control_plane_is_preferred_from_the_start(tmp_path, remembered, state, http_upstream):
    now = [mesh.service("storefront", http_upstream("other").address)]
    with ControlPlane(tmp_path, now, name="second", xds=remembered.xds):
        proxy = sidecar(tmp_path, remembered, state)
        assert http1.request(proxy.outbound, host="catalog").status == 404
        assert "serving the last known good" not in proxy.process.tail()


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (damage, "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "is damaged"),
        (lambda path: path.write_bytes(b"PK\x03\x04"), "is not a configuration that weft-proxy has written"),
        (lambda path: path.chmod(0o666), "others may write it"),
        (lambda path: path.parent.chmod(0o777), "others may write it"),
        (lambda path: (path.rename(path.parent / "x"), path.symlink_to("x")), "last-known-good"),
        (lambda path: (path.unlink(), path.mkdir()), "is no file"),
    ],
    ids=["flipped", "cut", "foreign", "writable", "writable-folder", "link", "folder"],
)
def test_a_file_that_cannot_be_trusted_is_refused_with_the_reason(tmp_path, remembered, state, spoil, reason):
    spoil(kept(state))
    proxy = sidecar(tmp_path, remembered, state, wait=False)
    until(lambda: "is not used" in proxy.process.tail(), "the refusal")
    assert reason in proxy.process.tail()
    assert not proxy.admin.ready()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(tmp_path, remembered, state):
    os.chown(kept(state), 65534, 65534)
    proxy = sidecar(tmp_path, remembered, state, wait=False)
    until(lambda: "belongs to user 65534" in proxy.process.tail(), "the refusal")


def test_another_proxy_does_not_take_it(tmp_path, remembered, state):
    proxy = sidecar(tmp_path, remembered, state, arguments=["--service-node", "somebody-else"], wait=False)
    until(lambda: "no configuration is remembered" in proxy.process.tail(), "the search")
    assert not proxy.admin.ready()


def test_opting_out_means_neither_reading_nor_writing(tmp_path, remembered, state, http_upstream):
    before = kept(state).stat()
    proxy = sidecar(tmp_path, remembered, state, arguments=["--no-last-known-good"], wait=False)
    with ControlPlane(tmp_path, documents(http_upstream("app")), name="second", xds=remembered.xds):
        proxy.wait_until_ready(40)
        assert "last known good" not in proxy.process.tail()
        until(lambda: http1.request(proxy.outbound, host="catalog").status == 200, "the catalog")
    assert kept(state).stat().st_mtime_ns == before.st_mtime_ns
    assert kept(state).stat().st_ino == before.st_ino


def test_a_folder_that_cannot_be_written_costs_nothing_but_a_warning(tmp_path, processes, http_upstream):
    (tmp_path / "state").write_text("a file is in the way")
    with ControlPlane(tmp_path, documents(http_upstream("app"))) as control:
        proxy = sidecar(tmp_path, control, tmp_path / "state")
        until(lambda: "cannot be remembered" in proxy.process.tail(), "the warning")
        assert http1.request(proxy.outbound, host="catalog").status == 200
