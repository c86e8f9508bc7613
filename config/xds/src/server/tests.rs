//! The rules of the server, one by one. What holds over all interleavings is tested against the
//! client in `tests/conversation.rs`.

mod memory;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use prost::Message;
use weft_proto::{
    discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, Status},
    pb::envoy::config::{
        cluster::v3::{
            Cluster,
            cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig},
        },
        core::v3::{AggregatedConfigSource, ConfigSource, config_source::ConfigSourceSpecifier},
        route::v3::RouteConfiguration,
    },
};

use super::*;
use crate::{
    message::{Mode, Request, Response},
    outline::name_of,
    resource_type::ResourceType::{
        self, Cluster as Cds, Endpoint as Eds, Listener as Lds, Route as Rds,
    },
    snapshot::{Resources, Snapshot},
};

/// An EDS cluster whose endpoints have its own name.
fn cluster(name: &str, content: &str) -> Bytes {
    let ads = ConfigSourceSpecifier::Ads(AggregatedConfigSource {});
    Cluster {
        name: name.into(),
        alt_stat_name: content.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(ConfigSource {
                config_source_specifier: Some(ads),
                ..ConfigSource::default()
            }),
            service_name: String::new(),
        }),
        ..Cluster::default()
    }
    .encode_to_vec()
    .into()
}

/// A resource of any other type: a name, and something that varies.
fn plain(name: &str, content: &str) -> Bytes {
    RouteConfiguration {
        name: name.into(),
        request_headers_to_remove: vec![content.into()],
        ..RouteConfiguration::default()
    }
    .encode_to_vec()
    .into()
}

fn resources(of: ResourceType, list: &[(&str, &str)]) -> Resources {
    let body = |&(name, content)| {
        let make = if of == Cds { cluster } else { plain };
        (Arc::from(name), make(name, content))
    };
    Resources::encoded(of, list.iter().map(body))
}

/// What a response tells, by name: whether it carries content.
#[derive(Debug, PartialEq)]
struct Told {
    of: ResourceType,
    names: BTreeMap<String, bool>,
    nonce: String,
}

/// A stream with a snapshot that tests change type by type, and a clock that tests move.
struct Bench {
    stream: Stream,
    snapshot: Snapshot,
    now: Instant,
    mode: Mode,
    notes: Vec<Note>,
}

impl Bench {
    fn new(mode: Mode) -> Self {
        let stream = Stream::new(mode, Scope::Aggregated, Timing::default());
        let (snapshot, now) = (Snapshot::default(), Instant::now());
        Self { stream, snapshot, now, mode, notes: Vec::new() }
    }

    fn step(&mut self, event: Event) -> Vec<Told> {
        let actions = self.stream.step(event, self.now);
        self.notes.extend(actions.notes);
        actions.send.into_iter().map(told).collect()
    }

    fn set(&mut self, of: ResourceType, list: &[(&str, &str)]) {
        self.snapshot = std::mem::take(&mut self.snapshot).with(of, resources(of, list));
    }

    fn offer(&mut self) -> Vec<Told> {
        let snapshot = Arc::new(self.snapshot.clone());
        self.step(Event::Offer(snapshot))
    }

    /// State of the world: all names. Delta: names to subscribe to.
    fn ask(&mut self, of: ResourceType, names: &[&str], nonce: &str) -> Vec<Told> {
        let request = self.request(of, names, nonce, None);
        self.step(Event::Request(request))
    }

    /// Refuses what was told, repeating `names` where the mode wants it.
    fn refuse(&mut self, told: &Told, names: &[&str], why: &str) -> Vec<Told> {
        let names = if self.mode == Mode::StateOfTheWorld { names } else { &[] };
        let request = self.request(told.of, names, &told.nonce, Some(why));
        self.step(Event::Request(request))
    }

    fn request(&self, of: ResourceType, names: &[&str], nonce: &str, why: Option<&str>) -> Request {
        let type_url = of.type_url().to_owned();
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let error_detail = why.map(|why| Status { code: 3, message: why.into(), details: vec![] });
        match self.mode {
            Mode::StateOfTheWorld => Request::Sotw(DiscoveryRequest {
                type_url,
                resource_names: names,
                response_nonce: nonce.into(),
                error_detail,
                ..DiscoveryRequest::default()
            }),
            Mode::Delta => Request::Delta(DeltaDiscoveryRequest {
                type_url,
                resource_names_subscribe: names,
                response_nonce: nonce.into(),
                error_detail,
                ..DeltaDiscoveryRequest::default()
            }),
        }
    }

