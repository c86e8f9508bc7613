"""The command line of weft-proxy: validation, errors that say what to do, Envoy's flags."""

import json
import re

import pytest

from harness import http1
from harness.config import bootstrap, cluster, direct, hcm, listener, route, routes, virtual_host
from harness.process import run
from harness.proxy import Proxy, binary
from harness.waiting import until

pytestmark = pytest.mark.weft_only


def good(port=1):
    main = routes("main", virtual_host("all", ["*"], route("/", "up")))
    return bootstrap([listener("main", hcm(main))], [cluster("up", port)])


def validate(tmp_path, value, suffix="json"):
    path = tmp_path / f"bootstrap.{suffix}"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    by_mode = run([binary("weft-proxy"), "--mode", "validate", "-c", path], tmp_path)
    by_check = run([binary("weft-proxy"), "check", "-c", path], tmp_path)
    assert by_mode.returncode == by_check.returncode, (by_mode.stderr, by_check.stderr)
    return by_check.returncode, by_check.stdout + by_check.stderr


def test_a_good_bootstrap_is_accepted(tmp_path):
    code, text = validate(tmp_path, good())
    assert code == 0, text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b["static_resources"]["clusters"][0].update(connect_timeut="1s"), "connect_timeut"),
        (lambda b: b["static_resources"]["clusters"][0].update(connect_timeout="soon"), "connect_timeout"),
        (lambda b: b["static_resources"]["clusters"][0].update(lb_policy="BEST"), "lb_policy"),
        (lambda b: b["static_resources"]["clusters"][0].update(lb_policy=9), "clusters[0].lb_policy"),
        (lambda b: b["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0].update(name="x", typed_config={"@type": "type.googleapis.com/no.such.Filter"}), "no.such.Filter"),
        (lambda b: b["static_resources"]["listeners"].append(b["static_resources"]["listeners"][0]), "main"),
    ],
    ids=["unknown-field", "bad-duration", "bad-enum", "unsupported-value", "unknown-filter", "duplicate-name"],
)
def test_what_is_wrong_is_named(tmp_path, change, said):
    broken = good()
    change(broken)
    code, text = validate(tmp_path, broken)
    assert code != 0, text
    assert said in text


def test_all_errors_are_told_at_once(tmp_path):
    broken = good()
    broken["static_resources"]["clusters"] += [
        cluster("first-bad", 1, lb_policy=9),
        cluster("second-bad", 1, lb_policy=9),
    ]
    code, text = validate(tmp_path, broken)
    assert code != 0
    assert "clusters[1].lb_policy" in text and "clusters[2].lb_policy" in text


@pytest.mark.parametrize("text", ["", "{", "[]", "node: [", "\x00\x01", "a: &x [*x]"])
def test_nonsense_is_refused_without_a_panic(tmp_path, text):
    code, said = validate(tmp_path, text, "yaml")
    assert code not in (0, 101), said
    assert "panicked" not in said
    assert said.strip()


def test_a_missing_file_is_named(tmp_path):
    outcome = run([binary("weft-proxy"), "-c", tmp_path / "nowhere.yaml"], tmp_path)
    assert outcome.returncode not in (0, 101)
    assert "nowhere.yaml" in outcome.stderr


def test_version_and_help(tmp_path):
    assert run([binary("weft-proxy"), "--version"], tmp_path).stdout.strip()
    text = run([binary("weft-proxy"), "--help"], tmp_path).stdout
    for flag in ("--config-path", "--concurrency", "--drain-time-s", "--control-plane", "--mesh"):
        assert flag in text


def test_a_bootstrap_on_the_command_line_in_yaml(tmp_path, processes):
    from harness.process import Process
    from harness.waiting import until

    text = """
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources: {}
"""
    written = tmp_path / "admin"
    argv = [binary("weft-proxy"), "--config-yaml", text, "--admin-address-path", written]
    process = Process("yaml", argv, tmp_path)
    until(lambda: process.require_alive() or (written.exists() and ":" in written.read_text()), "the admin address")


def test_text_on_the_command_line_is_merged_over_the_file(tmp_path):
    config = bootstrap(node="of-the-file")
    text = json.dumps(
        {
            "node": {"id": "of-the-flag"},
            "static_resources": {"listeners": [listener("added", hcm(routes("r", virtual_host("v", ["*"]))))]},
        }
    )
    with Proxy("weft", config, tmp_path, arguments=["--config-yaml", text]) as proxy:
        node = proxy.admin.json("/server_info")["node"]
        assert (node["id"], node["cluster"]) == ("of-the-flag", "tests"), "single values are replaced, others stay"
        assert proxy.port("added")


