//! How requests are treated on their way: how long they may take, what is tried again, and what
//! makes two of them equal.

use std::time::Duration;

use weft_config::model::policy::{HashOn, TrafficSettings};
use weft_config::model::service::Protocol;
use weft_config::{Backend, BoundRule, Key, Mesh};
use weft_proto::pb::envoy::config::route::v3 as route;
use weft_proto::pb::envoy::config::route::v3::route_action::HashPolicy;
use weft_proto::pb::envoy::config::route::v3::route_action::hash_policy::{
    ConnectionProperties, Cookie, Header, PolicySpecifier, QueryParameter,
};
use weft_proto::pb::google::protobuf::Any;

use crate::listener::everything;
use crate::priority::with_priority;
use crate::retry::Tries;
use crate::wire::duration;

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

    /// The routes, with those of the requests that are refused last.
    pub(crate) fn with_priority(&self, routes: Vec<route::Route>) -> Vec<route::Route> {
        with_priority(routes, &self.settings.high_priority)
    }

    /// The action for requests to this very port.
    pub(crate) fn forward(&self) -> route::RouteAction {
        let timeout = self.lasts(self.settings.timeouts.request);
        let tries = Tries::of_policy(&self.settings.retries);
        let hash_policy = hash_policies(hash_on(&self.settings));
        self.action(timeout, self.settings.retries.per_try_timeout, tries, hash_policy)
    }

    /// The action of a rule, without its destination.
    pub(crate) fn forward_by(&self, rule: &BoundRule) -> route::RouteAction {
        let timeout = rule.timeout.or(self.settings.timeouts.request);
        let per_try = rule.try_timeout.or(self.settings.retries.per_try_timeout);
        let tries = Tries::of(rule, &self.settings.retries);
        let hash_policy = match rule.split_on.as_slice() {
            [] => hash_policies(&self.told_apart_by(&rule.backends)),
            // One hash decides of both, the backend and its endpoint.
            split_on => hash_policies(split_on),
        };
        route::RouteAction {
            request_mirror_policies: crate::mirroring::policies(rule),
            ..self.action(
                self.lasts(timeout),
                per_try.filter(|time| !time.is_zero()),
                tries,
                hash_policy,
            )
        }
    }

    fn action(
        &self,
        lasts: Lasts,
        per_try: Option<Duration>,
        tries: Option<Tries<'_>>,
        hash_policy: Vec<HashPolicy>,
    ) -> route::RouteAction {
        let lasts = match (&tries, per_try, lasts) {
            // The only try there is ends the request.
            (None, Some(per_try), Lasts::AtMost(limit)) => Lasts::AtMost(per_try.min(limit)),
            (None, Some(per_try), _) => Lasts::AtMost(per_try),
            _ => lasts,
        };
        let base = lasting(lasts);
        let times = self.settings.timeouts;
        let most = times.max_stream.map(|most| match lasts {
            Lasts::AtMost(limit) => duration(most.min(limit)),
            Lasts::WhileAlive | Lasts::ForEver => duration(most),
        });
        // No call goes on for longer either, whatever its caller asks for.
        let of_stream = most.map(|most| route::route_action::MaxStreamDuration {
            max_stream_duration: Some(most),
            grpc_timeout_header_max: Some(most),
            ..Default::default()
        });
        route::RouteAction {
            retry_policy: tries.map(|tries| tries.for_proxies(per_try)),
            hash_policy,
            idle_timeout: times.stream_idle.map(duration).or(base.idle_timeout),
            max_stream_duration: of_stream.or(base.max_stream_duration),
            ..base
        }
    }

    /// What routes say to filters, by their names.
    pub(crate) fn filters(&self) -> impl Iterator<Item = (String, Any)> {
        let fault = self.settings.fault.iter().map(crate::fault::of_route);
        fault.chain(self.settings.stickiness.iter().map(crate::stickiness::of_route))
    }

    /// A route for every request, with this action.
    pub(crate) fn everything(&self, name: &str, action: route::RouteAction) -> route::Route {
        route::Route {
            typed_per_filter_config: self.filters().collect(),
            ..everything(name, action)
        }
    }

    /// A stream may live as long as it likes, unless somebody has said otherwise: nobody can tell a
    /// live stream over HTTP/1.1 from a slow answer. Streams of calls may even say nothing for long.
    fn lasts(&self, said: Option<Duration>) -> Lasts {
        match said {
            Some(limit) if limit.is_zero() => Lasts::ForEver,
            Some(limit) => Lasts::AtMost(limit),
            None if self.protocol.is_http2() => Lasts::ForEver,
            None => Lasts::WhileAlive,
        }
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

/// How long a request with its answer may last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lasts {
    AtMost(Duration),
    /// Until nothing has moved for the connection manager's five minutes.
    WhileAlive,
    ForEver,
}

/// An action that lets requests last so long, and those that bring a `grpc-timeout` no longer than
/// that says.
#[expect(deprecated, reason = "the newer field takes `timeout` away from all requests")]
pub(crate) fn lasting(lasts: Lasts) -> route::RouteAction {
    let zero = || Some(duration(Duration::ZERO));
    if let Lasts::AtMost(limit) = lasts {
        // Not by `max_stream_duration`: beside that `timeout` means nothing, and it ends tunnels, too.
        let limit = Some(duration(limit));
        return route::RouteAction {
            timeout: limit,
            max_grpc_timeout: limit,
            ..Default::default()
        };
    }
    route::RouteAction {
        timeout: zero(),
        idle_timeout: zero().filter(|_| matches!(lasts, Lasts::ForEver)),
        max_stream_duration: Some(route::route_action::MaxStreamDuration {
            grpc_timeout_header_max: zero(),
            ..Default::default()
        }),
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
