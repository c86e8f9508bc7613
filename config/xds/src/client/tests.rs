//! The rules of the client, one by one. What holds over all interleavings is tested against the
//! server in `tests/conversation.rs`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use weft_proto::{
    discovery::{
        Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
        Node, Resource, ResourceError, ResourceName, Status as Code,
    },
    pb::envoy::config::route::v3::RouteConfiguration,
};

mod lifetime;

use super::*;
use crate::{
    message::{Mode, Request, Response},
    resource_type::ResourceType::{
        self, Cluster as Cds, Endpoint as Eds, Listener as Lds, Route as Rds,
    },
};

fn body(name: &str, content: &str) -> Bytes {
    RouteConfiguration {
        name: name.into(),
        request_headers_to_remove: vec![content.into()],
        ..RouteConfiguration::default()
    }
    .encode_to_vec()
    .into()
}

fn any(of: ResourceType, name: &str, content: &str) -> Any {
    Any { type_url: of.type_url().into(), value: body(name, content) }
}

fn sotw(of: ResourceType, version: &str, resources: Vec<Any>) -> Event {
    Event::Response(Response::Sotw(DiscoveryResponse {
        version_info: version.into(),
        resources,
        type_url: of.type_url().into(),
        nonce: format!("n{version}"),
        ..DiscoveryResponse::default()
    }))
}

fn delta(of: ResourceType, nonce: &str, set: &[(&str, &str)], removed: &[&str]) -> Event {
    let resource = |&(name, content): &(&str, &str)| Resource {
        name: name.into(),
        version: content.into(),
        resource: Some(any(of, name, content)),
        ..Resource::default()
    };
    Event::Response(Response::Delta(DeltaDiscoveryResponse {
        resources: set.iter().map(resource).collect(),
        removed_resources: removed.iter().map(|&name| name.to_owned()).collect(),
        type_url: of.type_url().into(),
        nonce: nonce.into(),
        ..DeltaDiscoveryResponse::default()
    }))
}

struct Bench {
    client: Client,
    now: Instant,
}

impl Bench {
    fn new(mode: Mode) -> Self {
        let client = Client::new(Settings {
            mode,
            node: Node { id: "me".into(), ..Node::default() },
            node_in_every_request: false,
            backoff: Backoff::default(),
        });
        Self { client, now: Instant::now() }
    }

    /// Connected, and asking for clusters, listeners, and some endpoints.
    fn connected(mode: Mode) -> Self {
        let mut bench = Self::new(mode);
        bench.step(Event::Want(Eds, ["a", "b"].into_iter().collect()));
        bench.step(Event::Want(Lds, Wanted::default()));
        bench.step(Event::Want(Cds, Wanted::default()));
        bench.step(Event::Connected);
        bench
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.client.step(event, self.now)
    }

    fn deliver(&mut self, event: Event) -> Delivery {
        let mut actions = self.step(event);
        match (actions.pop(), actions.as_slice()) {
            (Some(Action::Deliver(delivery)), []) => delivery,
            other => panic!("a delivery was expected: {other:?}"),
        }
    }

    fn accept(&mut self, delivery: &Delivery) -> Vec<Action> {
        self.judge(delivery, &[], vec![])
    }

    fn judge(
        &mut self,
        delivery: &Delivery,
        refused: &[(&str, &str)],
        wanted: Vec<(ResourceType, Wanted)>,
    ) -> Vec<Action> {
        let refused =
            refused.iter().map(|&(name, reason)| (name.into(), reason.to_owned())).collect();
        self.step(Event::Verdict(Verdict {
            delivery: delivery.id,
            of: delivery.of,
            refused,
            wanted,
        }))
    }

    fn status(&self, of: ResourceType, name: &str) -> Status {
        let mut statuses = self.client.statuses(of);
        statuses.find(|(each, _)| each.as_ref() == name).map(|(_, status)| status.clone()).unwrap()
    }
}

/// The only thing done is a state-of-the-world request.
fn asked(actions: Vec<Action>) -> DiscoveryRequest {
    match <[Action; 1]>::try_from(actions) {
        Ok([Action::Send(Request::Sotw(request))]) => request,
        other => panic!("one request was expected: {other:?}"),
    }
}

