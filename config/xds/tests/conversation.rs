//! Client and server against each other, over every interleaving that chance finds: messages in
//! flight, verdicts that take their time, streams that break, resources that are refused.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod world;

use std::time::Duration;

use proptest::prelude::*;
use weft_xds::{Mode, ResourceType};
use world::{Op, World};

fn op(faults: bool) -> impl Strategy<Value = Op> {
    let change = (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(move |(kind, which, content)| {
        // Content 0 is what the client refuses.
        let content = if faults { content % 8 } else { content % 7 + 1 };
        Op::Change { kind, which, content }
    });
    let fault = if faults { 1 } else { 0 };
    prop_oneof![
        6 => change,
        12 => any::<u8>().prop_map(Op::ToServer),
        12 => any::<u8>().prop_map(Op::ToClient),
        12 => any::<u8>().prop_map(Op::Judge),
        fault => any::<u8>().prop_map(Op::Cut),
        fault => any::<u8>().prop_map(Op::Leave),
        fault => (0_u64..3000).prop_map(|millis| Op::Pass(Duration::from_millis(millis))),
    ]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::StateOfTheWorld), Just(Mode::Delta)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, the client ends with what the server offers, but for what it refuses, and
    /// then both are silent.
    #[test]
    fn converges_and_falls_silent(mode in mode(), ops in prop::collection::vec(op(true), 0..150)) {
        let mut world = World::new(mode);
        for op in ops {
            world.play(op);
        }
        world.settle(true);
        world.assert_converged();
        let sent = world.messages;
        world.offer_equal();
        world.settle(true);
        prop_assert_eq!(world.messages, sent, "something was said though nothing had changed");
    }

    /// Without faults, no route at the client ever names a cluster that is absent or has no
    /// endpoints, and nothing has to wait for time to pass.
    #[test]
    fn makes_before_it_breaks(mode in mode(), ops in prop::collection::vec(op(false), 0..150)) {
        let mut world = World::new(mode);
        world.assert_order = true;
        for op in ops {
            world.play(op);
        }
        world.settle(false);
        world.assert_converged();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// With a source for each type, each in a variant of its own, nothing keeps any order between
    /// them: what one says of names and what another says of their content cross each other. All
    /// the same they end with what is offered, and fall silent.
    #[test]
    fn several_sources_converge_and_fall_silent(
        modes in [mode(), mode(), mode(), mode()],
        ops in prop::collection::vec(op(true), 0..200),
    ) {
        let mut world = World::split(modes);
        for op in ops {
            world.play(op);
        }
        world.settle(true);
        world.assert_converged();
        let sent = world.messages;
        world.offer_equal();
        world.settle(true);
        prop_assert_eq!(world.messages, sent, "something was said though nothing had changed");
    }
}

/// Ten thousand clusters in one update, then their ten thousand names in one request.
#[test]
fn ten_thousand_clusters_in_one_update() {
    for mode in [Mode::StateOfTheWorld, Mode::Delta] {
        let mut world = World::new(mode);
        world.model.clusters = (0..10_000).map(|n| (format!("cluster-{n}"), 1)).collect();
        world.model.endpoints = world.model.clusters.clone();
        world.offer_equal();
        world.settle(false);
        world.assert_converged();
        assert_eq!(world.applied(ResourceType::Endpoint).len(), 10_000);
        // Three for each of clusters, endpoints and listeners: request, response, verdict; in
        // delta mode the answer that there are no listeners is no less.
        assert!(world.messages <= 9, "{} messages", world.messages);
        // Half a second unoptimised. A quadratic step anywhere would take minutes.
        let spent = world.spent;
        assert!(spent < Duration::from_secs(10), "{mode:?}: {spent:?}");
        println!("{mode:?}: {spent:?}");
    }
}
