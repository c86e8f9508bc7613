//! The server's machine among clients of every kind, over every interleaving that chance finds:
//! both modes, subscriptions that come and go, refusals, lies, streams that break and come back in
//! the other mode. Nothing is in order here but the bytes of one stream.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod crowd;
#[expect(dead_code, reason = "its world of one client is for another test")]
mod world;

use std::time::Duration;

use crowd::{Crowd, Op};
use proptest::prelude::*;

fn op() -> impl Strategy<Value = Op> {
    let change = (any::<u8>(), any::<u8>(), 0_u8..8)
        .prop_map(|(kind, which, content)| Op::Change { kind, which, content });
    let subscribe = (any::<u8>(), any::<u8>(), any::<u8>())
        .prop_map(|(client, of, names)| Op::Subscribe { client, of, names });
    let reconnect = (any::<u8>(), any::<bool>(), any::<bool>())
        .prop_map(|(client, delta, remembers)| Op::Reconnect { client, delta, remembers });
    prop_oneof![
        6 => change,
        12 => any::<u8>().prop_map(Op::ToServer),
        12 => any::<u8>().prop_map(Op::ToClient),
        4 => subscribe,
        1 => reconnect,
        1 => (any::<u8>(), any::<u8>()).prop_map(|(client, of)| Op::Lie { client, of }),
        1 => (0_u64..6000).prop_map(|millis| Op::Pass(Duration::from_millis(millis))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every client ends with what it subscribes to, but for what it refuses, and then nobody says
    /// anything. On the way, no stream ever has two responses of a type without a verdict, and no
    /// nonce is given twice: the crowd checks both whenever something is sent.
    #[test]
    fn every_client_converges_and_then_all_are_silent(
        clients in prop::collection::vec((any::<bool>(), any::<bool>()), 1..4),
        ops in prop::collection::vec(op(), 0..200),
    ) {
        let mut crowd = Crowd::new(&clients);
        for op in ops {
            crowd.play(op);
        }
        crowd.settle();
        crowd.assert_converged();
        let sent = crowd.responses;
        crowd.offer();
        crowd.settle();
        prop_assert_eq!(crowd.responses, sent, "something was said though nothing had changed");
    }
}
