//! Health checks: endpoints are asked whether they are well.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::syntax::write_duration;

/// How endpoints are asked, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// How long to rest between two questions; more than zero.
    pub interval: Duration,
    /// How long an answer may take; more than zero.
    pub timeout: Duration,
    /// After so many good answers in a row an endpoint is well; at least 1.
    pub healthy_threshold: u32,
    /// After so many bad ones in a row it is not; at least 1.
    pub unhealthy_threshold: u32,
}

impl HealthCheck {
    /// `interval` when it is not said.
    pub const INTERVAL: Duration = Duration::from_secs(10);
    /// `timeout` when it is not said.
    pub const TIMEOUT: Duration = Duration::from_secs(1);
    /// `healthyThreshold` when it is not said.
    pub const HEALTHY: u32 = 2;
    /// `unhealthyThreshold` when it is not said.
    pub const UNHEALTHY: u32 = 3;
}

impl Serialize for HealthCheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.probe {
            Probe::Http(http) => map.serialize_entry("http", http)?,
            Probe::Grpc(grpc) => map.serialize_entry("grpc", grpc)?,
            Probe::Tcp => map.serialize_entry("tcp", &serde_json::json!({}))?,
        }
        if self.interval != Self::INTERVAL {
            map.serialize_entry("interval", &write_duration(self.interval))?;
        }
        if self.timeout != Self::TIMEOUT {
            map.serialize_entry("timeout", &write_duration(self.timeout))?;
        }
        if self.healthy_threshold != Self::HEALTHY {
            map.serialize_entry("healthyThreshold", &self.healthy_threshold)?;
        }
        if self.unhealthy_threshold != Self::UNHEALTHY {
            map.serialize_entry("unhealthyThreshold", &self.unhealthy_threshold)?;
        }
        map.end()
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A request, in the protocol of the port.
    Http(HttpProbe),
    /// The health service of gRPC.
    Grpc(GrpcProbe),
    /// A connection, which is enough.
    Tcp,
}

/// A request that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpProbe {
    /// The path, with the query if any.
    pub path: String,
    /// The host; the name of the cluster without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Statuses of endpoints that are well; 200 alone without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u16>,
}

/// A call that asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GrpcProbe {
    /// The service that is asked about; the server as a whole without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}
