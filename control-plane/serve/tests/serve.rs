//! The server over loopback, against clients that speak the bare protocol.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

mod peer;

use std::{collections::BTreeSet, time::Duration};

use peer::{ADS, Server, instance, mesh, node};
use tonic::{Code, Status};
use weft_proto::{
    discovery::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
        Status as Detail,
    },
    type_url::{CLUSTER, CLUSTER_LOAD_ASSIGNMENT},
};
use weft_serve::Limits;
use weft_xds::name_of;

fn ask(type_url: &str, id: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: type_url.into(),
        node: Some(node(id)),
        ..DiscoveryRequest::default()
    }
}

fn answer(response: &DiscoveryResponse, refusal: Option<&str>) -> DiscoveryRequest {
    DiscoveryRequest {
        version_info: response.version_info.clone(),
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        error_detail: refusal.map(|text| Detail {
            code: 3,
            message: text.into(),
            details: Vec::new(),
        }),
        ..DiscoveryRequest::default()
    }
}

fn names(response: &DiscoveryResponse) -> BTreeSet<String> {
    response.resources.iter().map(|any| name_of(&any.value).unwrap().to_string()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn a_node_follows_the_mesh_and_the_ledger_follows_the_node() {
    let server = Server::start(Limits::default()).await;
    let mut peer = server.sotw().await;
    peer.say(ask(CLUSTER, "one")).await;
    server.until(|nodes| nodes.len() == 1).await;
    assert!(!server.ledger.nodes()[0].converged, "nothing was published yet");

    server.translated.publish(mesh(&["a"]), &instance("a", 1));
    let first = peer.hear().await.unwrap();
    assert_eq!(names(&first), set(&["a.default:80"]));
    peer.say(answer(&first, None)).await;
    server.until(|nodes| nodes[0].converged).await;
    let cds = server.ledger.nodes()[0].types[0].clone();
    assert_eq!(cds.r#type, "CDS");
    assert_eq!(cds.acknowledged.map(|stamp| stamp.version), Some(first.version_info.clone()));

    server.translated.publish(mesh(&["a", "b"]), &instance("a", 1));
    let second = peer.hear().await.unwrap();
    assert_eq!(names(&second), set(&["a.default:80", "b.default:80"]));
    peer.say(answer(&second, Some("cluster b.default:80: no"))).await;
    server.until(|nodes| nodes[0].types[0].refused.is_some()).await;
    let node = server.ledger.nodes()[0].clone();
    let refused = node.types[0].refused.clone().unwrap();
    assert_eq!(refused.resources, ["b.default:80"]);
    assert_eq!(refused.reason, "cluster b.default:80: no");
    assert!(!node.converged);
    let json = serde_json::to_value(&node).unwrap();
    assert_eq!(json["types"][0]["acknowledged"]["version"], first.version_info.as_str());

    drop(peer);
    server.until(<[_]>::is_empty).await;
}

#[tokio::test]
async fn delta_sends_what_changed() {
    let server = Server::start(Limits::default()).await;
    server.translated.publish(mesh(&["a", "b"]), &instance("a", 1));
    let mut peer = server.delta().await;
    let ask = |names: &[&str], nonce: &str| DeltaDiscoveryRequest {
        node: Some(node("one")),
        type_url: CLUSTER_LOAD_ASSIGNMENT.into(),
        resource_names_subscribe: names.iter().map(|&name| name.to_owned()).collect(),
        response_nonce: nonce.into(),
        ..DeltaDiscoveryRequest::default()
    };
    peer.say(ask(&["a.default:80", "b.default:80", "x"], "")).await;
    let first: DeltaDiscoveryResponse = peer.hear().await.unwrap();
    assert_eq!((first.resources.len(), first.removed_resources), (2, vec!["x".to_owned()]));
    peer.say(ask(&[], &first.nonce)).await;
    server.until(|nodes| nodes[0].converged).await;

    server.translated.publish(mesh(&["a", "b"]), &instance("a", 2));
    let second = peer.hear().await.unwrap();
    let changed: Vec<_> = second.resources.iter().map(|each| each.name.as_str()).collect();
    assert_eq!(changed, ["a.default:80"]);
}

#[tokio::test]
async fn a_client_that_neither_reads_nor_answers_holds_up_nobody() {
    let server = Server::start(Limits::default()).await;
    server.translated.publish(mesh(&["a"]), &instance("a", 1));
    let stuck = server.sotw().await;
    stuck.say(ask(CLUSTER, "stuck")).await;
    let mut well = server.sotw().await;
    well.say(ask(CLUSTER, "well")).await;
    let mut services = vec!["a"];
    for more in ["b", "c", "d"] {
        let heard = well.hear().await.unwrap();
        assert_eq!(heard.resources.len(), services.len());
        well.say(answer(&heard, None)).await;
        services.push(more);
        server.translated.publish(mesh(&services), &instance("a", 1));
    }
    let stuck = server.ledger.nodes().into_iter().find(|view| view.node == "stuck").unwrap();
    assert_eq!(stuck.types[0].acknowledged, None);
}

#[tokio::test]
async fn types_have_services_of_their_own() {
    let server = Server::start(Limits::default()).await;
    server.translated.publish(mesh(&["a"]), &instance("a", 1));
    let service = "envoy.service.cluster.v3.ClusterDiscoveryService";
    let mut peer = server.open(service, "StreamClusters").await.unwrap();
    peer.say(ask("", "one")).await;
    let response: DiscoveryResponse = peer.hear().await.unwrap();
    assert_eq!(names(&response), set(&["a.default:80"]));
}

/// How a stream ends that began with this request.
async fn end_of(server: &Server, request: DiscoveryRequest) -> Status {
    let mut peer = server.sotw().await;
    peer.say(request).await;
    peer.hear().await.expect_err("the stream ends")
}

#[tokio::test]
async fn who_does_not_say_who_it_is_or_says_nonsense_is_told_so() {
    let server = Server::start(Limits::default()).await;
    let nobody = DiscoveryRequest { node: None, ..ask(CLUSTER, "") };
    assert_eq!(end_of(&server, nobody).await.code(), Code::InvalidArgument);

    let mut strange = ask(CLUSTER, "one");
    let fields = &mut strange.node.as_mut().unwrap().metadata.as_mut().unwrap().fields;
    fields.insert("weft".into(), Default::default());
    let status = end_of(&server, strange).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("metadata weft"), "{status:?}");

    let limits = Limits { introduction: Duration::ZERO, ..Limits::default() };
    let impatient = Server::start(limits).await;
    let mut silent = impatient.sotw().await;
    assert_eq!(silent.hear().await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn more_streams_than_allowed_are_to_come_back_later() {
    let server = Server::start(Limits { streams: 1, ..Limits::default() }).await;
    let first = server.sotw().await;
    let refused = server
        .open::<DiscoveryRequest, DiscoveryResponse>(ADS, "StreamAggregatedResources")
        .await
        .err()
        .expect("one is enough");
    assert_eq!(refused.code(), Code::Unavailable);
    let unknown = server.open::<DiscoveryRequest, DiscoveryResponse>(ADS, "FetchResources").await;
    assert_eq!(unknown.err().map(|status| status.code()), Some(Code::Unimplemented));
    drop(first);
}

#[tokio::test]
async fn stopping_ends_the_streams_and_then_the_server() {
    let limits = Limits { farewell: Duration::ZERO, ..Limits::default() };
    let server = Server::start(limits).await;
    server.translated.publish(mesh(&["a"]), &instance("a", 1));
    let mut peer = server.sotw().await;
    peer.say(ask(CLUSTER, "one")).await;
    peer.hear().await.unwrap();
    server.stop.send_replace(true);
    assert_eq!(peer.hear().await.unwrap_err().code(), Code::Unavailable);
    drop(peer);
    server.task.await.unwrap().unwrap();
    assert_eq!(server.translated.nodes(), 0);
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let path = std::env::temp_dir().join(format!("weft-serve-{}.sock", std::process::id()));
    let server = Server::start_unix(&path);
    server.translated.publish(mesh(&["a"]), &instance("a", 1));
    let mut peer = server.sotw().await;
    std::fs::remove_file(&path).unwrap();
    peer.say(ask(CLUSTER, "one")).await;
    assert_eq!(names(&peer.hear().await.unwrap()), set(&["a.default:80"]));
}
