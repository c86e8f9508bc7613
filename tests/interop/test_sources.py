"""Resources from elsewhere than one ADS stream: streams of one type, files, one of several servers."""

import json
import os
import time

import pytest

from harness import http1
from harness.config import (
    ADS,
    ads_bootstrap,
    api_source,
    assignment,
    bootstrap,
    cluster,
    direct,
    eds_cluster,
    hcm,
    listener,
    path_source,
    route,
    routes,
    virtual_host,
)
from harness.dns import NameServer, resolver
from harness.management import CDS, EDS, LDS, RDS, ManagementServer
from harness.waiting import until


@pytest.fixture
def servers():
    """Makes management servers."""
    made = []

    def make(**more):
        made.append(ManagementServer(**more))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def serving(port, upstream):
    def reached():
        answer = http1.request(port)
        return answer.status == 200 and answer.json()["upstream"] == upstream

    until(reached, f"requests to reach {upstream}")


def answers(port, status):
    until(lambda: http1.request(port).status == status, f"the answer {status}")


def to(name):
    return routes("main", virtual_host("all", ["*"], route("/", name)))


def static(lds, cds, *servers, **more):
    """A bootstrap with management servers as static clusters, called s0, s1 and so on."""
    clusters = [cluster(f"s{n}", server.port, http2=True) for n, server in enumerate(servers)]
    dynamic = {**({"lds_config": lds} if lds else {}), **({"cds_config": cds} if cds else {})}
    return bootstrap(clusters=clusters, dynamic_resources={**dynamic, **more})


def test_each_type_may_come_over_a_stream_of_its_own(start, servers, http_upstream, mode):
    server, up, other = servers(), http_upstream("up"), http_upstream("other")
    own = api_source("s0", mode=mode)
    server.put(
        clusters=[eds_cluster("up", source=own)],
        assignments=[assignment("up", up.port)],
        listeners=[listener("main", hcm(rds="main", source=own))],
        routes=[to("up")],
    )
    proxy = start(static(own, own, server))
    port = proxy.port()
    serving(port, "up")
    server.wait_settled(CDS, EDS, LDS, RDS)
    assert {(request.type_url, request.service) for request in server.requests} == {
        (each, each) for each in (CDS, EDS, LDS, RDS)
    }
    assert {request.mode for request in server.requests} == {mode}
    server.put(assignments=[assignment("up", other.port)])
    serving(port, "other")
    server.cut()
    server.put(routes=[routes("main", virtual_host("all", ["*"], direct("/", 418)))])
    answers(port, 418)


def test_sources_may_be_mixed(start, servers, http_upstream, mode):
    """Listeners over ADS, routes over a stream of their own, clusters fixed."""
    ads, rds, up = servers(), servers(), http_upstream("up")
    ads.put(listeners=[listener("main", hcm(rds="main", source=api_source("s1", mode=mode)))])
    rds.put(routes=[to("up")])
    ads_config = api_source("s0", mode=mode)["api_config_source"]
    made = static(ADS, None, ads, rds, ads_config=ads_config)
    made["static_resources"]["clusters"].append(cluster("up", up.port))
    proxy = start(made)
    serving(proxy.port(), "up")
    assert {request.service for request in ads.requests} == {"ads"}
    assert {request.service for request in rds.requests} == {RDS}
    assert not ads.of(RDS)


@pytest.mark.weft_only
def test_the_same_server_may_be_meant(start, servers, http_upstream, mode):
    """`self`: whoever said the listener says its routes and the endpoints of their clusters."""
    server, up = servers(), http_upstream("up")
    same = {"self": {}, "resource_api_version": "V3"}
    server.put(
        clusters=[eds_cluster("up", source=same)],
        assignments=[assignment("up", up.port)],
        listeners=[listener("main", hcm(rds="main", source=same))],
        routes=[to("up")],
    )
    serving(start(ads_bootstrap(server.port, mode=mode)).port(), "up")
    assert {request.service for request in server.requests} == {"ads"}


