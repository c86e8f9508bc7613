//! From the bytes of an xDS resource to a typed value that can only be a valid one.
//!
//! [`decode`] reads a [`Cluster`], an [`Assignment`], a [`RouteConfiguration`] or a [`Listener`].
//! First the structure is checked, field by field, against the table of what is honoured
//! (`weft_proto::check`); then each value is parsed into a type that has no room for a wrong one.
//! Whatever is set and not honoured is refused by name or, where leaving it out is harmless,
//! accepted with a [`Warning`]. All reasons are collected, each with the path of its field.
//!
//! Where a field is not set, Envoy's default holds; the field's documentation names it.

mod address;
mod api_source;
mod assignment;
mod balancing;
mod chain_match;
mod circuit_breakers;
mod client_options;
mod cluster;
mod config_source;
mod connection_question;
mod consistent_hashing;
mod cookie;
mod custom_cluster;
mod decode;
mod destination;
mod dns;
mod dns_resolver;
mod dynamic_hosts;
mod extension;
mod filter_chain;
mod hash_policy;
mod head_rules;
mod headers;
mod health_check;
mod hedging;
mod http2_options;
mod http_connection_manager;
mod http_filter;
mod internal_redirect;
mod key_format;
mod listener;
mod listener_filter;
mod local_reply;
mod matching;
mod metadata;
mod mirror;
mod name;
mod network_filter;
mod outlier_detection;
mod path;
mod problem;
mod protocol_options;
mod redirect;
mod retry_hosts;
mod retry_policy;
mod rewrite;
mod route_action;
mod route_config;
mod scalar;
mod scoped_routes;
mod slow_start;
mod socket;
mod subsets;
mod tcp_proxy;
mod transport;
mod upgrade;
mod upstream_connection;
mod zone_aware;

pub use address::Address;
pub use api_source::{ApiSource, GrpcService, RateLimit};
pub use assignment::{
    Assignment, DropOverload, Endpoint, EndpointAddress, HealthStatus, Locality, LocalityEndpoints,
};
pub use balancing::{Balancing, LocalityWeights, Picker};
pub use circuit_breakers::{CircuitBreakers, Limits, Priority, RetryLimit};
pub use client_options::{ClientOptions, Http1Settings};
pub use cluster::{Cluster, ConnectionSettings, Discovery};
pub use config_source::{ConfigSource, FetchTimeout, FileSource, Origin, name_of_key};
pub use connection_question::{ConnectionQuestion, FormattedDescriptor};
pub use consistent_hashing::{ConsistentHashing, HashTable};
pub use cookie::Cookie;
pub use custom_cluster::OriginalDestination;
pub use decode::{Decoded, Resource, ResourceType, decode};
pub use destination::{ClusterChoice, Destination, RouteTarget, WeightedCluster, WeightedClusters};
pub use dns::{Dns, DnsKind, DnsQuery, DnsRefresh, FailureRefresh, LookupFamily};
pub use dns_resolver::{DnsResolver, DnsServers};
pub use dynamic_hosts::DynamicHosts;
pub use filter_chain::{FilterChain, Gate, Terminal};
pub use hash_policy::{HashInput, HashPolicy};
pub use head_rules::{HeadRules, InternalAddresses, ServerHeader, StripPort, Underscores};
pub use headers::{AppendAction, HeaderMutations, HeaderProgram, HeaderSet, HeaderText};
pub use health_check::{
    CheckIntervals, CheckQuestion, EndpointCheck, GrpcCheck, HealthCheck, HttpCheck, StatusRanges,
    TcpCheck,
};
pub use hedging::{Hedging, Slow};
pub use http_connection_manager::{Codec, HttpConnectionManager, RouteSource};
pub use http_filter::{
    Aborted, AdaptiveConcurrency, CorsPolicy, DescriptorPart, DescriptorRule, FaultRules,
    FilterSettings, GlobalRateLimit, HeaderChange, HitsRule, HitsSource, HostDescriptors,
    HttpFilter, HttpFilterKind, Injection, LocalRateLimit, MOST_HITS, MessageMutations,
    QueryChange, RequestType, RouteDescriptors, RouteFilter, RouteFilters, RouteRateLimit,
    SessionRules, SessionState, TrailerChange,
};
pub use http2_options::{Http2Options, Keepalive};
pub use internal_redirect::InternalRedirect;
pub use key_format::KeyFormat;
pub use listener::{Listener, ListenerKind, Sockets};
pub use listener_filter::{
    KeptTlvs, ListenerFilter, ListenerFilterKind, PortRule, ProxyProtocol, TlvRule,
};
pub use local_reply::{
    BodyFormat, BodyTemplate, Comparison, LocalReplies, ReplyFilter, ReplyMapper,
};
pub use metadata::{LabelValue, Labels};
pub use mirror::{AnswerComparison, ComparedHeader, Copies, Mirror, Mirroring};
pub use name::{AssignmentName, ClusterName, ListenerName, Name, RouteConfigName, kind};
pub use network_filter::{ConnectionLimit, ConnectionRate, TokenRate};
pub use outlier_detection::{Enforcing, OutlierDetection};
pub use problem::{Problem, Reason, Warning};
pub use protocol_options::UpstreamProtocol;
pub use redirect::{Redirect, RedirectPath};
pub use retry_hosts::RetryHosts;
pub use retry_policy::{ResetFormat, RetryBackoff, RetryOn, RetryPolicy, ToldBackoff};
pub use rewrite::{HostRewrite, PathRewrite, PrefixRewrite};
pub use route_action::{DirectResponse, Forward, GrpcTimeout, RouteAction, StreamLimit};
pub use route_config::{RouteConfiguration, RouteRule};
pub use scalar::DataSource;
pub use scoped_routes::{Scope, ScopeElement, ScopeFragment, ScopedRoutes};
pub use slow_start::SlowStart;
pub use socket::{ListenAddress, SocketOption, SocketSettings, SocketState, SocketValue};
pub use subsets::{SelectorFallback, SubsetConfig, SubsetFallback, SubsetSelector};
pub use tcp_proxy::{Backoff, TcpProxy, TlvMerge, Tunneling};
pub use transport::{TlvValue, Tlvs, UpstreamProxyProtocol};
pub use upgrade::{ConnectTermination, Upgrade};
pub use upstream_connection::{FamilyOrder, SourceAddress, SourceAddresses, TcpKeepalive};
pub use zone_aware::ZoneAware;
