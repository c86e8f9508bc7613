//! How requests are treated on their way: how long they may take, what is tried again, and what
//! makes two of them equal.

use std::time::Duration;

use weft_config::model::policy::{HashOn, TrafficSettings};
use weft_config::model::route::MirrorShare;
use weft_config::model::service::Protocol;
use weft_config::{Backend, BoundMirror, BoundRule, Key, Mesh};
use weft_proto::pb::envoy::config::core::v3 as core;
use weft_proto::pb::envoy::config::route::v3 as route;
use weft_proto::pb::envoy::config::route::v3::route_action::hash_policy::{
    ConnectionProperties, Cookie, Header, PolicySpecifier, QueryParameter,
};
use weft_proto::pb::envoy::config::route::v3::route_action::{HashPolicy, RequestMirrorPolicy};
use weft_proto::pb::envoy::r#type::v3::FractionalPercent;
use weft_proto::pb::envoy::r#type::v3::fractional_percent::DenominatorType;

use crate::retry::Tries;
use crate::route::backend_cluster;
use crate::wire::duration;

/// How long a request to an `http` port may take when its rule does not say.
const HTTP_TIMEOUT: Duration = Duration::from_secs(15);

/// What holds for requests to a port, as far as no rule says otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Treatment<'a> {
    mesh: &'a Mesh,
    settings: TrafficSettings,
    protocol: Protocol,
}

impl<'a> Treatment<'a> {
    /// Of a port of a Service.
    pub(crate) fn of(mesh: &'a Mesh, service: &Key, protocol: Protocol) -> Self {
        Self { mesh, settings: mesh.settings(service, None), protocol }
    }

    /// Of what belongs to no Service.
    pub(crate) fn by_default(mesh: &'a Mesh, protocol: Protocol) -> Self {
        let settings = mesh.config().map(|config| config.defaults.clone()).unwrap_or_default();
        Self { mesh, settings, protocol }
    }

    /// The action for requests to this very port.
    pub(crate) fn forward(&self) -> route::RouteAction {
        let timeout = self.settings.timeouts.request.unwrap_or(self.default_timeout());
        let tries = Tries::of_policy(&self.settings.retries);
        let hash_policy = hash_policies(hash_on(&self.settings));
        self.action(timeout, self.settings.retries.per_try_timeout, tries, hash_policy)
    }

    /// The action of a rule, without its destination.
    pub(crate) fn forward_by(&self, rule: &BoundRule) -> route::RouteAction {
        let timeout = rule.timeout.or(self.settings.timeouts.request);
        let per_try = rule.try_timeout.or(self.settings.retries.per_try_timeout);
        let tries = Tries::of(rule, &self.settings.retries);
        let hash_policy = hash_policies(&self.told_apart_by(&rule.backends));
        let timeout = timeout.unwrap_or(self.default_timeout());
        route::RouteAction {
            request_mirror_policies: rule.mirrors.iter().map(mirror_policy).collect(),
            ..self.action(timeout, per_try.filter(|time| !time.is_zero()), tries, hash_policy)
        }
    }

    fn action(
        &self,
        timeout: Duration,
        per_try: Option<Duration>,
        tries: Option<Tries<'_>>,
        hash_policy: Vec<HashPolicy>,
    ) -> route::RouteAction {
        let timeout = match (&tries, per_try) {
            // The only try there is ends the request.
            (None, Some(per_try)) if timeout.is_zero() || per_try < timeout => per_try,
            _ => timeout,
        };
        route::RouteAction {
            retry_policy: tries.map(|tries| tries.for_proxies(per_try)),
            hash_policy,
            ..within(timeout)
        }
    }

    fn default_timeout(&self) -> Duration {
        if self.protocol.is_http2() { Duration::ZERO } else { HTTP_TIMEOUT }
    }

    /// What the first of the destinations that hashes tells requests apart by.
    fn told_apart_by(&self, backends: &[Backend]) -> Vec<HashOn> {
        let mut all = backends
            .iter()
            .map(|backend| self.mesh.settings(&backend.service, backend.subset.as_deref()));
        all.find_map(|settings| Some(hash_on(&settings).to_vec()).filter(|on| !on.is_empty()))
            .unwrap_or_default()
    }
}

/// An action that ends requests when this time is over; zero lets them go on for ever.
pub(crate) fn within(timeout: Duration) -> route::RouteAction {
    route::RouteAction {
        timeout: Some(duration(timeout)),
        // Otherwise the connection manager's five minutes would end a quiet stream.
        idle_timeout: timeout.is_zero().then(|| duration(Duration::ZERO)),
        ..Default::default()
    }
}

fn mirror_policy(mirror: &BoundMirror) -> RequestMirrorPolicy {
    let fraction = |share: MirrorShare| core::RuntimeFractionalPercent {
        default_value: Some(FractionalPercent {
            numerator: share.per_million(),
            denominator: DenominatorType::Million.into(),
        }),
        ..Default::default()
    };
    RequestMirrorPolicy {
        cluster: backend_cluster(&mirror.to),
        runtime_fraction: mirror.share.map(fraction),
        ..Default::default()
    }
}

/// What requests are told apart by.
pub(crate) fn hash_on(settings: &TrafficSettings) -> &[HashOn] {
    settings.load_balancer.policy.as_ref().map_or(&[], |policy| policy.hash_on())
}

fn hash_policies(on: &[HashOn]) -> Vec<HashPolicy> {
    on.iter().map(hash_policy).collect()
}

/// One thing that makes requests equal, in the words of `RouteAction`.
pub(crate) fn hash_policy(on: &HashOn) -> HashPolicy {
    let specifier = match on {
        HashOn::Header(name) => {
            PolicySpecifier::Header(Header { header_name: name.clone(), ..Default::default() })
        }
        HashOn::Cookie(cookie) => PolicySpecifier::Cookie(Cookie {
            name: cookie.name.clone(),
            ttl: cookie.ttl.map(duration),
            path: cookie.path.clone().unwrap_or_default(),
            ..Default::default()
        }),
        HashOn::QueryParameter(name) => {
            PolicySpecifier::QueryParameter(QueryParameter { name: name.clone() })
        }
        HashOn::SourceAddress {} => {
            PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true })
        }
    };
    HashPolicy { policy_specifier: Some(specifier), ..Default::default() }
}
