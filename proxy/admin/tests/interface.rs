//! The interface as programs see it, over a socket.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod proxy;

use proxy::{FakeProxy, Running};
use serde_json::{Value, json};
use weft_admin::{Command, LogLevel, ServerState};

#[tokio::test]
async fn readiness_follows_the_state() {
    let running = Running::start(FakeProxy::new()).await;
    for (state, status, body) in [
        (ServerState::PreInitializing, 503, "PRE_INITIALIZING\n"),
        (ServerState::Initializing, 503, "INITIALIZING\n"),
        (ServerState::Live, 200, "LIVE\n"),
        (ServerState::Draining, 503, "DRAINING\n"),
    ] {
        running.proxy.set_state(state);
        assert_eq!(running.get("/ready").await, (status, body.to_owned()));
        assert_eq!(running.get("/live").await, (200, "LIVE\n".to_owned()));
        let (_, detail) = running.get("/ready?verbose").await;
        let more = "configuration: last known good, 7 s old\ncontrol plane: not connected\n";
        let load = "load: memory is within its bounds\n";
        assert_eq!(detail, format!("{body}{more}{load}"));
    }
}

#[tokio::test]
async fn changes_need_post_and_go_out_as_commands() {
    let mut running = Running::start(FakeProxy::new()).await;
    for path in ["/quitquitquit", "/drain_listeners", "/logging?level=debug"] {
        let (status, body) = running.get(path).await;
        assert_eq!((status, body.as_str()), (405, "Method GET not allowed, POST required."));
    }
    assert_eq!(running.request("DELETE", "/ready", "").await.0, 405);

    assert_eq!(running.post("/drain_listeners?graceful").await, (200, "OK\n".to_owned()));
    assert_eq!(running.post("/drain_listeners").await, (200, "OK\n".to_owned()));
    let (status, body) = running.post("/logging?level=warning").await;
    assert_eq!((status, body.as_str()), (200, "active loggers:\n  weft: warning\n"));
    assert_eq!(running.post("/logging?level=loud").await.0, 400);
    let (status, body) = running.post("/logging").await;
    assert_eq!((status, body.as_str()), (200, "active loggers:\n  weft: info\n"));
    assert_eq!(running.post("/quitquitquit").await, (200, "OK\n".to_owned()));
    for expected in [
        Command::DrainListeners { graceful: true },
        Command::DrainListeners { graceful: false },
        Command::SetLogLevel(LogLevel::Warning),
        Command::Quit,
    ] {
        assert_eq!(running.commands.recv().await, Some(expected));
    }
}

#[tokio::test]
async fn nobody_left_to_carry_out_a_command() {
    let mut running = Running::start(FakeProxy::new()).await;
    running.commands.close();
    assert_eq!(running.post("/quitquitquit").await.0, 503);
}

#[tokio::test]
async fn web_pages_are_kept_out() {
    let mut running = Running::start(FakeProxy::new()).await;
    let (status, body) = running.request("GET", "/ready", "Host: evil.example\r\n").await;
    assert_eq!(status, 403);
    assert!(body.contains("\"evil.example\" is not answered to"), "{body}");
    let form = "Host: localhost\r\nOrigin: https://evil.example\r\n";
    assert_eq!(running.request("POST", "/quitquitquit", form).await.0, 403);
    assert_eq!(running.request("GET", "/ready", "Host: localhost\r\n").await.0, 200);
    assert_eq!(running.request("GET", "/ready", "Host: admin.internal:1\r\n").await.0, 200);
    assert!(running.commands.try_recv().is_err());
}

#[tokio::test]
async fn what_is_not_there_is_refused_with_help() {
    let running = Running::start(FakeProxy::new()).await;
    let (status, body) = running.get("/heap_dump").await;
    assert_eq!(status, 404);
    assert!(body.starts_with("invalid path. admin commands are:\n  /: "), "{body}");
    let (status, body) = running.get("/config_dump?mask=bootstrap").await;
    assert_eq!(status, 400);
    assert!(body.starts_with("parameter \"mask\" is not supported here"), "{body}");
    assert_eq!(running.get("/help").await.0, 200);
    assert!(running.get("/").await.1.contains("action=\"/quitquitquit\""));
}

