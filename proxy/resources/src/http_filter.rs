//! `http_filters`: what a request passes on its way to the router, and its response on the way back;
//! and `typed_per_filter_config`, what routes say to these filters.

mod adaptive_concurrency;
mod cors;
pub(crate) mod descriptors;
mod fault;
mod local_rate_limit;
mod mutations;
pub(crate) mod rate_limit;
mod stateful_session;

use std::sync::Arc;

use prost::Name;
use weft_proto::pb::envoy::{
    config::route::v3 as route,
    extensions::filters::{
        http::{
            adaptive_concurrency::v3::AdaptiveConcurrency as AdaptiveConcurrencyMessage,
            buffer::v3::{self as buffer, Buffer, BufferPerRoute},
            cors::v3::{Cors, CorsPolicy as CorsPolicyMessage},
            dynamic_forward_proxy::v3::FilterConfig as DynamicForwardProxy,
            fault::v3::HttpFault,
            grpc_stats::v3::FilterConfig as GrpcStats,
            grpc_web::v3::GrpcWeb,
            header_mutation::v3::{HeaderMutation, HeaderMutationPerRoute},
            local_ratelimit::v3::LocalRateLimit as LocalRateLimitMessage,
            ratelimit::v3::{RateLimit as RateLimitMessage, RateLimitPerRoute},
            router::v3::Router,
            stateful_session::v3::{StatefulSession, StatefulSessionPerRoute},
        },
        network::http_connection_manager::v3 as wire,
    },
};
use weft_proto::{
    limits::RateLimitHeaders, mirroring::Mirroring as MirroringMessage, pb::google::protobuf::Any,
};

pub(crate) use self::mutations::changes;
pub use self::{
    adaptive_concurrency::AdaptiveConcurrency,
    cors::CorsPolicy,
    descriptors::{
        DescriptorPart, DescriptorRule, HitsRule, HitsSource, MOST_HITS, RouteDescriptors,
    },
    fault::{Aborted, FaultRules, Injection},
    local_rate_limit::{HostDescriptors, LocalRateLimit},
    mutations::{HeaderChange, MessageMutations, QueryChange, TrailerChange},
    rate_limit::{GlobalRateLimit, RequestType, RouteRateLimit},
    stateful_session::{SessionRules, SessionState},
};
use crate::{
    dynamic_hosts, extension,
    mirror::{self, Mirroring},
    path::At,
    problem::{Notes, Problem},
};

/// A filter before the router.
#[derive(Debug)]
pub struct HttpFilter {
    /// `name`, by which routes speak to it.
    pub name: Box<str>,
    /// `disabled`: only for routes that enable it.
    pub disabled: bool,
    /// What it does.
    pub kind: HttpFilterKind,
}

/// What a filter does with each message.
#[derive(Debug)]
pub enum HttpFilterKind {
    /// `header_mutation`: changes headers, query parameters and trailers.
    HeaderMutation {
        /// `mutations`, made before those of routes.
        always: Arc<MessageMutations>,
        /// `most_specific_header_mutations_wins`: the route's own come last.
        most_specific_wins: bool,
    },
    /// `cors`: does nothing but what the policies of routes say.
    Cors,
    /// `buffer`: holds a request back until it is here as a whole.
    Buffer {
        /// `max_request_bytes`: a longer body is refused (413).
        max_bytes: usize,
    },
    /// `grpc_web`: between gRPC-Web and gRPC.
    GrpcWeb,
    /// `fault`: delays requests and fails them on purpose.
    Fault(FaultRules),
    /// `local_ratelimit`: refuses requests that come too often.
    LocalRateLimit(Arc<LocalRateLimit>),
    /// `stateful_session`: keeps the requests of a session together, where there are sessions.
    StatefulSession(Option<Arc<SessionRules>>),
    /// `ratelimit`: asks a service whether requests may go on.
    GlobalRateLimit(Arc<GlobalRateLimit>),
    /// `weft.limits.v1.RateLimitHeaders`: limits say what is left of them in standard fields.
    RateLimitHeaders,
    /// `adaptive_concurrency`: refuses requests while as many as may be are under way.
    AdaptiveConcurrency(Arc<AdaptiveConcurrency>),
    /// `dynamic_forward_proxy`: holds a request until the host that it names was looked up, where its
    /// cluster goes by that.
    DynamicForwardProxy,
}