    /// Acknowledges what was told, repeating `names` where the mode wants it.
    fn ack(&mut self, told: &Told, names: &[&str]) -> Vec<Told> {
        let names = if self.mode == Mode::StateOfTheWorld { names } else { &[] };
        self.ask(told.of, names, &told.nonce)
    }

    fn pass(&mut self, time: Duration) -> Vec<Told> {
        self.now += time;
        self.step(Event::Tick)
    }
}

fn told(response: Response) -> Told {
    let of = ResourceType::from_type_url(response.type_url()).unwrap();
    let mut names = BTreeMap::new();
    let nonce = match response {
        Response::Sotw(response) => {
            for any in response.resources {
                assert_eq!(any.type_url, of.type_url());
                let name = name_of(&any.value).unwrap().to_string();
                assert!(names.insert(name, true).is_none(), "a name twice in one response");
            }
            for error in response.resource_errors {
                names.insert(error.resource_name.unwrap().name, false);
            }
            response.nonce
        }
        Response::Delta(DeltaDiscoveryResponse { resources, removed_resources, nonce, .. }) => {
            names.extend(resources.into_iter().map(|each| (each.name, true)));
            names.extend(removed_resources.into_iter().map(|name| (name, false)));
            nonce
        }
    };
    Told { of, names, nonce }
}

fn contents(told: &Told) -> Vec<&str> {
    told.names.iter().filter(|(_, is)| **is).map(|(name, _)| name.as_str()).collect()
}

fn missing(told: &Told) -> Vec<&str> {
    told.names.iter().filter(|(_, is)| !**is).map(|(name, _)| name.as_str()).collect()
}

fn only(mut told: Vec<Told>) -> Told {
    assert_eq!(told.len(), 1, "{told:?}");
    told.pop().unwrap()
}

/// A client that has accepted everything of a small mesh.
fn settled(mode: Mode) -> Bench {
    let mut bench = Bench::new(mode);
    bench.set(Cds, &[("a", "1"), ("b", "1")]);
    bench.set(Eds, &[("a", "1"), ("b", "1")]);
    bench.set(Lds, &[("l", "1")]);
    bench.set(Rds, &[("r", "1")]);
    bench.offer();
    let cds = only(bench.ask(Cds, &[], ""));
    let eds = only(bench.ask(Eds, &["a", "b"], ""));
    bench.ack(&cds, &[]);
    bench.ack(&eds, &["a", "b"]);
    let lds = only(bench.ask(Lds, &[], ""));
    let rds = only(bench.ask(Rds, &["r"], ""));
    assert_eq!(bench.ack(&lds, &[]), []);
    assert_eq!(bench.ack(&rds, &["r"]), []);
    for of in [Cds, Eds, Lds, Rds] {
        assert!(bench.stream.is_converged(of), "{of:?}");
    }
    bench
}

const MODES: [Mode; 2] = [Mode::StateOfTheWorld, Mode::Delta];

#[test]
fn nothing_is_answered_before_the_first_offer_and_nothing_unchanged_after() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        assert_eq!(bench.ask(Cds, &[], ""), []);
        bench.set(Cds, &[("a", "1")]);
        let cds = only(bench.offer());
        assert_eq!(contents(&cds), ["a"]);
        assert_eq!(bench.ack(&cds, &[]), []);
        assert_eq!(bench.offer(), [], "equal content in a new snapshot");
    }
}

#[test]
fn an_empty_set_of_clusters_is_an_answer() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        bench.offer();
        assert_eq!(only(bench.ask(Cds, &[], "")).names.len(), 0);
        assert_eq!(bench.ask(Rds, &[], ""), [], "naming no routes is no question");
    }
}

#[test]
fn a_stale_request_is_ignored_in_sotw_and_honoured_in_delta() {
    let mut sotw = settled(Mode::StateOfTheWorld);
    sotw.set(Eds, &[("a", "2"), ("b", "1"), ("c", "1")]);
    assert_eq!(contents(&only(sotw.offer())), ["a"]);
    assert_eq!(sotw.ask(Eds, &["a", "b", "c"], "2"), [], "2 was the nonce before");
    assert_eq!(sotw.notes.last(), Some(&Note::Ignored(Ignored::Stale(Eds))));

    let mut delta = settled(Mode::Delta);
    delta.set(Eds, &[("a", "2"), ("b", "1"), ("c", "1")]);
    let changed = only(delta.offer());
    assert_eq!(delta.ask(Eds, &["c"], "2"), [], "one response in flight is enough");
    assert_eq!(contents(&only(delta.ack(&changed, &[]))), ["c"]);
}

