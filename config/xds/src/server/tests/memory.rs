//! What a client refused is remembered from stream to stream.

use super::*;

/// The stream with which a client comes back that was refusing on another one.
fn returned(before: &Bench) -> Bench {
    let mut bench = Bench::new(before.mode);
    bench.stream = Stream::new(before.mode, Scope::Aggregated, Timing::default())
        .remembering(&before.stream.refusals());
    bench.snapshot = before.snapshot.clone();
    bench.offer();
    bench
}

/// The first request for a type of a client that holds something of an earlier stream.
fn hello(bench: &mut Bench, of: ResourceType, held: &[(&str, &str)]) -> Vec<Told> {
    let held = resources(of, held);
    let versions = held.iter().map(|(name, each)| (name.to_string(), each.version().to_string()));
    let type_url = of.type_url().to_owned();
    let request = match bench.mode {
        Mode::StateOfTheWorld => Request::Sotw(DiscoveryRequest {
            type_url,
            version_info: held.version().to_string(),
            ..DiscoveryRequest::default()
        }),
        Mode::Delta => Request::Delta(DeltaDiscoveryRequest {
            type_url,
            initial_resource_versions: versions.collect(),
            ..DeltaDiscoveryRequest::default()
        }),
    };
    bench.step(Event::Request(request))
}

#[test]
fn what_a_client_refused_stays_back_on_its_next_stream_until_it_changes() {
    for mode in MODES {
        let mut before = settled(mode);
        before.set(Cds, &[("a", "1"), ("b", "bad")]);
        let sent = before.offer();
        let again = before.refuse(&sent[0], &[], "cluster b: no");
        assert!(again.is_empty(), "its neighbours are as they were");

        let mut bench = returned(&before);
        let told = hello(&mut bench, Cds, &[("a", "1"), ("b", "1")]);
        let cds = only(told);
        let full = mode == Mode::StateOfTheWorld;
        // A full set has the last good one of b.
        assert_eq!(contents(&cds), if full { vec!["a", "b"] } else { vec![] });
        bench.ack(&cds, &[]);
        let held: Vec<_> = bench.stream.quarantined().collect();
        let [(of, name, refusal, _)] = &held[..] else { panic!("one is refused: {held:?}") };
        assert_eq!((*of, &***name, &*refusal.reason), (Cds, "b", "cluster b: no"));

        bench.set(Cds, &[("a", "1"), ("b", "2")]);
        let healed = bench.offer();
        assert!(contents(&healed[0]).contains(&"b"));
        bench.ack(&healed[0], &[]);
        assert_eq!(bench.stream.quarantined().count(), 0);
        assert!(bench.stream.refusals().is_empty());
    }
}

#[test]
fn who_starts_anew_is_told_everything() {
    for mode in MODES {
        let mut before = settled(mode);
        before.set(Cds, &[("a", "1"), ("b", "bad")]);
        let sent = before.offer();
        before.refuse(&sent[0], &[], "cluster b: no");
        let mut bench = returned(&before);
        assert_eq!(contents(&only(bench.ask(Cds, &[], ""))), ["a", "b"]);
        assert_eq!(bench.stream.quarantined().count(), 0);
    }
}

#[test]
fn a_client_that_accepted_nothing_of_a_type_is_known_by_another() {
    for mode in MODES {
        let mut before = settled(mode);
        before.set(Lds, &[("bad", "1")]);
        let mut said = before.offer();
        // It refuses whatever carries the bad one, and takes the rest.
        while let Some(told) = said.pop() {
            said.extend(if contents(&told).contains(&"bad") {
                before.refuse(&told, &[], "listener bad: no")
            } else {
                before.ack(&told, &[])
            });
        }
        let mut bench = returned(&before);
        hello(&mut bench, Cds, &[("a", "1"), ("b", "1")]);
        let told = bench.ask(Lds, &[], "");
        assert!(told.iter().all(|told| !contents(told).contains(&"bad")), "{told:?}");
        assert_eq!(bench.stream.quarantined().count(), 1);
    }
}

#[test]
fn newer_streams_say_what_is_still_refused() {
    let mut before = settled(Mode::Delta);
    before.set(Cds, &[("a", "1"), ("b", "bad")]);
    let sent = before.offer();
    before.refuse(&sent[0], &[], "cluster b: no");
    let mut kept = before.stream.refusals();
    assert!(!kept.is_empty());
    kept.update(Stream::new(Mode::Delta, Scope::Aggregated, Timing::default()).refusals());
    assert!(!kept.is_empty(), "it has not asked for clusters");
    kept.update(settled(Mode::Delta).stream.refusals());
    assert!(kept.is_empty());
}