def test_errors_name_the_line_and_the_resource(tmp_path):
    text = """
static_resources:
  clusters:
  - name: good
    type: STATIC
  - name: web
    type: STATIC
    load_assignment:
      cluster_name: web
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address: {address: not-an-address, port_value: 80}
  - name: other
    type: 17
overload_manager: {}
"""
    code, said = validate(tmp_path, text, "yaml")
    assert code == 1
    assert 'line 16: cluster "other": static_resources.clusters[2].type: ' in said, said
    assert "line 17: overload_manager.resource_monitors: must not be empty" in said, said
    code, said = validate(tmp_path, text.replace("type: 17", "type: STATIC").replace("overload_manager: {}", ""), "yaml")
    assert code == 1
    assert 'line 14: cluster "web": static_resources.clusters[1].load_assignment.endpoints[0]' in said, said


@pytest.mark.parametrize(
    ("dynamic", "said"),
    [
        ({"lds_config": {"ads": {}}}, "dynamic_resources.ads_config: missing"),
        ({"lds_config": {"path_config_source": {"path": "/no/such.yaml"}}}, "there is no file /no/such.yaml"),
        (
            {"cds_config": {"api_config_source": {"api_type": "REST", "cluster_names": ["x"]}}},
            "dynamic_resources.cds_config.api_config_source.api_type",
        ),
        (
            {
                "cds_config": {
                    "api_config_source": {
                        "api_type": "GRPC",
                        "grpc_services": [{"envoy_grpc": {"cluster_name": "away"}}],
                    }
                }
            },
            'grpc_services[0].envoy_grpc.cluster_name: no static cluster "away"',
        ),
        (
            {
                "ads_config": {
                    "api_type": "GRPC",
                    "grpc_services": [{"google_grpc": {"target_uri": "x", "stat_prefix": "x"}}],
                }
            },
            "google_grpc",
        ),
    ],
    ids=["no-ads", "no-file", "rest", "no-cluster", "google-grpc"],
)
def test_sources_that_lead_nowhere_are_refused_at_the_start(tmp_path, dynamic, said):
    config = bootstrap()
    config["dynamic_resources"] = dynamic
    code, text = validate(tmp_path, config)
    assert code == 1 and said in text, text


def test_readiness_can_be_asked_for_and_waited_for(tmp_path):
    def ask(*arguments):
        return run([binary("weft-proxy"), *arguments], tmp_path)

    config = bootstrap([listener("main", hcm(routes("r", virtual_host("v", ["*"]))))])
    with Proxy("weft", config, tmp_path) as proxy:
        address = f"127.0.0.1:{proxy.admin.port}"
        assert ask("wait", "--admin", address).returncode == 0
        assert ask("healthcheck", "--admin", address).returncode == 0
    outcome = ask("wait", "--admin", address, "--timeout-s", "0")
    assert outcome.returncode == 1 and address in outcome.stderr


def test_node_flags_reach_the_node(tmp_path, processes):
    main = routes("main", virtual_host("all", ["*"], direct("/", 200, "ok")))
    config = bootstrap([listener("main", hcm(main))])
    del config["node"]
    flags = ["--service-node", "n1", "--service-cluster", "c1", "--service-zone", "z9", "--base-id", "3"]
    with Proxy("weft", config, tmp_path, arguments=flags) as proxy:
        node = proxy.admin.json("/server_info")["node"]
        assert (node["id"], node["cluster"], node["locality"]["zone"]) == ("n1", "c1", "z9")


def test_an_address_in_use_is_said_plainly(tmp_path, http_upstream):
    up = http_upstream("taken")
    main = routes("main", virtual_host("all", ["*"], direct("/", 200, "ok")))
    config = bootstrap([listener("main", hcm(main), port=up.port)])
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(config))
    outcome = run([binary("weft-proxy"), "-c", path], tmp_path)
    assert outcome.returncode not in (0, 101)
    assert str(up.port) in outcome.stderr + outcome.stdout


def test_the_code_of_the_start_is_let_go_of(tmp_path, processes):
    """What is mapped of the program afterwards is less than what it took to start."""
    up = bootstrap([listener("main", hcm(routes("main", virtual_host("all", ["*"], direct("/", 200, "alive")))))], [])
    proxy = Proxy("weft", up, tmp_path, arguments=("--log-level", "debug"))

    def given_back():
        found = re.search(r"unmapped the code that started this process bytes=(\d+)", proxy.process.tail())
        return found and int(found.group(1))

    assert until(given_back, "the code to be unmapped") > 1 << 20
    assert http1.request(proxy.port(), target="/").text == "alive"
