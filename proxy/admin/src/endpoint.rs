//! What there is to ask for: one table that is dispatched by, and printed as help.

/// One path of the admin interface.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    pub(crate) about: &'static str,
    /// Names of parameters with their meaning.
    pub(crate) parameters: &'static [(&'static str, &'static str)],
}

/// What an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Clusters,
    ConfigDump,
    DrainListeners,
    Events,
    Explain,
    Help,
    Home,
    Listeners,
    Live,
    Logging,
    Prometheus,
    Quit,
    Ready,
    ServerInfo,
    Stats,
}

impl Kind {
    /// Whether it changes something, so that it must be asked for by `POST`.
    pub(crate) fn mutates(self) -> bool {
        matches!(self, Self::DrainListeners | Self::Logging | Self::Quit)
    }
}

const FILTER: (&str, &str) = ("filter", "regular expression that a part of the name must match");
const INVERT: (&str, &str) = ("invert_filter", "show what the filter does not match");
const USED: (&str, &str) = ("usedonly", "only metrics that have counted something");

/// All endpoints, by path.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint { path: "/", kind: Kind::Home, about: "this interface as a page", parameters: &[] },
    Endpoint {
        path: "/clusters",
        kind: Kind::Clusters,
        about: "clusters with their endpoints",
        parameters: &[("format", "text or json"), FILTER],
    },
    Endpoint {
        path: "/config_dump",
        kind: Kind::ConfigDump,
        about: "the configuration in use, and what was refused",
        parameters: &[
            ("include_eds", "endpoints too"),
            ("name_regex", "only resources of which a part of the name matches"),
        ],
    },
    Endpoint {
        path: "/drain_listeners",
        kind: Kind::DrainListeners,
        about: "stop accepting connections",
        parameters: &[("graceful", "first ask clients to leave, for as long as the drain time")],
    },
    Endpoint {
        path: "/events",
        kind: Kind::Events,
        about: "what was found out about the health of endpoints lately, and why",
        parameters: &[],
    },
    Endpoint {
        path: "/explain",
        kind: Kind::Explain,
        about: "what becomes of a request, and why: route, policies, clusters, endpoints",
        parameters: &[
            ("authority", "the host that is called, with its port if it has one"),
            ("method", "GET unless said otherwise"),
            ("path", "with the query; / unless said otherwise"),
            ("scheme", "http or https"),
            ("header", "a field of the request as name:value; as often as needed"),
            ("client", "the address of the client, where requests are hashed by it"),
            ("listener", "only the listener of this name"),
            ("format", "text or json"),
        ],
    },
    Endpoint { path: "/help", kind: Kind::Help, about: "this list", parameters: &[] },
    Endpoint {
        path: "/listeners",
        kind: Kind::Listeners,
        about: "listeners and where they are bound",
        parameters: &[("format", "text or json")],
    },
    Endpoint {
        path: "/live",
        kind: Kind::Live,
        about: "200 while the process answers at all",
        parameters: &[],
    },
    Endpoint {
        path: "/logging",
        kind: Kind::Logging,
        about: "show or change the log level",
        parameters: &[("level", "trace, debug, info, warning, error, critical or off")],
    },
    Endpoint {
        path: "/metrics",
        kind: Kind::Prometheus,
        about: "metrics for Prometheus",
        parameters: &[FILTER, INVERT, USED],
    },
    Endpoint {
        path: "/quitquitquit",
        kind: Kind::Quit,
        about: "end the process in an orderly way",
        parameters: &[],
    },
    Endpoint {
        path: "/ready",
        kind: Kind::Ready,
        about: "the state of the proxy; 200 when LIVE, otherwise 503",
        parameters: &[("verbose", "also where the configuration comes from, and how old it is")],
    },
    Endpoint {
        path: "/server_info",
        kind: Kind::ServerInfo,
        about: "version, state, uptime and settings",
        parameters: &[],
    },
    Endpoint {
        path: "/stats",
        kind: Kind::Stats,
        about: "metrics",
        parameters: &[("format", "text, json or prometheus"), FILTER, INVERT, USED],
    },
    Endpoint {
        path: "/stats/prometheus",
        kind: Kind::Prometheus,
        about: "metrics for Prometheus",
        parameters: &[FILTER, INVERT, USED],
    },
];

/// The endpoint of a path.
pub(crate) fn find(path: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| endpoint.path == path)
}