#[test]
fn one_response_in_flight_and_only_the_newest_state_after_it() {
    for mode in MODES {
        let mut bench = settled(mode);
        bench.set(Eds, &[("a", "2"), ("b", "1")]);
        let first = only(bench.offer());
        for content in ["3", "4", "5"] {
            bench.set(Eds, &[("a", content), ("b", content)]);
            assert_eq!(bench.offer(), []);
        }
        let second = only(bench.ack(&first, &["a", "b"]));
        assert_eq!(contents(&second), ["a", "b"]);
        assert_eq!(bench.ack(&second, &["a", "b"]), []);
    }
}

#[test]
fn sotw_clusters_come_in_full_and_endpoints_as_changed() {
    let mut bench = settled(Mode::StateOfTheWorld);
    bench.set(Cds, &[("a", "1"), ("b", "2")]);
    bench.set(Eds, &[("a", "1"), ("b", "1")]);
    let sent = bench.offer();
    assert_eq!(contents(&sent[0]), ["a", "b"]);
    assert_eq!((sent[1].of, contents(&sent[1])), (Eds, vec!["b"]), "it warms again");
}

#[test]
fn endpoints_of_a_changed_cluster_are_sent_again() {
    for mode in MODES {
        let mut bench = settled(mode);
        bench.set(Cds, &[("a", "2"), ("b", "1")]);
        let sent = bench.offer();
        assert_eq!(sent.iter().map(|each| each.of).collect::<Vec<_>>(), [Cds, Eds]);
        assert_eq!(contents(&sent[1]), ["a"]);
    }
}

#[test]
fn routes_wait_for_new_clusters_and_their_endpoints() {
    for mode in MODES {
        let mut bench = settled(mode);
        bench.set(Cds, &[("a", "1"), ("b", "1"), ("c", "1")]);
        bench.set(Eds, &[("a", "1"), ("b", "1"), ("c", "1")]);
        bench.set(Rds, &[("r", "2")]);
        let cds = only(bench.offer());
        assert_eq!(bench.ack(&cds, &[]), [], "endpoints of c are to be asked for");
        let nonce = if mode == Mode::StateOfTheWorld { "2" } else { "" };
        let names: &[_] = if mode == Mode::StateOfTheWorld { &["a", "b", "c"] } else { &["c"] };
        let eds = only(bench.ask(Eds, names, nonce));
        let rds = only(bench.ack(&eds, &["a", "b", "c"]));
        assert_eq!((rds.of, contents(&rds)), (Rds, vec!["r"]));
    }
}

#[test]
fn routes_wait_no_longer_than_patience() {
    for mode in MODES {
        let mut bench = settled(mode);
        bench.set(Cds, &[("a", "2"), ("b", "1")]);
        bench.set(Rds, &[("r", "2")]);
        assert_eq!(bench.offer().len(), 2);
        let deadline = bench.stream.deadline().unwrap();
        assert_eq!(deadline, bench.now + Timing::default().patience);
        let rds = only(bench.pass(Timing::default().patience));
        assert_eq!(rds.of, Rds);
        assert_eq!(bench.stream.deadline(), None);
    }
}

#[test]
fn a_cluster_leaves_after_the_route_without_it_is_accepted() {
    for mode in MODES {
        let mut bench = settled(mode);
        bench.set(Cds, &[("a", "1")]);
        bench.set(Eds, &[("a", "1")]);
        bench.set(Rds, &[("r", "2")]);
        let rds = only(bench.offer());
        assert_eq!(rds.of, Rds);
        let cds = only(bench.ack(&rds, &["r"]));
        assert_eq!(cds.of, Cds);
        match mode {
            Mode::StateOfTheWorld => assert_eq!(contents(&cds), ["a"]),
            Mode::Delta => assert_eq!(missing(&cds), ["b"]),
        }
    }
}

#[test]
fn a_cluster_stays_while_the_route_without_it_is_refused_until_the_grace_is_over() {
    for mode in MODES {
        let mut bench = settled(mode);
        bench.set(Cds, &[("a", "1")]);
        bench.set(Rds, &[("r", "2")]);
        let rds = only(bench.offer());
        assert_eq!(bench.refuse(&rds, &["r"], "no"), []);
        assert_eq!(only(bench.pass(Timing::default().grace)).of, Cds);
    }
}

#[test]
fn a_cluster_that_comes_back_in_time_never_left() {
    for mode in MODES {
        let mut bench = settled(mode);
        bench.set(Cds, &[("a", "1")]);
        bench.set(Rds, &[("r", "2")]);
        let rds = only(bench.offer());
        bench.set(Cds, &[("a", "1"), ("b", "1")]);
        assert_eq!(bench.offer(), []);
        assert_eq!(bench.ack(&rds, &["r"]), []);
    }
}