#[tokio::test]
async fn stats_in_three_formats() {
    let running = Running::start(FakeProxy::new()).await;
    let (_, text) = running.get("/stats?filter=upstream_rq_total$").await;
    assert_eq!(text, "cluster.catalog.upstream_rq_total: 3\ncluster.idle.upstream_rq_total: 0\n");
    let (_, text) = running.get("/stats?usedonly&filter=upstream_rq_total$").await;
    assert_eq!(text, "cluster.catalog.upstream_rq_total: 3\n");
    let (_, text) = running.get("/stats?usedonly&invert_filter&filter=%5Eserver").await;
    assert!(text.lines().all(|line| !line.ends_with(": 0") && !line.starts_with("server")));
    let (_, json) = running.get("/stats?format=json&filter=upstream_rq_total$").await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["stats"][0], json!({"name": "cluster.catalog.upstream_rq_total", "value": 3}));
    let line = "envoy_cluster_upstream_rq_total{envoy_cluster_name=\"catalog\"} 3";
    for path in ["/stats?format=prometheus", "/stats/prometheus", "/metrics"] {
        let (status, text) = running.get(path).await;
        assert!(status == 200 && text.lines().any(|shown| shown == line), "{path}: {text}");
    }
    assert_eq!(running.get("/stats?filter=(").await.0, 400);
    assert_eq!(running.get("/stats?format=html").await.0, 400);
    assert_eq!(running.get("/stats?type=Counters").await.0, 400);
}

#[tokio::test]
async fn listeners_show_where_they_are_bound() {
    let running = Running::start(FakeProxy::new()).await;
    let (_, text) = running.get("/listeners").await;
    assert_eq!(text, "outbound::127.0.0.1:15001\noutbound::[::1]:15001\n");
    let address =
        |address, port| json!({"socket_address": {"address": address, "port_value": port}});
    assert_eq!(
        running.get_json("/listeners?format=json").await,
        json!({"listener_statuses": [{
            "name": "outbound",
            "local_address": address("127.0.0.1", 15001),
            "additional_local_addresses": [address("::1", 15001)],
        }]})
    );
    assert_eq!(running.get("/listeners?format=xml").await.0, 400);
}

