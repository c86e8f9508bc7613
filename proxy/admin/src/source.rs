//! What the admin interface shows, asked of the proxy.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use serde_json::{Map, Value};
use weft_compile::{BindAddress, ClusterView, Dump, ResourceType, Tables};
use weft_proto::pb::envoy::config::core::v3::Node;
use weft_telemetry::Stats;

use crate::command::LogLevel;

/// Access to the state of a running proxy. Every call is made for one request of an operator, off
/// the request path.
pub trait Source: Send + Sync + 'static {
    /// All metrics.
    fn stats(&self) -> &Arc<Stats>;
    /// How far the life of the process has come.
    fn state(&self) -> ServerState;
    /// How old is what is served, when no server could be reached since the start and it is the
    /// last known good configuration.
    fn last_known_good(&self) -> Option<Duration>;
    /// Whether there is a stream to a management server.
    fn is_connected(&self) -> bool;
    /// What `/server_info` says beyond the state.
    fn server_info(&self) -> ServerInfo;
    /// The level logged at now.
    fn log_level(&self) -> LogLevel;
    /// Listeners that accept connections, where they are really bound.
    fn listeners(&self) -> Vec<BoundListener>;
    /// Clusters that requests can go to, in the order of their names.
    fn clusters(&self) -> Vec<ClusterView>;
    /// What requests are decided by now.
    fn tables(&self) -> Arc<Tables>;
    /// What has happened to endpoints lately, the oldest first.
    fn events(&self) -> Vec<EventView>;
    /// The configuration in use and underway.
    fn dump(&self) -> Dump;
    /// Every resource that is subscribed to, as the protocol sees it.
    fn subscriptions(&self) -> Vec<SubscriptionView>;
    /// Who this proxy is to management servers.
    fn node(&self) -> Node;
    /// The bootstrap that the process was started with.
    fn bootstrap(&self) -> BootstrapView;
}

/// Something that has happened to an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EventView {
    /// When.
    pub at: SystemTime,
    /// The rest of the message of `envoy.data` that says so.
    pub fields: Map<String, Value>,
}

/// A resource that is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionView {
    /// Its type.
    pub kind: ResourceType,
    /// Its key in [`Dump`].
    pub key: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Where it stands.
    pub state: SubscriptionState,
    /// What was wrong with the newest version, or what the server says about it.
    pub error: Option<SubscriptionError>,
}

/// `admin.v3.ClientResourceStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// Asked for, nothing heard.
    Requested,
    /// The server says there is none.
    DoesNotExist,
    /// Asked for in vain for too long.
    TimedOut,
    /// The newest version was accepted.
    Accepted,
    /// The newest version was refused.
    Refused,
    /// The server says why it cannot serve it.
    ReceivedError,
}

/// `admin.v3.UpdateFailureState`, without the configuration that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionError {
    /// The version refused; empty for an error that the server reports.
    pub version: String,
    /// What is wrong.
    pub details: String,
    /// When it was found.
    pub at: SystemTime,
}

/// `admin.v3.ServerInfo.State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Waits for clusters.
    PreInitializing,
    /// Waits for listeners.
    Initializing,
    /// Serves.
    Live,
    /// Serves, and asks clients to go elsewhere.
    Draining,
}

impl ServerState {
    /// The name in `admin.v3.ServerInfo.State`.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreInitializing => "PRE_INITIALIZING",
            Self::Initializing => "INITIALIZING",
            Self::Live => "LIVE",
            Self::Draining => "DRAINING",
        }
    }
}

/// Facts of the process.
#[derive(Clone, Debug, Default)]
pub struct ServerInfo {
    /// Version and build.
    pub version: String,
    /// Since the start of the process.
    pub uptime: Duration,
    /// `core.v3.Node` in JSON.
    pub node: Map<String, Value>,
    /// The settings in force, by the names of `admin.v3.CommandLineOptions`.
    pub command_line_options: Map<String, Value>,
}

/// A listener that accepts connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundListener {
    /// The resource name.
    pub name: Arc<str>,
    /// Its addresses with the real ports, the main one first.
    pub addresses: Vec<BindAddress>,
}

/// The bootstrap for `/config_dump`.
#[derive(Clone, Debug)]
pub struct BootstrapView {
    /// An encoded `config.bootstrap.v3.Bootstrap`.
    pub value: Bytes,
    /// When it was read.
    pub loaded: SystemTime,
}
