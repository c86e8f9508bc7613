//! Endpoints of `ORIGINAL_DST` clusters, which come into being when a request asks for them.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName};
use weft_balance::{EndpointAddress, EndpointState};
use weft_compile::{Cluster, ClusterId, ConnectionSettings, OriginalDestination};

/// Destinations that a worker remembers at a time: callers who name them themselves must not fill
/// its memory.
const MOST: usize = 16 * 1024;

/// The destinations of one worker.
#[derive(Debug, Default)]
pub(crate) struct OriginalEndpoints {
    known: RefCell<HashMap<(ClusterId, SocketAddr), Known, foldhash::fast::RandomState>>,
}

#[derive(Debug)]
struct Known {
    endpoint: Arc<EndpointState>,
    /// With other settings it is another endpoint, and its connections are not used any more.
    settings: Arc<ConnectionSettings>,
    last_asked: Instant,
    kept_for: Duration,
}

impl OriginalEndpoints {
    /// The endpoint at an address; `None` when there are too many.
    pub(crate) fn at(
        &self,
        cluster: &Cluster,
        address: SocketAddr,
        now: Instant,
    ) -> Option<Arc<EndpointState>> {
        let kept_for = cluster.original_destination.as_ref()?.cleanup_interval;
        let mut known = self.known.borrow_mut();
        let key = (cluster.id, address);
        let is_full = known.len() >= MOST;
        match known.get_mut(&key) {
            Some(found) if Arc::ptr_eq(&found.settings, &cluster.connection) => {
                found.last_asked = now;
                return Some(Arc::clone(&found.endpoint));
            }
            None if is_full => return None,
            _ => {}
        }
        let endpoint = EndpointState::new(EndpointAddress::Ip(address));
        let settings = Arc::clone(&cluster.connection);
        let made = Known { endpoint: Arc::clone(&endpoint), settings, last_asked: now, kept_for };
        known.insert(key, made);
        Some(endpoint)
    }

    /// Forgets what nobody has asked for, and nobody uses.
    pub(crate) fn sweep(&self, now: Instant) {
        self.known.borrow_mut().retain(|_, known| {
            let unused = now.saturating_duration_since(known.last_asked);
            unused < known.kept_for || known.endpoint.active_requests() > 0
        });
    }
}

/// Where a request is to go: as its header says, or else where its connection was going. `Err` is a
/// header that names no address.
pub(crate) fn destination(
    rule: &OriginalDestination,
    headers: &HeaderMap,
    meant_for: Option<SocketAddr>,
) -> Result<Option<SocketAddr>, ()> {
    let header = rule.header.as_deref().and_then(|name| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.get(name)
    });
    let named = match header {
        Some(value) => Some(value.to_str().map_err(|_| ())?.parse().map_err(|_| ())?),
        None => meant_for,
    };
    Ok(named.map(|mut address: SocketAddr| {
        if let Some(port) = rule.port {
            address.set_port(port);
        }
        address
    }))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use prost::Message as _;
    use weft_compile::{Compiler, ResourceType, Update, Upsert};
    use weft_proto::pb::{
        envoy::config::cluster::v3::{
            Cluster as Message,
            cluster::{ClusterDiscoveryType, DiscoveryType, LbPolicy},
        },
        google::protobuf,
    };
    use weft_telemetry::Stats;

    use super::*;

    /// An `ORIGINAL_DST` cluster that forgets after so many seconds.
    fn cluster(cleanup_seconds: i64) -> Arc<Cluster> {
        let kind = ClusterDiscoveryType::Type(DiscoveryType::OriginalDst.into());
        let message = Message {
            name: "any".to_owned(),
            cluster_discovery_type: Some(kind),
            lb_policy: LbPolicy::ClusterProvided.into(),
            cleanup_interval: Some(protobuf::Duration { seconds: cleanup_seconds, nanos: 0 }),
            ..Message::default()
        };
        let value = message.encode_to_vec().into();
        let upsert = Upsert { name: Arc::from("any"), version: Arc::from("1"), value };
        let mut compiler = Compiler::new(Stats::new(Instant::now()));
        let update = Update::fixed(ResourceType::Cluster, vec![upsert]);
        let report = compiler.apply(&update, std::time::SystemTime::now());
        assert!(report.is_accepted(), "{:?}", report.rejected);
        let tables = compiler.tables();
        Arc::clone(tables.cluster(tables.cluster_named("any").unwrap()).unwrap())
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten_after_the_interval() {
        let (cluster, endpoints, begun) =
            (cluster(7), OriginalEndpoints::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let address: SocketAddr = "10.0.0.1:80".parse().unwrap();
        let first = endpoints.at(&cluster, address, at(0)).unwrap();
        endpoints.sweep(at(6));
        let again = endpoints.at(&cluster, address, at(6)).unwrap();
        assert!(Arc::ptr_eq(&first, &again), "kept for seven seconds");
        endpoints.sweep(at(12));
        assert_eq!(endpoints.known.borrow().len(), 1, "counted from when it was asked for last");
        endpoints.sweep(at(13));
        assert_eq!(endpoints.known.borrow().len(), 0);
    }

    #[test]
    fn headers_come_before_connections() {
        let rule = |header: Option<&str>, port| OriginalDestination {
            header: header.map(Into::into),
            port,
            cleanup_interval: Duration::from_secs(5),
        };
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let meant_for = Some(address("10.0.0.1:80"));
        let mut headers = HeaderMap::new();
        headers.insert("x-to", HeaderValue::from_static("[2001:db8::1]:8080"));
        let by_header = rule(Some("x-to"), None);
        assert_eq!(
            destination(&by_header, &headers, meant_for),
            Ok(Some(address("[2001:db8::1]:8080")))
        );
        let port = rule(Some("x-to"), Some(9));
        assert_eq!(destination(&port, &headers, None), Ok(Some(address("[2001:db8::1]:9"))));
        assert_eq!(destination(&rule(None, None), &headers, meant_for), Ok(meant_for));
        assert_eq!(destination(&by_header, &HeaderMap::new(), meant_for), Ok(meant_for));
        assert_eq!(destination(&by_header, &HeaderMap::new(), None), Ok(None));
        for wrong in ["", "10.0.0.1", "name.test:80", "10.0.0.1:99999", "1.2.3.4:80, 5.6.7.8:80"] {
            headers.insert("x-to", HeaderValue::try_from(wrong).unwrap());
            assert_eq!(destination(&by_header, &headers, meant_for), Err(()), "{wrong:?}");
        }
    }
}
