//! Endpoints of `ORIGINAL_DST` clusters, which come into being when a request asks for them.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName};
use weft_balance::{EndpointAddress, EndpointState};
use weft_compile::{Cluster, ClusterId, ConnectionSettings, HostCache, OriginalDestination};

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
        let kept_for = match (&cluster.original_destination, &cluster.dynamic_hosts) {
            (Some(rule), _) => rule.cleanup_interval,
            (None, Some(hosts)) => hosts.settings().kept_for,
            (None, None) => return None,
        };
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

/// Where the host of an authority is, which was looked up, or is an address: one way and the others.
pub(crate) fn named(hosts: &HostCache, authority: &str) -> Option<Vec<SocketAddr>> {
    let (host, port) = host_of(authority);
    let port = port.unwrap_or(80);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(vec![SocketAddr::new(ip, port)]);
    }
    let addresses = hosts.addresses(&host.to_ascii_lowercase())?;
    Some(addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
}

/// The host of an authority, without the brackets of an IPv6 address, and its port.
pub(crate) fn host_of(authority: &str) -> (&str, Option<u16>) {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').unwrap_or((rest, ""));
            (host, rest.strip_prefix(':'))
        }
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    (host, port.and_then(|port| port.parse().ok()))
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
    fn authorities_have_hosts_and_ports() {
        assert_eq!(host_of("a.test"), ("a.test", None));
        assert_eq!(host_of("a.test:8080"), ("a.test", Some(8080)));
        assert_eq!(host_of("[::1]"), ("::1", None));
        assert_eq!(host_of("[::1]:80"), ("::1", Some(80)));
        assert_eq!(host_of("a.test:"), ("a.test", None));
        assert_eq!(host_of("a.test:99999"), ("a.test", None));
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
