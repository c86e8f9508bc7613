//! From typed resources to the tables that the request path reads.
//!
//! A [`Compiler`] is told what the management server sent ([`Update`]), says what it refused and
//! why ([`Report`]), what else it needs ([`Wanted`]), and yields immutable [`Tables`] in which
//! every cluster has its endpoints and every listener its routes. It keeps the last good version
//! of everything, builds a changed cluster or listener aside until what it refers to is there, and
//! rebuilds only what changed: everything else is the same `Arc` as in the tables before.
//!
//! It is pure. Time is an argument, and there is no I/O.
//!
//! ```
//! use std::{sync::Arc, time::{Instant, SystemTime}};
//!
//! use prost::Message;
//! use weft_compile::{Compiler, ResourceType, Update, Upsert};
//! use weft_proto::pb::envoy::config::cluster::v3::Cluster;
//! use weft_telemetry::Stats;
//!
//! let mut compiler = Compiler::new(Stats::new(Instant::now()));
//! let cluster = Cluster { name: "catalog".to_owned(), ..Cluster::default() };
//! let upsert = Upsert {
//!     name: Arc::from("catalog"),
//!     version: Arc::from("1"),
//!     value: cluster.encode_to_vec().into(),
//! };
//! let update = Update::fixed(ResourceType::Cluster, vec![upsert]);
//! let report = compiler.apply(&update, SystemTime::now());
//! assert!(report.is_accepted());
//! let tables = compiler.tables();
//! assert!(tables.clusters.iter().flatten().any(|cluster| &*cluster.name == "catalog"));
//! ```

mod assignments;
mod catalog;
mod chain;
mod check;
mod checks;
mod clusters;
mod compiler;
pub mod cookie;
mod dump;
mod dynamic_hosts;
mod endpoints;
mod entry;
mod files;
mod filter_chains;
mod hedges;
mod hosts;
mod intake;
mod listener_filters;
mod listeners;
mod names;
mod outliers;
mod rates;
mod references;
mod report;
mod request_hash;
mod route_configs;
mod route_table;
mod routing;
mod slots;
mod subsets;
mod tables;
mod update;

pub use check::check_resource;
pub use checks::{CheckTarget, Checks};
pub use compiler::{Compiler, Warming};
pub use dump::{
    ClusterView, Dump, RefusedDump, ResourceDump, ResourceStatus, TypeDump, VersionDump,
};
pub use dynamic_hosts::{Asked, HostCache, Waiting};
pub use files::ReadFile;
pub use hedges::Hedges;
pub use hosts::speed;
pub use names::{Answer, Lead, Names, Question, ServiceRecord};
pub use outliers::Outliers;
pub use rates::ConnectionRate;
pub use references::{Want, Wanted, WantedNames};
pub use report::{Rejected, Report, Warned};
pub use request_hash::{Hashed, request_hash};
pub use routing::{
    Action, AppendAction, ClusterChoice, DirectResponse, Forward, HeaderMutations, HeaderProgram,
    HeaderSet, HeaderText, HostRewrite, PathRewrite, PrefixRewrite, Redirect, RedirectPath,
    RouteConfig, RouteEntry, RouteNames, RouteTarget, WeightedCluster, WeightedRoute,
};
pub use tables::{
    AskedConnections, Avoided, Backoff, BindAddress, Chain, Chains, CircuitBreakers, ClientOptions,
    Cluster, ClusterId, Codec, ConnectionLimit, ConnectionSettings, FamilyOrder, FilterChain, Gate,
    HandOff, Http2Options, HttpChain, Inspection, Keepalive, KeptTlvs, ListenAddress, Listener,
    ListenerFilter, ListenerFilterKind, OriginalDestination, PortRule, ProxyProtocolRules,
    RouteConfigId, Routes, Scopes, SocketOption, SocketSettings, SocketState, SocketValue, Tables,
    Target, TcpChain, TcpKeepalive, TlvMerge, TlvRule, TlvValue, Tlvs, Tunneling, UpstreamProtocol,
    UpstreamProxyProtocol, Weighted,
};
pub use update::{Source, Update, Upsert};
pub use weft_resources::{
    Aborted, AdaptiveConcurrency, AnswerComparison, ApiSource, BodyFormat, BodyTemplate,
    CheckIntervals, CheckQuestion, ComparedHeader, Comparison, ConfigSource, ConnectTermination,
    ConnectionQuestion, Cookie, Copies, CorsPolicy, DescriptorPart, DescriptorRule, Enforcing,
    FaultRules, FetchTimeout, FileSource, FilterSettings, FormattedDescriptor, GlobalRateLimit,
    GrpcCheck, GrpcService, GrpcTimeout, HashInput, HashPolicy, HeadRules, HeaderChange,
    HealthCheck, Hedging, HitsRule, HitsSource, HostDescriptors, Http1Settings, HttpCheck,
    HttpFilter, HttpFilterKind, Injection, InternalAddresses, InternalRedirect, KeyFormat, Limits,
    LocalRateLimit, LocalReplies, MOST_HITS, MessageMutations, Mirror, Origin, OutlierDetection,
    Priority, Problem, QueryChange, RateLimit, Reason, ReplyFilter, ReplyMapper, RequestType,
    ResetFormat, ResourceType, RetryHosts, RetryLimit, RetryOn, RetryPolicy, RouteDescriptors,
    RouteFilter, RouteFilters, RouteRateLimit, ServerHeader, SessionRules, SessionState, Slow,
    SlowStart, StatusRanges, StreamLimit, StripPort, TcpCheck, ToldBackoff, TrailerChange,
    Underscores, Upgrade, Warning, name_of_key,
};