@pytest.mark.weft_only
def test_a_stream_ends_when_nothing_is_wanted_of_it(start, servers):
    ads, rds = servers(), servers()
    ads.put(listeners=[listener("main", hcm(rds="main", source=api_source("s1")))])
    rds.put(routes=[routes("main", virtual_host("all", ["*"], direct("/", 204)))])
    ads_config = api_source("s0")["api_config_source"]
    proxy = start(static(ADS, None, ads, rds, ads_config=ads_config))
    answers(proxy.port(), 204)
    assert rds.streams() == 1
    ads.remove(LDS, "main")
    until(lambda: rds.streams() == 0, "the stream to end")


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_the_server_may_be_behind_a_unix_socket(start, servers, tmp_path, kind):
    pipe = servers(pipe=tmp_path / "xds.sock" if kind == "file" else f"@weft/{os.getpid()}/xds")
    pipe.put(listeners=[listener("main", hcm(routes("r", virtual_host("all", ["*"], direct("/", 204)))))])
    made = ads_bootstrap(0)
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(pipe.pipe)}}}}
    made["static_resources"]["clusters"][0]["load_assignment"] = assignment("xds", endpoint)
    answers(start(made).port(), 204)


@pytest.mark.parametrize("kind", ["STRICT_DNS", "LOGICAL_DNS"])
def test_the_server_may_be_found_by_name(start, servers, kind, mode):
    """By the name server of its cluster, which does not know it at first, and then also an address without a server."""
    server = servers()
    server.put(listeners=[listener("main", hcm(routes("r", virtual_host("all", ["*"], direct("/", 204)))))])
    made = ads_bootstrap(server.port, mode)
    with NameServer() as names:
        found = made["static_resources"]["clusters"][0]
        found |= {"type": kind, "dns_lookup_family": "V4_ONLY", "dns_refresh_rate": "0.2s", **resolver(names)}
        found["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["address"] = "xds.test"
        proxy = start(made, wait=False)
        until(lambda: names.count("xds.test") >= 1, "the name to be asked for")
        assert server.streams() == 0
        names.set("xds.test", *(["127.0.0.9"] if proxy.kind == "weft" else []), "127.0.0.1")
        proxy.wait_until_ready(60)
        answers(proxy.port(), 204)


def test_what_is_not_refreshed_goes(start, servers, proxy_kind, mode):
    """Listeners with a time to live: one is refreshed, and one is forgotten by its server."""
    if (proxy_kind, mode) == ("envoy", "sotw"):
        pytest.skip("Envoy takes a response that only refreshes for a list of nothing")
    server = servers()
    config = hcm(routes("r", virtual_host("all", ["*"], direct("/", 204))))
    server.ttl = {"kept": 3, "forgotten": 3}
    server.put(listeners=[listener("kept", config), listener("forgotten", config)])
    proxy = start(ads_bootstrap(server.port, mode))
    kept = proxy.port("kept")
    proxy.port("forgotten")
    del server.ttl["forgotten"]

    def gone():
        server.heartbeat(LDS)
        return "forgotten" not in proxy.admin.listeners()

    until(gone, "the forgotten one to go", 30)
    answers(kept, 204)


@pytest.mark.weft_only
def test_another_server_is_asked_for_what_is_lacking(start, servers, mode):
    """The first is away from the start; the second serves until the first is there."""
    first, second = servers(), servers()
    first.stop()
    answer = lambda status: routes("main", virtual_host("all", ["*"], direct("/", status)))  # noqa: E731
    main = listener("main", hcm(rds="main"))
    second.put(clusters=[eds_cluster("gone")], assignments=[assignment("gone", 1)], listeners=[main], routes=[answer(202)])
    ads = api_source("s0", "s1", mode=mode)["api_config_source"]
    proxy = start(static(ADS, ADS, first, second, ads_config=ads), wait=False)
    port = proxy.port()
    answers(port, 202)
    first.put(listeners=[main], routes=[answer(201)])
    first.start()
    until(lambda: http1.request(port).status == 201, "the first server's answer", 40)
    until(lambda: second.streams() == 0, "the second stream to end")
    assert all(request.version == "" for request in first.of(LDS)[:1]), "versions are a server's own"
    held = lambda: proxy.admin.get("/clusters").text  # noqa: E731
    until(lambda: "gone::" not in held(), "what only the second had to go")
    second.put(routes=[answer(203)])
    first.put(routes=[answer(204)])
    answers(port, 204)


@pytest.mark.weft_only
def test_no_other_server_is_asked_while_nothing_is_lacking(start, servers):
    first, second = servers(), servers()
    first.put(listeners=[listener("main", hcm(routes("r", virtual_host("all", ["*"], direct("/", 201)))))])
    ads = api_source("s0", "s1")["api_config_source"]
    proxy = start(static(ADS, ADS, first, second, ads_config=ads))
    answers(proxy.port(), 201)
    first.wait_settled(LDS)
    failed = lambda: proxy.admin.stats()["control_plane.stream_failed"]  # noqa: E731
    first.stop()
    until(lambda: failed() >= 4, "several attempts", 40)
    assert second.requests == []
    assert http1.request(proxy.port()).status == 201
    first.start()
    first.put(listeners=[listener("main", hcm(routes("r", virtual_host("all", ["*"], direct("/", 202)))))])
    until(lambda: http1.request(proxy.port()).status == 202, "the first server again", 40)


@pytest.mark.weft_only
def test_the_server_is_told_metadata_and_authority(start, servers):
    server = servers()
    made = ads_bootstrap(server.port)
    service = made["dynamic_resources"]["ads_config"]["grpc_services"][0]
    service["initial_metadata"] = [{"key": "X-Token", "value": "secret"}]
    service["envoy_grpc"]["authority"] = "control.mesh"
    start(made, wait=False)
    until(lambda: server.metadata, "a stream")
    assert server.metadata[0]["x-token"] == "secret"


@pytest.mark.weft_only
def test_requests_keep_to_their_rate(start, servers):
    server = servers()
    server.put(listeners=[listener("main", hcm(routes("r", virtual_host("all", ["*"], direct("/", 200)))))])
    made = ads_bootstrap(server.port)
    made["dynamic_resources"]["ads_config"]["rate_limit_settings"] = {"max_tokens": 1, "fill_rate": 2}
    began = time.monotonic()
    start(made, wait=False)
    # Two to ask, two to acknowledge: one at once, then one each half second.
    until(lambda: len(server.requests) >= 4, "four requests")
    assert time.monotonic() - began >= 1.4


# Files.


def write(path, type_url, *values, version="1"):
    """Puts a file in the place of another, as a whole."""
    message = {"version_info": version, "resources": [{"@type": type_url, **value} for value in values]}
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(message))
    os.replace(partial, path)


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "xds"
    folder.mkdir()
    return {kind: folder / f"{name}.json" for kind, name in [(CDS, "cds"), (EDS, "eds"), (LDS, "lds"), (RDS, "rds")]}