/// What one level (route configuration, virtual host, route or weighted cluster) says to a filter.
#[derive(Clone, Debug)]
pub struct FilterRule {
    /// The filter's name.
    name: Box<str>,
    /// Whether the filter is left out.
    disabled: bool,
    /// Settings besides; `None` where an extension that is not known may be ignored.
    settings: Option<Arc<FilterSettings>>,
}

impl FilterRule {
    /// The filter's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What is said to it.
    pub(crate) fn settings(&self) -> Option<&FilterSettings> {
        self.settings.as_deref()
    }
}

/// Settings of a route for a filter.
#[derive(Debug)]
pub enum FilterSettings {
    /// `HeaderMutationPerRoute`.
    HeaderMutation(MessageMutations),
    /// `CorsPolicy`.
    Cors(CorsPolicy),
    /// `BufferPerRoute.disabled`.
    Unbuffered,
    /// `BufferPerRoute.buffer`.
    Buffer {
        /// `max_request_bytes`.
        max_bytes: usize,
    },
    /// `HTTPFault`.
    Fault(FaultRules),
    /// `LocalRateLimit`.
    LocalRateLimit(Arc<LocalRateLimit>),
    /// `StatefulSessionPerRoute`; `None` for no sessions.
    StatefulSession(Option<Arc<SessionRules>>),
    /// `RateLimitPerRoute`.
    GlobalRateLimit(RouteRateLimit),
    /// `weft.mirroring.v1.Mirroring`, for no filter but the route's copies.
    Mirroring(Arc<Mirroring>),
}

/// What all levels of a route say to filters. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct RouteFilters(Option<Arc<Said>>);

#[derive(Clone, Debug, Default)]
struct Said {
    filters: Vec<RouteFilter>,
    /// `cors` of the route and of its virtual host, which holds where no `CorsPolicy` is given.
    cors: Vec<Arc<CorsPolicy>>,
    /// `rate_limits` of the route and of its virtual host.
    descriptors: RouteDescriptors,
}

/// What all levels of a route say to one filter.
#[derive(Clone, Debug)]
pub struct RouteFilter {
    name: Box<str>,
    /// By the most specific level that names the filter.
    pub disabled: bool,
    /// From the least to the most specific level.
    pub levels: Vec<Arc<FilterSettings>>,
}

impl RouteFilters {
    /// What is said to the filter of this name.
    pub fn of(&self, name: &str) -> Option<&RouteFilter> {
        self.0.as_deref()?.filters.iter().find(|filter| *filter.name == *name)
    }

    /// `cors` of the route and of its virtual host, the most specific one first.
    pub fn cors(&self) -> &[Arc<CorsPolicy>] {
        self.0.as_deref().map_or(&[], |said| &said.cors)
    }

    /// The same and what a more specific level says.
    #[must_use]
    pub fn and(&self, rules: &[FilterRule]) -> Self {
        if rules.is_empty() {
            return self.clone();
        }
        let mut said = self.0.as_deref().cloned().unwrap_or_default();
        for FilterRule { name, disabled, settings } in rules {
            let at = said.filters.iter().position(|filter| filter.name == *name);
            let at = at.unwrap_or_else(|| {
                let (name, levels) = (name.clone(), Vec::new());
                said.filters.push(RouteFilter { name, disabled: false, levels });
                said.filters.len() - 1
            });
            if let Some(filter) = said.filters.get_mut(at) {
                filter.disabled = *disabled;
                filter.levels.extend(settings.clone());
            }
        }
        Self(Some(Arc::new(said)))
    }

    /// `rate_limits` of the route and of its virtual host.
    pub fn descriptors(&self) -> Option<&RouteDescriptors> {
        self.0.as_deref().map(|said| &said.descriptors)
    }