#[tokio::test]
async fn clusters_show_their_hosts() {
    let running = Running::start(FakeProxy::new()).await;
    let (_, text) = running.get("/clusters").await;
    for line in [
        "catalog::observability_name::catalog",
        "catalog::added_via_api::true",
        "catalog::10.0.0.1:80::rq_active::0",
        "catalog::10.0.0.1:80::cx_total::0",
        "catalog::default_priority::max_connections::1024",
        "catalog::10.0.0.1:80::health_flags::healthy",
        "catalog::10.0.0.1:80::zone::a",
        "catalog::10.0.0.2:80::health_flags::/eds_status_draining",
        "catalog::10.0.0.2:80::weight::3",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
    let json = running.get_json("/clusters?format=json&filter=^cat").await;
    assert_eq!(json["cluster_statuses"].as_array().unwrap().len(), 1);
    let cluster = &json["cluster_statuses"][0];
    assert_eq!((&cluster["name"], &cluster["added_via_api"]), (&json!("catalog"), &json!(true)));
    assert_eq!(
        cluster["host_statuses"][1],
        json!({
            "address": {"socket_address": {"address": "10.0.0.2", "port_value": 80}},
            "stats": [
                {"type": "GAUGE", "name": "cx_active"},
                {"name": "cx_connect_fail"},
                {"name": "cx_total"},
                {"type": "GAUGE", "name": "rq_active"},
                {"name": "rq_error"},
                {"name": "rq_success"},
                {"name": "rq_timeout"},
                {"name": "rq_total"},
            ],
            "health_status": {"eds_health_status": "DRAINING"},
            "weight": 3,
            "locality": {"zone": "a"},
        })
    );
    assert_eq!(
        running.get_json("/clusters?format=json&filter=nothing").await,
        json!({"cluster_statuses": []})
    );
}

#[tokio::test]
async fn server_info_is_envoys() {
    let running = Running::start(FakeProxy::new()).await;
    let info = running.get_json("/server_info").await;
    assert_eq!(info["state"], "LIVE");
    assert_eq!(info["uptime_current_epoch"], "75s");
    assert_eq!(info["node"]["id"], "test");
    assert_eq!(info["command_line_options"]["concurrency"], 2);
}

#[tokio::test]
async fn the_dump_has_envoys_layout() {
    let running = Running::start(FakeProxy::new()).await;
    let dump = running.get_json("/config_dump").await;
    let kinds: Vec<&str> = dump["configs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|section| section["@type"].as_str().unwrap().rsplit('.').next().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump", "RoutesConfigDump"]
    );
    let section = |kind: &str| {
        let at = kinds.iter().position(|known| *known == kind).unwrap();
        &dump["configs"][at]
    };
    let bootstrap = section("BootstrapConfigDump");
    assert_eq!(bootstrap["bootstrap"], json!({"node": {"id": "test"}}));
    assert_eq!(bootstrap["last_updated"], "1970-01-01T00:00:01.500Z");

    let clusters = section("ClustersConfigDump");
    assert_eq!(clusters["version_info"], "7");
    let fixed = &clusters["static_clusters"][0];
    assert_eq!(fixed["cluster"]["@type"], "type.googleapis.com/envoy.config.cluster.v3.Cluster");
    assert_eq!(fixed["cluster"]["name"], "idle");
    let active = &clusters["dynamic_active_clusters"][0];
    assert_eq!(
        (&active["version_info"], &active["cluster"]["name"]),
        (&json!("7"), &json!("catalog"))
    );
    assert_eq!(active["client_status"], "ACKED");
    let refused = &clusters["dynamic_active_clusters"][1];
    assert_eq!(refused["client_status"], "NACKED");
    assert_eq!(refused["error_state"]["failed_configuration"]["name"], "refused");
    assert!(!refused["error_state"]["details"].as_str().unwrap().is_empty());
    assert_eq!(clusters["dynamic_warming_clusters"][0]["cluster"]["name"], "waiting");

    let listeners = section("ListenersConfigDump");
    assert_eq!(listeners["version_info"], "7");
    assert_eq!(listeners["static_listeners"][0]["listener"]["name"], "inbound");
    let outbound = &listeners["dynamic_listeners"][0];
    assert_eq!(outbound["name"], "outbound");
    assert_eq!(outbound["active_state"]["version_info"], "7");
    assert_eq!(outbound["active_state"]["listener"]["name"], "outbound");
    assert!(outbound.get("warming_state").is_none());

    let routes = section("RoutesConfigDump");
    let inline = &routes["static_route_configs"];
    assert_eq!(inline.as_array().unwrap().len(), 1);
    assert_eq!(
        inline[0]["route_config"],
        json!({
            "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            "name": "fixed",
        })
    );
    assert_eq!(routes["dynamic_route_configs"][0]["route_config"]["name"], "outbound");
}

#[tokio::test]
async fn the_dump_can_be_wider_and_narrower() {
    let running = Running::start(FakeProxy::new()).await;
    let dump = running.get_json("/config_dump?include_eds&name_regex=cat").await;
    let sections = dump["configs"].as_array().unwrap();
    let endpoints = sections
        .iter()
        .find(|section| section["@type"].as_str().unwrap().ends_with(".EndpointsConfigDump"))
        .unwrap();
    assert!(endpoints.get("static_endpoint_configs").is_none());
    let dynamic = &endpoints["dynamic_endpoint_configs"];
    assert_eq!(dynamic.as_array().unwrap().len(), 1);
    assert_eq!(dynamic[0]["endpoint_config"]["cluster_name"], "catalog");
    let clusters = &sections[1];
    assert!(clusters.get("static_clusters").is_none());
    let dump = running.get_json("/config_dump?include_eds&name_regex=idle").await;
    let fixed = &dump["configs"][2]["static_endpoint_configs"][0]["endpoint_config"];
    assert_eq!(fixed["cluster_name"], "idle");
    assert_eq!(
        fixed["@type"],
        "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
    );
    assert_eq!(clusters["dynamic_active_clusters"].as_array().unwrap().len(), 1);
}

/// More than fits the buffers between the writer and the client, so that pieces have to wait.
#[tokio::test]
async fn a_large_dump_arrives_whole() {
    let running = Running::start(FakeProxy::with_clusters(3_000)).await;
    let (dump, other) =
        tokio::join!(running.get_json("/config_dump"), running.get_json("/config_dump"));
    let clusters = dump["configs"][1]["dynamic_warming_clusters"].as_array().unwrap();
    assert_eq!(clusters.len(), 3_001);
    assert_eq!(dump, other);
}