def by_files(files):
    made = bootstrap()
    made["dynamic_resources"] = {"lds_config": path_source(files[LDS]), "cds_config": path_source(files[CDS])}
    return made


def write_world(files, port):
    write(files[CDS], CDS, eds_cluster("up", source=path_source(files[EDS])))
    write(files[EDS], EDS, assignment("up", port))
    write(files[LDS], LDS, listener("main", hcm(rds="main", source=path_source(files[RDS]))))
    write(files[RDS], RDS, to("up"))


def test_everything_may_come_from_files(start, files, http_upstream):
    one, two = http_upstream("one"), http_upstream("two")
    write_world(files, one.port)
    port = start(by_files(files)).port()
    serving(port, "one")
    write(files[EDS], EDS, assignment("up", two.port), version="2")
    serving(port, "two")
    write(files[RDS], RDS, routes("main", virtual_host("all", ["*"], direct("/", 418))), version="2")
    answers(port, 418)


def test_clusters_and_listeners_come_and_go_with_their_file(start, files, http_upstream):
    write_world(files, http_upstream("up").port)
    proxy = start(by_files(files))
    serving(proxy.port(), "up")
    inline = hcm(routes("r", virtual_host("all", ["*"], direct("/", 204))))
    write(files[LDS], LDS, listener("second", inline), version="2")
    answers(proxy.port("second"), 204)
    until(lambda: "main" not in proxy.admin.listeners(), "the first to go")