#[test]
fn delta_says_at_once_that_a_name_does_not_exist_and_sotw_says_it_in_the_errors() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        bench.set(Eds, &[("a", "1")]);
        bench.offer();
        let eds = only(bench.ask(Eds, &["a", "x"], ""));
        assert_eq!((contents(&eds), missing(&eds)), (vec!["a"], vec!["x"]));
        assert_eq!(bench.ack(&eds, &["a", "x"]), []);
        bench.set(Eds, &[("a", "1"), ("x", "1")]);
        assert_eq!(contents(&only(bench.offer())), ["x"]);
    }
}

#[test]
fn a_refusal_is_recorded_and_the_same_content_not_sent_again() {
    for mode in MODES {
        let mut bench = settled(mode);
        bench.set(Cds, &[("a", "1"), ("b", "bad")]);
        let sent = bench.offer();
        assert_eq!(bench.refuse(&sent[0], &[], "cluster b: no"), []);
        let refused = bench.notes.iter().find_map(|note| match note {
            Note::Refused { of: Cds, names, reason, .. } => Some((names.clone(), reason.clone())),
            _ => None,
        });
        assert_eq!(refused, Some((vec!["b".into()], "cluster b: no".into())));
        assert_eq!(bench.offer(), []);
        assert!(!bench.stream.is_converged(Cds));
    }
}

#[test]
fn a_full_set_is_rebuilt_with_the_last_good_content_of_the_refused() {
    let mut bench = settled(Mode::StateOfTheWorld);
    bench.set(Cds, &[("a", "2"), ("b", "bad")]);
    let sent = bench.offer();
    let again = only(bench.refuse(&sent[0], &[], "Error adding cluster(s) b: no"));
    assert_eq!((again.of, contents(&again)), (Cds, vec!["a", "b"]));
    assert_eq!(bench.ack(&again, &[]), []);
    bench.set(Cds, &[("a", "2"), ("b", "good")]);
    let healed = bench.offer();
    assert_eq!(contents(&healed[0]), ["a", "b"]);
    bench.ack(&healed[0], &[]);
    assert!(bench.stream.is_converged(Cds));
}

