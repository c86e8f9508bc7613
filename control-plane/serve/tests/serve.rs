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

#[tokio::test]
async fn a_client_that_owes_an_answer_for_too_long_is_cut_and_others_are_not() {
    let limits = Limits { answer: Duration::from_millis(200), ..Limits::default() };
    let server = Server::start(limits).await;
    server.translated.publish(mesh(&["a"]), &instance("a", 1));
    let mut good = server.sotw().await;
    good.say(ask(CLUSTER, "good")).await;
    let heard = good.hear().await.unwrap();
    good.say(answer(&heard, None)).await;
    let mut debtor = server.sotw().await;
    debtor.say(ask(CLUSTER, "debtor")).await;
    debtor.hear().await.unwrap();
    assert!(debtor.hear().await.is_err(), "its connection ends");
    server.until(|nodes| nodes.len() == 1).await;
    server.translated.publish(mesh(&["a", "b"]), &instance("a", 1));
    assert_eq!(good.hear().await.unwrap().resources.len(), 2);
}

#[tokio::test]
async fn a_stream_subscribes_to_so_many_names_and_no_more() {
    let server = Server::start(Limits { names: 100, ..Limits::default() }).await;
    server.translated.publish(mesh(&["a"]), &instance("a", 1));
    let names = (0..101).map(|number| number.to_string()).collect();
    let greedy =
        DiscoveryRequest { resource_names: names, ..ask(CLUSTER_LOAD_ASSIGNMENT, "greedy") };
    assert_eq!(end_of(&server, greedy).await.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn what_is_refused_is_held_back_for_that_client_until_it_changes() {
    let server = Server::start(Limits::default()).await;
    server.translated.publish(mesh(&["a", "b"]), &instance("a", 1));
    let ask = |id: &str| DeltaDiscoveryRequest {
        node: Some(node(id)),
        type_url: CLUSTER_LOAD_ASSIGNMENT.into(),
        resource_names_subscribe: vec!["a.default:80".into(), "b.default:80".into()],
        ..DeltaDiscoveryRequest::default()
    };
    let answer = |response: &DeltaDiscoveryResponse, refusal: Option<&str>| DeltaDiscoveryRequest {
        type_url: CLUSTER_LOAD_ASSIGNMENT.into(),
        response_nonce: response.nonce.clone(),
        error_detail: refusal.map(|text| Detail {
            code: 3,
            message: text.into(),
            details: Vec::new(),
        }),
        ..DeltaDiscoveryRequest::default()
    };
    let names = |response: &DeltaDiscoveryResponse| -> Vec<String> {
        response.resources.iter().map(|each| each.name.clone()).collect()
    };
    let (mut picky, mut other) = (server.delta().await, server.delta().await);
    picky.say(ask("picky")).await;
    other.say(ask("other")).await;
    let heard = other.hear().await.unwrap();
    other.say(answer(&heard, None)).await;
    let heard = picky.hear().await.unwrap();
    picky.say(answer(&heard, None)).await;

    server.translated.publish(mesh(&["a", "b"]), &instance("a", 2));
    let heard = picky.hear().await.unwrap();
    assert_eq!(names(&heard), ["a.default:80"]);
    picky.say(answer(&heard, Some("port 2 is not for me"))).await;
    let refused = |nodes: &[weft_serve::NodeView]| {
        let picky = nodes.iter().find(|view| view.node == "picky");
        picky.map(|view| view.quarantined.clone()).unwrap_or_default()
    };
    server.until(|nodes| refused(nodes).len() == 1).await;
    let [held] = &refused(&server.ledger.nodes())[..] else { panic!("one is refused") };
    assert_eq!((held.r#type, held.name.as_str()), ("EDS", "a.default:80"));
    assert_eq!(held.reason, "port 2 is not for me");

    let heard = other.hear().await.unwrap();
    assert_eq!(names(&heard), ["a.default:80"], "others are sent it");
    other.say(answer(&heard, None)).await;

    // It comes back with what it has: what it refused stays back, and is still told of.
    drop(picky);
    let mut picky = server.delta().await;
    let versions = |name: &str| (name.to_owned(), "of-some-time-ago".to_owned());
    let held = [versions("a.default:80"), versions("b.default:80")];
    picky
        .say(DeltaDiscoveryRequest { initial_resource_versions: held.into(), ..ask("picky") })
        .await;
    let heard = picky.hear().await.unwrap();
    assert_eq!(names(&heard), ["b.default:80"]);
    picky.say(answer(&heard, None)).await;
    let kept = refused(&server.ledger.nodes());
    assert_eq!(kept.iter().map(|each| &*each.reason).collect::<Vec<_>>(), ["port 2 is not for me"]);

    server.translated.publish(mesh(&["a", "b"]), &instance("b", 3));
    let heard = picky.hear().await.unwrap();
    assert_eq!(names(&heard), ["a.default:80", "b.default:80"], "what changed is sent again");
    picky.say(answer(&heard, None)).await;
    server.until(|nodes| refused(nodes).is_empty()).await;
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_at_once_are_all_served_in_bounded_memory() {
    const CLIENTS: usize = 1000;
    let server = std::sync::Arc::new(Server::start(Limits::default()).await);
    let services: Vec<String> = (0..100).map(|number| format!("service-{number}")).collect();
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    server.translated.publish(mesh(&services), &instance("service-7", 1));
    let (before, began) = (resident(), std::time::Instant::now());
    let mut joining = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let server = std::sync::Arc::clone(&server);
        joining.spawn(async move {
            let mut peer = server.sotw().await;
            peer.say(ask(CLUSTER, &format!("node-{number}"))).await;
            let heard = peer.hear().await.unwrap();
            peer.say(answer(&heard, None)).await;
            (heard.resources.len(), peer)
        });
    }
    // Nobody leaves before all have come.
    let joined = joining.join_all().await;
    assert!(joined.iter().all(|(count, _)| *count == services.len()));
    server.until(|nodes| nodes.len() == CLIENTS && nodes.iter().all(|node| node.converged)).await;
    let grown = resident().saturating_sub(before);
    println!(
        "{CLIENTS} clients: {:?}, {} KiB each with its client",
        began.elapsed(),
        grown / 1024 / CLIENTS
    );
    // Both ends of a thousand connections; half of it is the clients'.
    assert!(grown < CLIENTS * 400 * 1024, "{grown} bytes");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}