/// The only thing done is a delta request.
fn changed(actions: Vec<Action>) -> DeltaDiscoveryRequest {
    match <[Action; 1]>::try_from(actions) {
        Ok([Action::Send(Request::Delta(request))]) => request,
        other => panic!("one request was expected: {other:?}"),
    }
}

fn names(delivery: &Delivery) -> Vec<&str> {
    delivery.upserts.iter().map(|upsert| upsert.name.as_ref()).collect()
}

#[test]
fn asks_in_order_and_introduces_itself_once() {
    for mode in [Mode::StateOfTheWorld, Mode::Delta] {
        let mut bench = Bench::new(mode);
        assert_eq!(bench.step(Event::Want(Lds, Wanted::default())), []);
        assert_eq!(bench.step(Event::Want(Eds, ["a"].into_iter().collect())), []);
        assert_eq!(bench.step(Event::Want(Cds, Wanted::default())), []);
        assert_eq!(bench.step(Event::Want(Rds, Wanted::from_iter([""; 0]))), []);
        let sent = bench.step(Event::Connected);
        let said: Vec<_> = sent
            .iter()
            .map(|action| match action {
                Action::Send(request) => (request.type_url(), request.node().is_some()),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [(Cds, true), (Eds, false), (Lds, false)];
        assert_eq!(said, expected.map(|(of, node)| (of.type_url(), node)));
    }
}

#[test]
fn sotw_acknowledges_with_the_new_version_and_refuses_with_the_old_one() {
    let mut bench = Bench::connected(Mode::StateOfTheWorld);
    let first = bench.deliver(sotw(Cds, "1", vec![any(Cds, "a", "1"), any(Cds, "b", "1")]));
    let ack = asked(bench.accept(&first));
    assert_eq!((ack.version_info.as_str(), ack.response_nonce.as_str()), ("1", "n1"));
    assert_eq!(ack.error_detail, None);

    let second = bench.deliver(sotw(Cds, "2", vec![any(Cds, "a", "2"), any(Cds, "b", "bad")]));
    let nack = asked(bench.judge(&second, &[("b", "field lb_policy: no")], vec![]));
    assert_eq!((nack.version_info.as_str(), nack.response_nonce.as_str()), ("1", "n2"));
    let text = nack.error_detail.unwrap().message;
    assert_eq!(text, "xDS response validation errors: [b: field lb_policy: no]");
    assert_eq!(
        (bench.status(Cds, "a").state, bench.status(Cds, "b").state),
        (State::Acked, State::Nacked)
    );
    assert_eq!(bench.status(Cds, "b").version, "1", "the last good version stays");
}

#[test]
fn only_news_is_delivered_and_absence_removes_roots() {
    let mut bench = Bench::connected(Mode::StateOfTheWorld);
    let first = bench.deliver(sotw(Cds, "1", vec![any(Cds, "a", "1"), any(Cds, "b", "1")]));
    bench.accept(&first);
    let second = bench.deliver(sotw(Cds, "2", vec![any(Cds, "b", "1"), any(Cds, "c", "1")]));
    assert_eq!((names(&second), second.removals.as_slice()), (vec!["c"], &["a".into()][..]));
    bench.accept(&second);
    let ack = asked(bench.step(sotw(Cds, "3", vec![any(Cds, "c", "1"), any(Cds, "b", "1")])));
    assert_eq!(ack.version_info, "3", "nothing new needs no verdict");
}

#[test]
fn an_empty_first_answer_is_delivered() {
    for event in [sotw(Cds, "1", vec![]), delta(Cds, "1", &[], &[])] {
        let mode = match &event {
            Event::Response(Response::Sotw(_)) => Mode::StateOfTheWorld,
            _ => Mode::Delta,
        };
        let mut bench = Bench::connected(mode);
        assert_eq!(names(&bench.deliver(event)), [""; 0]);
    }
}

#[test]
fn names_wanted_by_an_update_are_asked_for_in_one_request_before_its_answer() {
    let mut bench = Bench::connected(Mode::StateOfTheWorld);
    let clusters = bench.deliver(sotw(Cds, "1", vec![any(Cds, "a", "1")]));
    let wanted = vec![(Eds, ["a", "b", "c"].into_iter().collect())];
    let sent = bench.judge(&clusters, &[], wanted);
    match sent.as_slice() {
        [Action::Send(Request::Sotw(eds)), Action::Send(Request::Sotw(ack))] => {
            assert_eq!(eds.resource_names, ["a", "b", "c"]);
            assert_eq!(
                (ack.type_url.as_str(), ack.response_nonce.as_str()),
                (Cds.type_url(), "n1")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn sotw_new_names_wait_for_the_verdict_that_is_due() {
    let mut bench = Bench::connected(Mode::StateOfTheWorld);
    let endpoints = bench.deliver(sotw(Eds, "1", vec![any(Eds, "a", "1")]));
    assert_eq!(bench.step(Event::Want(Eds, ["a", "c"].into_iter().collect())), []);
    assert_eq!(asked(bench.accept(&endpoints)).resource_names, ["a", "c"]);
}

#[test]
fn sotw_tells_of_names_given_up_and_wanted_again() {
    let mut bench = Bench::connected(Mode::StateOfTheWorld);
    let first = bench.deliver(sotw(Eds, "1", vec![any(Eds, "a", "1"), any(Eds, "b", "1")]));
    bench.accept(&first);
    let second = bench.deliver(sotw(Eds, "2", vec![any(Eds, "b", "2")]));
    bench.step(Event::Want(Eds, ["b"].into_iter().collect()));
    bench.step(Event::Want(Eds, ["a", "b"].into_iter().collect()));
    let said: Vec<_> = bench
        .accept(&second)
        .into_iter()
        .map(|action| asked(vec![action]).resource_names)
        .collect();
    assert_eq!(said, [vec!["b"], vec!["a", "b"]]);
}

/// A server that had sent its next response by then passes over both requests.
#[test]
fn sotw_tells_once_more_of_what_the_server_may_not_have_heard() {
    for (heard, answers) in [(false, vec![vec!["b"], vec!["a", "b"]]), (true, vec![vec!["a", "b"]])]
    {
        let mut bench = Bench::connected(Mode::StateOfTheWorld);
        let first = bench.deliver(sotw(Eds, "1", vec![any(Eds, "a", "1"), any(Eds, "b", "1")]));
        bench.accept(&first);
        for wanted in [vec!["b"], vec!["a", "b"]] {
            let said = bench.step(Event::Want(Eds, wanted.iter().copied().collect()));
            assert_eq!(asked(said).resource_names, wanted);
        }
        let mut news = vec![any(Eds, "b", "2")];
        news.extend(heard.then(|| any(Eds, "a", "1")));
        let second = bench.deliver(sotw(Eds, "2", news));
        let said: Vec<_> = bench
            .accept(&second)
            .into_iter()
            .map(|action| asked(vec![action]).resource_names)
            .collect();
        assert_eq!(said, answers, "{heard}");
    }
}

#[test]
fn delta_keeps_answers_and_changes_apart() {
    let mut bench = Bench::connected(Mode::Delta);
    let endpoints = bench.deliver(delta(Eds, "n1", &[("a", "1")], &[]));
    let change = changed(bench.step(Event::Want(Eds, ["a", "c"].into_iter().collect())));
    assert_eq!(change.resource_names_subscribe, ["c"]);
    assert_eq!(change.resource_names_unsubscribe, ["b"]);
    assert_eq!(change.response_nonce, "");
    let ack = changed(bench.accept(&endpoints));
    assert_eq!(ack.response_nonce, "n1");
    assert!(ack.resource_names_subscribe.is_empty() && ack.resource_names_unsubscribe.is_empty());
}

#[test]
fn delta_claims_what_was_accepted_when_it_comes_back_and_nothing_else() {
    let mut bench = Bench::connected(Mode::Delta);
    let first = bench.deliver(delta(Cds, "n1", &[("a", "1"), ("b", "1"), ("c", "1")], &[]));
    bench.judge(&first, &[("c", "no")], vec![]);
    let second = bench.deliver(delta(Cds, "n2", &[("b", "2")], &[]));
    bench.judge(&second, &[("b", "no")], vec![]);
    bench.step(Event::Disconnected { random: 0 });
    let sent = bench.step(Event::Connected);
    let Some(Action::Send(Request::Delta(clusters))) = sent.into_iter().next() else { panic!() };
    assert!(clusters.resource_names_subscribe.is_empty());
    let held = [("a", "1"), ("b", "1")].map(|(name, version)| (name.into(), version.into()));
    assert_eq!(clusters.initial_resource_versions, held.into());
}

#[test]
fn sotw_comes_back_with_its_version_and_without_a_nonce() {
    let mut bench = Bench::connected(Mode::StateOfTheWorld);
    let first = bench.deliver(sotw(Cds, "1", vec![any(Cds, "a", "1")]));
    bench.accept(&first);
    bench.step(Event::Disconnected { random: 0 });
    let sent = bench.step(Event::Connected);
    let Some(Action::Send(Request::Sotw(clusters))) = sent.into_iter().next() else { panic!() };
    assert_eq!((clusters.version_info.as_str(), clusters.response_nonce.as_str()), ("1", ""));
    assert!(clusters.node.is_some());
}

#[test]
fn a_verdict_on_a_stream_that_is_gone_counts_and_is_not_sent() {
    let mut bench = Bench::connected(Mode::Delta);
    let first = bench.deliver(delta(Cds, "n1", &[("a", "1")], &[]));
    bench.step(Event::Disconnected { random: 0 });
    let sent = bench.step(Event::Connected);
    assert_eq!(sent.len(), 2, "what clusters are held is not known yet: {sent:?}");
    let clusters = changed(bench.accept(&first));
    assert_eq!(clusters.response_nonce, "");
    assert_eq!(clusters.initial_resource_versions.get("a").map(String::as_str), Some("1"));
}

#[test]
fn backs_off_until_a_stream_brings_a_response() {
    let mut bench = Bench::new(Mode::Delta);
    bench.step(Event::Want(Cds, Wanted::default()));
    let wait = |bench: &mut Bench| {
        let now = bench.now;
        match bench.step(Event::Disconnected { random: u32::MAX }).as_slice() {
            [Action::ConnectAt(at)] => (*at - now).as_millis(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([wait(&mut bench), wait(&mut bench), wait(&mut bench)], [500, 1000, 2000]);
    bench.step(Event::Connected);
    assert_eq!(wait(&mut bench), 4000, "a stream that says nothing is no success");
    bench.step(Event::Connected);
    bench.step(delta(Cds, "n1", &[], &[]));
    assert_eq!(wait(&mut bench), 500);
}

#[test]
fn waiting_begins_when_asked_on_a_live_stream_and_ends_once() {
    let mut bench = Bench::new(Mode::StateOfTheWorld);
    bench.step(Event::Want(Eds, ["a", "b"].into_iter().collect()));
    assert_eq!(bench.client.deadline(), None);
    bench.now += Duration::from_secs(60);
    bench.step(Event::Connected);
    assert_eq!(bench.client.deadline(), Some(bench.now + Duration::from_secs(15)));
    let delivery = bench.deliver(sotw(Eds, "1", vec![any(Eds, "a", "1")]));
    bench.accept(&delivery);
    bench.now += Duration::from_secs(15);
    let missing = Action::Missing { of: Eds, name: Some("b".into()), timed_out: true };
    assert_eq!(bench.step(Event::Tick), [missing]);
    assert_eq!(bench.status(Eds, "b").state, State::Timeout);
    assert_eq!((bench.step(Event::Tick), bench.client.deadline()), (vec![], None));
}

#[test]
fn each_name_is_waited_for_as_long_as_it_says() {
    let mut bench = Bench::new(Mode::Delta);
    let names = [
        ("ever", Patience::Endless),
        ("long", Patience::For(Duration::from_secs(60))),
        ("short", Patience::For(Duration::from_secs(1))),
    ];
    let names = names.map(|(name, patience)| (name.into(), patience));
    bench.step(Event::Want(Rds, Wanted::Names(names.into())));
    bench.step(Event::Want(Lds, Wanted::All(Patience::Endless)));
    bench.step(Event::Connected);
    let missing =
        |name: &str| Action::Missing { of: Rds, name: Some(name.into()), timed_out: true };
    for (seconds, said) in
        [(1, vec![missing("short")]), (59, vec![missing("long")]), (3600, vec![])]
    {
        bench.now += Duration::from_secs(seconds);
        assert_eq!(bench.step(Event::Tick), said);
    }
    assert_eq!(bench.client.deadline(), None);
    assert_eq!(bench.status(Rds, "ever").state, State::Requested);
}

#[test]
fn another_server_is_told_nothing_of_versions() {
    for mode in [Mode::StateOfTheWorld, Mode::Delta] {
        let mut bench = Bench::connected(mode);
        let first = match mode {
            Mode::StateOfTheWorld => sotw(Cds, "1", vec![any(Cds, "a", "1")]),
            Mode::Delta => delta(Cds, "n1", &[("a", "1")], &[]),
        };
        let first = bench.deliver(first);
        bench.accept(&first);
        assert!(bench.client.is_lacking(), "listeners and endpoints");
        let opening = bench.client.opening();
        bench.step(Event::Disconnected { random: 0 });
        bench.step(Event::OtherServer);
        let said: Vec<_> = bench
            .step(Event::Connected)
            .into_iter()
            .map(|action| match action {
                Action::Send(request) => request,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(said, opening, "what was said beforehand need not be said again");
        match &said[0] {
            Request::Sotw(clusters) => assert_eq!(clusters.version_info, ""),
            Request::Delta(clusters) => {
                let held = &clusters.initial_resource_versions;
                assert_eq!(
                    held.get("a").map(String::as_str),
                    Some(""),
                    "so that it can be removed"
                );
            }
        }
        assert_eq!(bench.status(Cds, "a").version, "1", "it is still in use");
    }
}

#[test]
fn nothing_is_lacking_once_everything_is_answered_for() {
    let mut bench = Bench::new(Mode::Delta);
    bench.step(Event::Want(Cds, Wanted::default()));
    bench.step(Event::Connected);
    assert!(bench.client.is_lacking());
    let clusters = bench.deliver(delta(Cds, "n1", &[("a", "1")], &[]));
    bench.judge(&clusters, &[], vec![(Eds, ["a", "b"].into_iter().collect())]);
    assert!(bench.client.is_lacking());
    let endpoints = bench.deliver(delta(Eds, "n2", &[("a", "1")], &[]));
    bench.accept(&endpoints);
    bench.step(delta(Eds, "n3", &[], &["b"]));
    assert!(!bench.client.is_lacking());
    bench.step(Event::Disconnected { random: 0 });
    assert!(!bench.client.is_lacking(), "what is held needs no server");
}

#[test]
fn the_list_itself_may_be_what_does_not_come() {
    let mut bench = Bench::connected(Mode::Delta);
    bench.now += Duration::from_secs(15);
    let lists: Vec<_> = bench
        .step(Event::Tick)
        .into_iter()
        .filter(|action| matches!(action, Action::Missing { name: None, .. }))
        .collect();
    let missing = |of| Action::Missing { of, name: None, timed_out: true };
    assert_eq!(lists, [missing(Cds), missing(Lds)]);
}

#[test]
fn a_name_that_does_not_exist_is_missing_at_once() {
    let missing = Action::Missing { of: Eds, name: Some("b".into()), timed_out: false };
    let mut bench = Bench::connected(Mode::Delta);
    let said = bench.step(delta(Eds, "n1", &[], &["b"]));
    assert_eq!(said.first(), Some(&missing));
    assert_eq!(bench.status(Eds, "b").state, State::DoesNotExist);

    let mut bench = Bench::connected(Mode::StateOfTheWorld);
    let said = bench.step(Event::Response(Response::Sotw(DiscoveryResponse {
        type_url: Eds.type_url().into(),
        nonce: "n1".into(),
        resource_errors: vec![ResourceError {
            resource_name: Some(ResourceName { name: "b".into() }),
            error_detail: Some(Code { code: 5, message: "gone".into(), details: vec![] }),
        }],
        ..DiscoveryResponse::default()
    })));
    assert_eq!(said.first(), Some(&missing));
    assert_eq!(bench.status(Eds, "b").refusal.unwrap().reason, "gone");
}

#[test]
fn what_cannot_be_read_at_all_is_waited_for_no_longer_and_takes_nothing_away() {
    let mut bench = Bench::connected(Mode::StateOfTheWorld);
    let missing = |of, name: Option<&str>| Action::Missing {
        of,
        name: name.map(Into::into),
        timed_out: false,
    };
    let unreadable = |of| Event::Unreadable { of, reason: "line 3: what?".to_owned() };
    assert_eq!(bench.step(unreadable(Cds)), [missing(Cds, None)]);
    let names = [missing(Eds, Some("a")), missing(Eds, Some("b"))];
    assert_eq!(bench.step(unreadable(Eds)), names);
    let endpoints = bench.deliver(sotw(Eds, "1", vec![any(Eds, "a", "1")]));
    bench.accept(&endpoints);
    assert_eq!(bench.step(unreadable(Eds)), []);
    let status = bench.status(Eds, "a");
    assert_eq!((status.state, status.version.as_str()), (State::ReceivedError, "1"));
    assert_eq!(status.refusal.unwrap().reason, "line 3: what?");
    bench.step(sotw(Eds, "2", vec![any(Eds, "a", "1")]));
    assert_eq!(bench.status(Eds, "a").state, State::Acked, "a good one makes up for it");
}

#[test]
fn endpoints_in_use_are_not_removed_by_the_server() {
    let mut bench = Bench::connected(Mode::Delta);
    let first = bench.deliver(delta(Eds, "n1", &[("a", "1")], &[]));
    bench.accept(&first);
    let ack = changed(bench.step(delta(Eds, "n2", &[], &["a"])));
    assert_eq!((ack.response_nonce.as_str(), ack.error_detail), ("n2", None));
    assert_eq!(bench.status(Eds, "a").state, State::Acked);
}

#[test]
fn what_nobody_asked_for_is_passed_over() {
    let mut bench = Bench::connected(Mode::StateOfTheWorld);
    let delivery = bench.deliver(sotw(Eds, "1", vec![any(Eds, "a", "1"), any(Eds, "x", "1")]));
    assert_eq!(names(&delivery), ["a"]);
    assert_eq!(bench.step(sotw(Rds, "1", vec![any(Rds, "r", "1")])), []);
}

#[test]
fn a_name_that_occurs_twice_spoils_the_response() {
    let mut bench = Bench::connected(Mode::StateOfTheWorld);
    let nack = asked(bench.step(sotw(Cds, "1", vec![any(Cds, "a", "1"), any(Cds, "a", "2")])));
    assert!(nack.error_detail.unwrap().message.contains("a: the name occurs twice"));
    assert_eq!(nack.version_info, "");
}

#[test]
fn what_cannot_be_read_is_refused_and_deletes_nothing() {
    let mut bench = Bench::connected(Mode::StateOfTheWorld);
    let first = bench.deliver(sotw(Cds, "1", vec![any(Cds, "a", "1"), any(Cds, "b", "1")]));
    bench.accept(&first);
    let broken = Any { type_url: Cds.type_url().into(), value: Bytes::from_static(&[0x0a, 0x7f]) };
    let foreign = any(Rds, "r", "1");
    let second = bench.deliver(sotw(Cds, "2", vec![any(Cds, "a", "2"), broken, foreign]));
    assert_eq!((names(&second), second.removals.len()), (vec!["a"], 0));
    let nack = asked(bench.accept(&second)).error_detail.unwrap().message;
    assert!(nack.contains("resource index 1: ") && nack.contains("resource index 2: "), "{nack}");
    assert_eq!(bench.status(Cds, "a").version, "2", "the valid one counts");
}

#[test]
fn resources_may_come_wrapped() {
    let mut bench = Bench::connected(Mode::StateOfTheWorld);
    let wrapper = Resource {
        name: "a".into(),
        version: "of-its-own".into(),
        resource: Some(any(Cds, "a", "1")),
        ..Resource::default()
    };
    let delivery = bench.deliver(sotw(Cds, "1", vec![Any::pack(&wrapper)]));
    assert_eq!(delivery.upserts[0].body, body("a", "1"));
    bench.accept(&delivery);
    let heartbeat = Resource { name: "a".into(), ..Resource::default() };
    let ack = asked(bench.step(sotw(Cds, "1", vec![Any::pack(&heartbeat)])));
    assert_eq!(ack.error_detail, None);
    assert_eq!(bench.status(Cds, "a").state, State::Acked, "a heartbeat is no absence");
}

#[test]
fn responses_that_come_before_a_verdict_wait_for_it() {
    let mut bench = Bench::connected(Mode::StateOfTheWorld);
    let first = bench.deliver(sotw(Eds, "1", vec![any(Eds, "a", "1")]));
    assert_eq!(bench.step(sotw(Eds, "2", vec![any(Eds, "b", "1")])), []);
    match bench.accept(&first).as_slice() {
        [Action::Send(Request::Sotw(ack)), Action::Deliver(second)] => {
            assert_eq!((ack.response_nonce.as_str(), names(second)), ("n1", vec!["b"]));
        }
        other => panic!("{other:?}"),
    }
}