@pytest.mark.weft_only
def test_a_file_written_in_place_is_noticed(start, files, http_upstream):
    write_world(files, http_upstream("up").port)
    port = start(by_files(files)).port()
    serving(port, "up")
    text = {"resources": [{"@type": RDS, **routes("main", virtual_host("all", ["*"], direct("/", 418)))}]}
    files[RDS].write_text(json.dumps(text))
    answers(port, 418)


def test_a_link_turned_in_a_watched_folder_is_noticed(start, tmp_path, http_upstream):
    """As Kubernetes replaces a mounted ConfigMap."""
    mount = tmp_path / "mount"
    for version, status in [("v1", 201), ("v2", 202)]:
        (mount / version).mkdir(parents=True)
        inline = hcm(routes("r", virtual_host("all", ["*"], direct("/", status))))
        write(mount / version / "lds.json", LDS, listener("main", inline, port=0), version=version)
    (mount / "data").symlink_to("v1")
    (mount / "lds.json").symlink_to("data/lds.json")
    made = bootstrap()
    source = path_source(mount / "lds.json", watched_directory={"path": str(mount)})
    made["dynamic_resources"] = {"lds_config": source}
    proxy = start(made)
    answers(proxy.port(), 201)
    (mount / "turned").symlink_to("v2")
    os.replace(mount / "turned", mount / "data")
    until(lambda: http1.request(proxy.port()).status == 202, "the new listener")


@pytest.mark.weft_only
@pytest.mark.parametrize("text", ["{", '{"resources": [{"@type": "x/y"}]}', '{"nonsense": 1}'])
def test_a_bad_file_leaves_what_was_good(start, files, http_upstream, text):
    write_world(files, http_upstream("up").port)
    proxy = start(by_files(files))
    port = proxy.port()
    serving(port, "up")
    files[RDS].write_text(text)
    until(lambda: proxy.admin.stats().get("rds.update_failure") == 1, "the counter")
    assert http1.request(port).json()["upstream"] == "up"
    assert "rds.json" in proxy.process.tail()
    write(files[RDS], RDS, routes("main", virtual_host("all", ["*"], direct("/", 418))), version="3")
    answers(port, 418)


@pytest.mark.weft_only
def test_a_bad_resource_in_a_file_spoils_only_itself(start, files, http_upstream):
    write_world(files, http_upstream("up").port)
    proxy = start(by_files(files))
    serving(proxy.port(), "up")
    good = eds_cluster("up", source=path_source(files[EDS]))
    write(files[CDS], CDS, good, {**cluster("bad", 1), "connect_timeout": "0s"}, version="2")
    until(lambda: proxy.admin.stats().get("cluster_manager.cds.update_rejected") == 1, "the refusal")
    assert "bad" in proxy.process.tail() and "connect_timeout" in proxy.process.tail()
    serving(proxy.port(), "up")


@pytest.mark.weft_only
def test_one_route_name_in_two_files_is_two_resources(start, tmp_path):
    listeners = []
    for name, status in [("a", 201), ("b", 202)]:
        path = tmp_path / f"{name}.json"
        write(path, RDS, routes("local_route", virtual_host("all", ["*"], direct("/", status))))
        listeners.append(listener(name, hcm(rds="local_route", source=path_source(path))))
    proxy = start(bootstrap(listeners))
    assert http1.request(proxy.port("a")).status == 201
    assert http1.request(proxy.port("b")).status == 202


@pytest.mark.weft_only
def test_a_file_that_comes_late_is_taken(start, files, http_upstream):
    up = http_upstream("up")
    write(files[CDS], CDS, eds_cluster("up", source=path_source(files[EDS])))
    quick = {**path_source(files[RDS]), "initial_fetch_timeout": "0.2s"}
    write(files[LDS], LDS, listener("main", hcm(rds="main", source=quick)))
    write(files[EDS], EDS, assignment("up", up.port))
    proxy = start(by_files(files))
    port = proxy.port()
    assert http1.request(port).status == 404
    write(files[RDS], RDS, to("up"))
    serving(port, "up")
