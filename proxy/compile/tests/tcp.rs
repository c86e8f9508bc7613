//! What settings of `tcp_proxy` come to.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod fixture;

use std::time::Duration;

use fixture::{Proxy, chain, listener, static_cluster};
use weft_compile::{
    Chain,
    ResourceType::{Cluster as CDS, Listener as LDS},
    Tables, TcpChain,
};
use weft_proto::pb::{
    envoy::{
        config::core::v3::BackoffStrategy,
        extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy::ClusterSpecifier},
        r#type::v3::Percent,
    },
    google::protobuf,
};

const SECOND: Duration = Duration::from_secs(1);

fn seconds(seconds: i64) -> Option<protobuf::Duration> {
    Some(protobuf::Duration { seconds, nanos: 0 })
}

/// What is made of these settings.
fn compiled<T>(settings: TcpProxy, look: impl Fn(&TcpChain) -> T) -> T {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("up", static_cluster("up", &[1]))]);
    let specifier = Some(ClusterSpecifier::Cluster("up".to_owned()));
    let settings =
        TcpProxy { stat_prefix: "t".to_owned(), cluster_specifier: specifier, ..settings };
    let report = proxy.set(LDS, &[("in", listener("in", 1000, vec![chain(&settings)]))]);
    assert!(report.is_accepted(), "{:?}", report.rejected);
    let tables = proxy.tables();
    look(tcp(&tables))
}

fn tcp(tables: &Tables) -> &TcpChain {
    let chain = tables.listener("in").unwrap().chains.only().unwrap();
    let Chain::Tcp(tcp) = &chain.chain else { unreachable!("it is tcp_proxy") };
    tcp
}

#[test]
fn attempts_rest_for_longer_each_time_up_to_the_most() {
    let backoff = BackoffStrategy { base_interval: seconds(1), max_interval: seconds(5) };
    let settings = TcpProxy { backoff_options: Some(backoff), ..TcpProxy::default() };
    compiled(settings, |tcp| {
        assert_eq!(tcp.pause(0, u64::MAX), None, "the first does not wait");
        for (attempt, most) in [(1, 1), (2, 2), (3, 4), (4, 5), (40, 5)] {
            let longest = tcp.pause(attempt, u64::MAX).unwrap();
            assert!(most * SECOND - longest < Duration::from_micros(1), "{attempt}: {longest:?}");
            assert_eq!(tcp.pause(attempt, 0), Some(Duration::ZERO));
        }
    });
    let unset = TcpProxy::default();
    assert_eq!(compiled(unset, |tcp| tcp.pause(3, u64::MAX)), None);
}

#[test]
fn connections_end_later_by_a_part_of_the_jitter() {
    let of = |percent| TcpProxy {
        max_downstream_connection_duration: seconds(10),
        max_downstream_connection_duration_jitter_percentage: percent,
        ..TcpProxy::default()
    };
    let life = |percent, random| compiled(of(percent), |tcp| tcp.longest_life(random).unwrap());
    assert_eq!(life(None, u64::MAX), 10 * SECOND);
    let half = Some(Percent { value: 50.0 });
    assert_eq!(life(half, 0), 10 * SECOND);
    assert_eq!(life(half, 1 << 63), 12 * SECOND + SECOND / 2);
    assert!(15 * SECOND - life(half, u64::MAX) < Duration::from_micros(1));
}