    /// The same and the `rate_limits` of a virtual host.
    pub(crate) fn and_host_descriptors(&self, rules: Arc<[DescriptorRule]>) -> Self {
        if rules.is_empty() {
            return self.clone();
        }
        let mut said = self.0.as_deref().cloned().unwrap_or_default();
        said.descriptors.of_host = rules;
        Self(Some(Arc::new(said)))
    }

    /// The same and the `rate_limits` of a route.
    pub(crate) fn and_descriptors(&self, rules: Arc<[DescriptorRule]>, include_host: bool) -> Self {
        if rules.is_empty() && !include_host {
            return self.clone();
        }
        let mut said = self.0.as_deref().cloned().unwrap_or_default();
        said.descriptors.of_route = rules;
        said.descriptors.include_host = include_host;
        Self(Some(Arc::new(said)))
    }

    /// The same and the `cors` of a more specific level.
    pub(crate) fn and_cors(&self, policy: Option<CorsPolicy>) -> Self {
        let Some(policy) = policy else { return self.clone() };
        let mut said = self.0.as_deref().cloned().unwrap_or_default();
        said.cors.insert(0, Arc::new(policy));
        Self(Some(Arc::new(said)))
    }
}

/// Reads the `cors` of a route or of a virtual host, which the filter still goes by.
pub(crate) fn own_cors(
    message: Option<&route::CorsPolicy>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<CorsPolicy> {
    message.and_then(|message| cors::of_route(message, &at.field("cors"), notes))
}

/// Reads `http_filters`: the router, which must be last, and those before it.
pub(crate) fn read(
    filters: &[wire::HttpFilter],
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<(Router, Box<[HttpFilter]>)> {
    const LAST: Problem = Problem::FilterOrder("needs the router as its last filter");
    let mut router = None;
    let mut before: Vec<HttpFilter> = Vec::with_capacity(filters.len().saturating_sub(1));
    for (index, filter) in filters.iter().enumerate() {
        let at = at.item("http_filters", index);
        if router.is_some() {
            notes.refuse::<()>(&at, Problem::FilterOrder("the router must be the last filter"));
        }
        match one(filter, &at, notes) {
            Some(One::Router(settings)) => router = Some(settings),
            Some(One::Before(filter)) => before.push(filter),
            None => {}
        }
    }
    match router {
        Some(router) => Some((router, before.into())),
        None => notes.refuse(&at.field("http_filters"), LAST),
    }
}

enum One {
    Router(Router),
    Before(HttpFilter),
}

fn one(filter: &wire::HttpFilter, at: &At<'_>, notes: &mut Notes) -> Option<One> {
    use wire::http_filter::ConfigType;
    let any = match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => any,
        Some(ConfigType::ConfigDiscovery(_)) => {
            return notes.unsupported(&at.field("config_discovery"), "ECDS", "typed_config is");
        }
        None => return notes.refuse(&at.field("typed_config"), Problem::Missing),
    };
    let at_config = at.field("typed_config");
    if extension::holds::<Router>(any) {
        if filter.disabled {
            notes.unsupported::<()>(&at.field("disabled"), "a disabled router", "false is");
        }
        return extension::unpack::<Router>(any, &at_config, notes).map(One::Router);
    }
    if extension::holds::<GrpcStats>(any) {
        // It counts, and changes nothing.
        return None;
    }
    let kind = match kind(any, &at_config, notes) {
        Some(kind) => kind?,
        None if filter.is_optional => {
            let held = extension::type_name(any);
            notes.warn(at, format!("left out: nothing handles {held:?}, and it is_optional"));
            return None;
        }
        None => {
            let held = extension::type_name(any).to_owned();
            return notes.refuse(&at_config, Problem::UnknownType(held));
        }
    };
    let (name, disabled) = (filter.name.as_str().into(), filter.disabled);
    Some(One::Before(HttpFilter { name, disabled, kind }))
}

/// `None` for a filter that is not known, `Some(None)` for one that was refused.
#[expect(clippy::option_option, reason = "not known, or refused, or good")]
fn kind(any: &Any, at: &At<'_>, notes: &mut Notes) -> Option<Option<HttpFilterKind>> {
    Some(match extension::type_name(any) {
        name if name == HeaderMutation::full_name() => {
            extension::unpack::<HeaderMutation>(any, at, notes).map(|message| {
                HttpFilterKind::HeaderMutation {
                    always: Arc::new(mutations::read(message.mutations.as_ref(), at, notes)),
                    most_specific_wins: message.most_specific_header_mutations_wins,
                }
            })
        }
        name if name == Cors::full_name() => {
            extension::unpack::<Cors>(any, at, notes).map(|_| HttpFilterKind::Cors)
        }
        name if name == Buffer::full_name() => extension::unpack::<Buffer>(any, at, notes)
            .and_then(|message| max_bytes(&message, at, notes))
            .map(|max_bytes| HttpFilterKind::Buffer { max_bytes }),
        name if name == GrpcWeb::full_name() => {
            extension::unpack::<GrpcWeb>(any, at, notes).map(|_| HttpFilterKind::GrpcWeb)
        }
        name if name == HttpFault::full_name() => extension::unpack::<HttpFault>(any, at, notes)
            .and_then(|message| fault::read(&message, at, notes))
            .map(HttpFilterKind::Fault),
        name if name == LocalRateLimitMessage::full_name() => {
            extension::unpack::<LocalRateLimitMessage>(any, at, notes)
                .and_then(|message| local_rate_limit::read(&message, at, notes))
                .map(|limit| HttpFilterKind::LocalRateLimit(Arc::new(limit)))
        }
        name if name == StatefulSession::full_name() => {
            extension::unpack::<StatefulSession>(any, at, notes)
                .and_then(|message| stateful_session::read(&message, at, notes))
                .map(HttpFilterKind::StatefulSession)
        }
        name if name == RateLimitMessage::full_name() => {
            extension::unpack::<RateLimitMessage>(any, at, notes)
                .and_then(|message| rate_limit::read(&message, at, notes))
                .map(|limit| HttpFilterKind::GlobalRateLimit(Arc::new(limit)))
        }
        name if name == RateLimitHeaders::full_name() => {
            extension::unpack::<RateLimitHeaders>(any, at, notes)
                .map(|_| HttpFilterKind::RateLimitHeaders)
        }
        name if name == AdaptiveConcurrencyMessage::full_name() => {
            extension::unpack::<AdaptiveConcurrencyMessage>(any, at, notes)
                .and_then(|message| adaptive_concurrency::read(&message, at, notes))
                .map(|settings| HttpFilterKind::AdaptiveConcurrency(Arc::new(settings)))
        }
        name if name == DynamicForwardProxy::full_name() => {
            extension::unpack::<DynamicForwardProxy>(any, at, notes)
                .and_then(|message| dynamic_hosts::check_filter(&message, at, notes))
                .map(|()| HttpFilterKind::DynamicForwardProxy)
        }
        _ => return None,
    })
}

/// Reads `typed_per_filter_config` of one level.
pub(crate) fn rules<'m>(
    entries: impl IntoIterator<Item = (&'m String, &'m Any)>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Vec<FilterRule> {
    const FIELD: &str = "typed_per_filter_config";
    let read = entries.into_iter();
    read.filter_map(|(filter, any)| rule(filter, any, &at.key(FIELD, filter), notes)).collect()
}

fn rule(filter: &str, any: &Any, at: &At<'_>, notes: &mut Notes) -> Option<FilterRule> {
    let name: Box<str> = filter.into();
    if !extension::holds::<route::FilterConfig>(any) {
        let settings = settings(any, at, notes)?;
        return Some(FilterRule { name, disabled: false, settings });
    }
    let wrapper = extension::unpack::<route::FilterConfig>(any, at, notes)?;
    if wrapper.disabled {
        // Whatever settings are there besides are not looked at.
        return Some(FilterRule { name, disabled: true, settings: None });
    }
    let at_config = at.field("config");
    let said = match &wrapper.config {
        None => return notes.refuse(&at_config, Problem::Missing),
        // Nothing but that the filter is enabled.
        Some(any) if any.type_url.is_empty() => None,
        Some(any) if wrapper.is_optional && !is_known(any) => {
            notes.warn(&at_config, "ignored: the filter is not supported, and this is optional");
            None
        }
        Some(any) => settings(any, &at_config, notes)?,
    };
    Some(FilterRule { name, disabled: false, settings: said })
}

fn is_known(any: &Any) -> bool {
    extension::holds::<HeaderMutationPerRoute>(any)
        || extension::holds::<CorsPolicyMessage>(any)
        || extension::holds::<BufferPerRoute>(any)
        || extension::holds::<HttpFault>(any)
        || extension::holds::<LocalRateLimitMessage>(any)
        || extension::holds::<StatefulSessionPerRoute>(any)
        || extension::holds::<RateLimitPerRoute>(any)
        || extension::holds::<MirroringMessage>(any)
}

/// Reads the settings of a route for a filter; `None` where they are refused.
#[expect(clippy::option_option, reason = "refused, or settings as a rule has them")]
fn settings(any: &Any, at: &At<'_>, notes: &mut Notes) -> Option<Option<Arc<FilterSettings>>> {
    let settings = match extension::type_name(any) {
        name if name == HeaderMutationPerRoute::full_name() => {
            let message = extension::unpack::<HeaderMutationPerRoute>(any, at, notes)?;
            let mutations = mutations::read(message.mutations.as_ref(), at, notes);
            FilterSettings::HeaderMutation(mutations)
        }
        name if name == CorsPolicyMessage::full_name() => {
            let message = extension::unpack::<CorsPolicyMessage>(any, at, notes)?;
            FilterSettings::Cors(cors::of_filter(&message, at, notes)?)
        }
        name if name == BufferPerRoute::full_name() => {
            let message = extension::unpack::<BufferPerRoute>(any, at, notes)?;
            match message.r#override {
                Some(buffer::buffer_per_route::Override::Disabled(_)) => FilterSettings::Unbuffered,
                Some(buffer::buffer_per_route::Override::Buffer(buffer)) => {
                    let max_bytes = max_bytes(&buffer, &at.field("buffer"), notes)?;
                    FilterSettings::Buffer { max_bytes }
                }
                None => return notes.refuse(&at.field("override"), Problem::Missing),
            }
        }
        name if name == HttpFault::full_name() => {
            let message = extension::unpack::<HttpFault>(any, at, notes)?;
            FilterSettings::Fault(fault::read(&message, at, notes)?)
        }
        name if name == LocalRateLimitMessage::full_name() => {
            let message = extension::unpack::<LocalRateLimitMessage>(any, at, notes)?;
            if message.token_bucket.is_none() {
                return notes.refuse(&at.field("token_bucket"), Problem::Missing);
            }
            let limit = local_rate_limit::read(&message, at, notes)?;
            FilterSettings::LocalRateLimit(Arc::new(limit))
        }
        name if name == StatefulSessionPerRoute::full_name() => {
            let message = extension::unpack::<StatefulSessionPerRoute>(any, at, notes)?;
            FilterSettings::StatefulSession(stateful_session::of_route(&message, at, notes)?)
        }
        name if name == RateLimitPerRoute::full_name() => {
            let message = extension::unpack::<RateLimitPerRoute>(any, at, notes)?;
            FilterSettings::GlobalRateLimit(rate_limit::of_route(&message, at, notes)?)
        }
        name if name == MirroringMessage::full_name() => {
            let message = extension::unpack::<MirroringMessage>(any, at, notes)?;
            FilterSettings::Mirroring(Arc::new(mirror::read_copies(&message, at, notes)?))
        }
        other => return notes.refuse(at, Problem::UnknownType(other.to_owned())),
    };
    Some(Some(Arc::new(settings)))
}

fn max_bytes(message: &Buffer, at: &At<'_>, notes: &mut Notes) -> Option<usize> {
    match &message.max_request_bytes {
        Some(limit) => Some(usize::try_from(limit.value).unwrap_or(usize::MAX)),
        None => notes.refuse(&at.field("max_request_bytes"), Problem::Missing),
    }
}
