//! Resources that live only as long as their server says so again.

use super::*;

/// Clusters that live for a while, in either mode: `None` only refreshes.
fn mortal(mode: Mode, version: &str, set: &[(&str, Option<&str>, i64)]) -> Event {
    let resources: Vec<Resource> = set
        .iter()
        .map(|&(name, content, seconds)| Resource {
            name: name.into(),
            version: if mode == Mode::Delta { version.into() } else { String::new() },
            resource: content.map(|content| any(Cds, name, content)),
            ttl: (seconds > 0).then_some(weft_proto::discovery::Duration { seconds, nanos: 0 }),
            ..Resource::default()
        })
        .collect();
    match mode {
        Mode::Delta => Event::Response(Response::Delta(DeltaDiscoveryResponse {
            resources,
            type_url: Cds.type_url().into(),
            nonce: version.into(),
            ..DeltaDiscoveryResponse::default()
        })),
        Mode::StateOfTheWorld => {
            let wrapped = resources.iter().map(|resource| Any {
                type_url: <Resource as prost::Name>::type_url(),
                value: resource.encode_to_vec().into(),
            });
            sotw(Cds, version, wrapped.collect())
        }
    }
}

#[test]
fn what_is_not_refreshed_in_its_time_is_removed() {
    for mode in [Mode::StateOfTheWorld, Mode::Delta] {
        let mut bench = Bench::connected(mode);
        let set = [("a", Some("1"), 4), ("b", Some("1"), 4), ("c", Some("1"), 0)];
        let delivery = bench.deliver(mortal(mode, "1", &set));
        assert_eq!(names(&delivery), ["a", "b", "c"]);
        bench.accept(&delivery);
        let began = bench.now;
        assert_eq!(bench.client.deadline(), Some(began + Duration::from_secs(4)));
        // A response that does nothing but refresh takes nothing away, and is acknowledged.
        bench.now += Duration::from_secs(3);
        let actions = bench.step(mortal(mode, "1", &[("a", None, 4)]));
        assert!(matches!(&actions[..], [Action::Send(_)]), "{actions:?}");
        bench.now = began + Duration::from_secs(4);
        let delivery = bench.deliver(Event::Tick);
        let removed: Vec<&str> = delivery.removals.iter().map(|name| &**name).collect();
        assert_eq!((removed, delivery.upserts.len()), (vec!["b"], 0));
        assert_eq!(bench.accept(&delivery), [], "no server waits for an answer");
        assert_eq!(bench.client.deadline(), Some(began + Duration::from_secs(7)));
        // Without a time to live it stays for good.
        let set = [("a", Some("2"), 0), ("c", Some("1"), 0)];
        let delivery = bench.deliver(mortal(mode, "2", &set));
        bench.accept(&delivery);
        // What is left is the wait for lists that never came.
        assert_eq!(bench.client.deadline(), Some(began + Duration::from_secs(15)));
    }
}

#[test]
fn time_goes_on_while_nobody_is_connected() {
    let mut bench = Bench::connected(Mode::Delta);
    let delivery = bench.deliver(mortal(Mode::Delta, "1", &[("a", Some("1"), 10)]));
    bench.accept(&delivery);
    bench.step(Event::Disconnected { random: 0 });
    bench.now += Duration::from_secs(10);
    let delivery = bench.deliver(Event::Tick);
    bench.accept(&delivery);
    let claimed: Vec<_> = bench
        .step(Event::Connected)
        .into_iter()
        .flat_map(|action| changed(vec![action]).initial_resource_versions)
        .collect();
    assert_eq!(claimed, []);
}