#[test]
fn delta_finds_the_guilty_among_many_and_delivers_the_others() {
    let names: Vec<String> = (0..40).map(|n| format!("r{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let routes: Vec<(&str, &str)> = names.iter().map(|&name| (name, "1")).collect();
    for mode in MODES {
        let mut bench = Bench::new(mode);
        bench.set(Rds, &routes);
        bench.offer();
        let mut next = bench.ask(Rds, &names, "");
        let mut accepted: Vec<String> = Vec::new();
        let mut responses = 0;
        while let Some(rds) = next.pop() {
            responses += 1;
            assert!(responses < 40, "more responses than resources");
            let bad = contents(&rds).iter().any(|name| ["r7", "r31"].contains(name));
            next = if bad {
                bench.refuse(&rds, &names, "one of these is bad")
            } else {
                accepted.extend(contents(&rds).iter().map(|&name| name.to_owned()));
                bench.ack(&rds, &names)
            };
        }
        accepted.sort();
        accepted.dedup();
        assert_eq!(accepted.len(), 38);
        assert_eq!(bench.offer(), []);
    }
}

#[test]
fn a_delta_client_that_returns_is_sent_what_changed_meanwhile() {
    let before = settled(Mode::Delta);
    let version = |name: &str| before.snapshot.get(Cds).get(name).unwrap().version().to_string();
    let mut bench = Bench::new(Mode::Delta);
    bench.set(Cds, &[("a", "1"), ("c", "1")]);
    bench.offer();
    let held = ["a", "b"].map(|name| (name.to_owned(), version(name)));
    let cds = only(bench.step(Event::Request(Request::Delta(DeltaDiscoveryRequest {
        type_url: Cds.type_url().into(),
        initial_resource_versions: held.into(),
        ..DeltaDiscoveryRequest::default()
    }))));
    assert_eq!(contents(&cds), ["c"]);
    assert_eq!(missing(&cds), [""; 0], "b may still be referred to");
    bench.ack(&cds, &[]);
    let lds = only(bench.ask(Lds, &[], ""));
    assert_eq!(missing(&only(bench.ack(&lds, &[]))), ["b"]);
}

#[test]
fn what_a_returning_client_holds_is_removed_though_it_was_still_offered_when_it_came() {
    let mut bench = Bench::new(Mode::Delta);
    bench.set(Cds, &[("a", "1")]);
    bench.set(Lds, &[("l", "1")]);
    bench.offer();
    let cds = only(bench.ask(Cds, &[], ""));
    let listeners = bench.step(Event::Request(Request::Delta(DeltaDiscoveryRequest {
        type_url: Lds.type_url().into(),
        initial_resource_versions: [("l".to_owned(), "of another server".to_owned())].into(),
        ..DeltaDiscoveryRequest::default()
    })));
    assert_eq!(listeners, [], "they wait for the clusters");
    bench.set(Lds, &[]);
    assert_eq!(bench.offer(), []);
    assert_eq!(missing(&only(bench.ack(&cds, &[]))), ["l"]);
}

#[test]
fn sotw_answers_a_returning_client_even_if_its_version_is_ours() {
    let before = settled(Mode::StateOfTheWorld);
    let mut bench = Bench::new(Mode::StateOfTheWorld);
    bench.snapshot = before.snapshot.clone();
    bench.offer();
    let version = before.snapshot.get(Cds).version().to_string();
    let cds = only(bench.step(Event::Request(Request::Sotw(DiscoveryRequest {
        type_url: Cds.type_url().into(),
        version_info: version,
        response_nonce: "of-the-stream-before".into(),
        ..DiscoveryRequest::default()
    }))));
    assert_eq!(contents(&cds), ["a", "b"]);
}

#[test]
fn a_delta_client_that_subscribes_again_is_told_again() {
    let mut bench = settled(Mode::Delta);
    assert_eq!(contents(&only(bench.ask(Eds, &["a"], ""))), ["a"]);
}

#[test]
fn types_we_do_not_know_are_left_unanswered() {
    let mut bench = Bench::new(Mode::StateOfTheWorld);
    bench.offer();
    let v2 = "type.googleapis.com/envoy.api.v2.Cluster";
    let sent = bench.step(Event::Request(Request::Sotw(DiscoveryRequest {
        type_url: v2.into(),
        ..DiscoveryRequest::default()
    })));
    assert_eq!(sent, []);
    assert_eq!(bench.notes, [Note::Ignored(Ignored::UnknownType(v2.into()))]);
}

#[test]
fn a_stream_of_one_type_needs_no_type_and_waits_for_no_other() {
    let mut bench = Bench::new(Mode::Delta);
    bench.stream = Stream::new(Mode::Delta, Scope::Only(Cds), Timing::default());
    bench.set(Cds, &[("a", "1"), ("b", "1")]);
    bench.offer();
    let cds = only(bench.step(Event::Request(Request::Delta(DeltaDiscoveryRequest::default()))));
    bench.ack(&cds, &[]);
    bench.set(Cds, &[("a", "1")]);
    assert_eq!(missing(&only(bench.offer())), ["b"]);
    assert_eq!(bench.ask(Lds, &[], ""), []);
    assert_eq!(bench.notes.last(), Some(&Note::Ignored(Ignored::OtherType(Lds))));
}

#[test]
fn what_was_refused_and_then_withdrawn_is_not_sent_again() {
    let mut bench = Bench::new(Mode::StateOfTheWorld);
    bench.set(Cds, &[("a", "bad"), ("b", "bad")]);
    bench.offer();
    let cds = only(bench.ask(Cds, &[], ""));
    bench.set(Cds, &[("b", "bad")]);
    assert_eq!(bench.offer(), []);
    assert_eq!(bench.refuse(&cds, &[], "clusters a, b: no"), []);
}

#[test]
fn what_was_refused_and_then_withdrawn_may_be_held_from_another_server() {
    let mut bench = Bench::new(Mode::StateOfTheWorld);
    bench.set(Lds, &[("l", "bad")]);
    bench.offer();
    let lds = only(bench.ask(Lds, &[], ""));
    bench.set(Lds, &[]);
    assert_eq!(bench.offer(), []);
    let again = only(bench.refuse(&lds, &[], "listener l: no"));
    assert_eq!(contents(&again), [""; 0], "a set without it takes that away");
}

#[test]
fn a_client_may_have_applied_what_came_with_the_refused() {
    let mut bench = Bench::new(Mode::StateOfTheWorld);
    bench.set(Lds, &[("good", "1"), ("bad", "1")]);
    bench.offer();
    let lds = only(bench.ask(Lds, &[], ""));
    bench.set(Lds, &[("bad", "1")]);
    assert_eq!(bench.offer(), []);
    let again = only(bench.refuse(&lds, &[], "listener bad: no"));
    assert_eq!(contents(&again), [""; 0], "so it has to be told that it is gone");
}
