//! The command line. Envoy's common flags mean what they mean there, so that `weft-proxy` can stand
//! in for the `envoy` binary in scripts and images.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  weft-proxy -c bootstrap.yaml                       stand in for envoy
  weft-proxy check -c bootstrap.yaml                 all errors at once; exit code 1 if there are any
  weft-proxy --control-plane http://127.0.0.1:15010 --service cart --port 8080
                                                     a sidecar for the application on port 8080
  weft-proxy --mesh mesh.yaml --service cart --port 8080
                                                     the same from a file, without a control plane
  weft-proxy --control-plane http://127.0.0.1:15010 --gateway public
                                                     a way into the mesh: the Gateway named public
  weft-proxy wait && exec my-app                     start the application when the sidecar is ready";

/// A service-mesh sidecar and proxy, configured by Envoy's xDS v3.
#[derive(Debug, Parser)]
#[command(name = "weft-proxy", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Proxy (the default).
    Run(Box<RunArgs>),
    /// Validate the configuration, print every error, and exit with 0 or 1.
    Check(Box<RunArgs>),
    /// Ask a running proxy whether it is ready, and exit with 0 or 1.
    Healthcheck(ProbeArgs),
    /// Wait until a proxy is ready; exit with 1 if it is not within the time.
    Wait(WaitArgs),
}

/// Which proxy to ask.
#[derive(Clone, Debug, Args)]
pub(crate) struct ProbeArgs {
    /// Admin address of the proxy.
    #[arg(long, value_name = "IP:PORT", env = "WEFT_ADMIN", default_value = "127.0.0.1:15000")]
    pub(crate) admin: SocketAddr,
}

/// Which proxy to wait for, and how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    pub(crate) probe: ProbeArgs,
    /// How long to wait.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout_s: u64,
}

/// How to run.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// Envoy v3 bootstrap file, YAML or JSON.
    #[arg(short = 'c', long, value_name = "FILE", env = "WEFT_CONFIG", help_heading = "Bootstrap")]
    pub(crate) config_path: Option<PathBuf>,
    /// Bootstrap as YAML text; merged over the file if both are given.
    #[arg(long, value_name = "YAML", help_heading = "Bootstrap")]
    pub(crate) config_yaml: Option<String>,
    /// `validate` checks the configuration and exits.
    #[arg(long, value_enum, default_value_t = Mode::Serve, help_heading = "Bootstrap")]
    pub(crate) mode: Mode,
    /// Node id, instead of the bootstrap's.
    #[arg(long, value_name = "ID", help_heading = "Bootstrap")]
    pub(crate) service_node: Option<String>,
    /// Node cluster, instead of the bootstrap's.
    #[arg(long, value_name = "NAME", help_heading = "Bootstrap")]
    pub(crate) service_cluster: Option<String>,
    /// Zone of the node's locality, instead of the bootstrap's.
    #[arg(long, value_name = "ZONE", help_heading = "Bootstrap")]
    pub(crate) service_zone: Option<String>,

    #[command(flatten)]
    pub(crate) sidecar: SidecarArgs,

    /// Worker threads; by default one for each CPU this process may use.
    #[arg(long, value_name = "N", env = "WEFT_CONCURRENCY", help_heading = "Process")]
    pub(crate) concurrency: Option<usize>,
    /// trace, debug, info, warn, error, off (`warning` and `critical` are understood too).
    #[arg(
        short,
        long,
        value_name = "LEVEL",
        default_value = "info",
        env = "WEFT_LOG_LEVEL",
        help_heading = "Process"
    )]
    pub(crate) log_level: String,
    /// Log to this file instead of standard error.
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    pub(crate) log_path: Option<PathBuf>,
    /// On SIGTERM, how long requests under way may take before their connections are closed.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 20,
        env = "WEFT_DRAIN_TIME_S",
        help_heading = "Process"
    )]
    pub(crate) drain_time_s: u64,
    /// Refuse new requests (503 with `retry-after`) while the process holds more memory than this; 0 is no
    /// bound. By default 85 % of what its cgroup may have.
    #[arg(long, value_name = "MIB", env = "WEFT_SHED_MEMORY_MIB", help_heading = "Process")]
    pub(crate) shed_memory_mib: Option<u64>,
    /// Close new connections, too, while the process holds more memory than this; 0 is no bound. By
    /// default 95 % of what its cgroup may have.
    #[arg(long, value_name = "MIB", env = "WEFT_MAX_MEMORY_MIB", help_heading = "Process")]
    pub(crate) max_memory_mib: Option<u64>,
    /// Close connections of clients as they come while there are this many; 0 is no bound. By default
    /// half of the files that the process may have open. What a bootstrap says comes first.
    #[arg(long, value_name = "N", env = "WEFT_MAX_CONNECTIONS", help_heading = "Process")]
    pub(crate) max_connections: Option<u64>,
    /// Refuse new requests (503 with `retry-after`) in a worker that comes to what is due later than
    /// this, three times in a row; 0 is no bound.
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 1000,
        env = "WEFT_SHED_LAG_MS",
        help_heading = "Process"
    )]
    pub(crate) shed_lag_ms: u64,
    /// Where the last known good configuration is kept, for a start while the control plane cannot
    /// be reached. For sidecars by default `$XDG_STATE_HOME/weft` or `~/.local/state/weft`; with a
    /// bootstrap it is kept only if this is given.
    #[arg(long, value_name = "DIR", env = "WEFT_STATE_DIR", help_heading = "Process")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Neither keep nor use a last known good configuration.
    #[arg(long, env = "WEFT_NO_LAST_KNOWN_GOOD", help_heading = "Process")]
    pub(crate) no_last_known_good: bool,
    /// Write the address of the admin listener to this file once it is bound.
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    pub(crate) admin_address_path: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) ignored: IgnoredArgs,
}

/// Flags of a sidecar.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Sidecar")]
pub(crate) struct SidecarArgs {
    /// xDS address of the control plane, `http://HOST:PORT` or `unix:PATH`.
    #[arg(long, value_name = "URL", env = "WEFT_CONTROL_PLANE", conflicts_with_all = ["config_path", "config_yaml", "mesh"])]
    pub(crate) control_plane: Option<String>,
    /// Mesh files to run from, or folders with them at any depth, without a control plane. `-` is standard input.
    #[arg(long, value_name = "PATH", env = "WEFT_MESH", conflicts_with_all = ["config_path", "config_yaml"])]
    pub(crate) mesh: Vec<PathBuf>,
    /// The service that the application belongs to.
    #[arg(long, value_name = "NAME", env = "WEFT_SERVICE")]
    pub(crate) service: Option<String>,
    /// Its namespace.
    #[arg(long, value_name = "NAME", default_value = "default", env = "WEFT_NAMESPACE")]
    pub(crate) namespace: String,
    /// Be this Gateway of the mesh, in place of a sidecar.
    #[arg(long, value_name = "NAME", env = "WEFT_GATEWAY", conflicts_with_all = ["service", "port", "config_path", "config_yaml"])]
    pub(crate) gateway: Option<String>,
    /// The application's port on 127.0.0.1.
    #[arg(long, value_name = "PORT", env = "WEFT_PORT")]
    pub(crate) port: Option<u16>,
    /// Ask the application whether it is well: `tcp` (it takes connections) or a path such as
    /// /healthz (it answers with 200 to 399). Until it is, others are sent its requests.
    #[arg(long, value_name = "tcp|PATH", env = "WEFT_HEALTH", requires = "port")]
    pub(crate) health: Option<crate::health::Question>,
    /// How often it is asked; an answer may take as long.
    #[arg(long, value_name = "MS", env = "WEFT_HEALTH_INTERVAL_MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..))]
    pub(crate) health_interval_ms: u64,
    /// A label of this instance, such as `version=v2`; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", env = "WEFT_LABELS", value_delimiter = ',', value_parser = key_value)]
    pub(crate) labels: Vec<(String, String)>,
    /// The zone this instance runs in.
    #[arg(long, value_name = "ZONE", env = "WEFT_ZONE", default_value = "")]
    pub(crate) zone: String,
    /// Name of this instance; by default made of service, host and process.
    #[arg(long, value_name = "ID", env = "WEFT_INSTANCE")]
    pub(crate) instance: Option<String>,
    /// Where the sidecar takes requests for the application.
    #[arg(long, value_name = "IP:PORT", env = "WEFT_INBOUND", default_value = "127.0.0.1:15006")]
    pub(crate) inbound: SocketAddr,
    /// Where the application reaches other services.
    #[arg(long, value_name = "IP:PORT", env = "WEFT_OUTBOUND", default_value = "127.0.0.1:15001")]
    pub(crate) outbound: SocketAddr,
    /// Admin address of a sidecar.
    #[arg(long, value_name = "IP:PORT", env = "WEFT_ADMIN", default_value = "127.0.0.1:15000")]
    pub(crate) admin: SocketAddr,
}

/// Envoy's flags that ask for nothing here; accepted so that command lines need no change.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Accepted for compatibility, without effect")]
pub(crate) struct IgnoredArgs {
    /// There is no hot restart to wait for.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) parent_shutdown_time_s: Option<u64>,
    /// There is no hot restart.
    #[arg(long)]
    pub(crate) disable_hot_restart: bool,
    /// There is no hot restart.
    #[arg(long, value_name = "N")]
    pub(crate) base_id: Option<u32>,
    /// There is no hot restart.
    #[arg(long)]
    pub(crate) use_dynamic_base_id: bool,
    /// There is no hot restart.
    #[arg(long, value_name = "N")]
    pub(crate) restart_epoch: Option<u32>,
    /// Draining is always gradual.
    #[arg(long, value_name = "STRATEGY")]
    pub(crate) drain_strategy: Option<String>,
    /// Unsupported fields are always reported.
    #[arg(long)]
    pub(crate) reject_unknown_dynamic_fields: bool,
    /// Unsupported fields are always reported.
    #[arg(long)]
    pub(crate) ignore_unknown_dynamic_fields: bool,
    /// Deprecated fields are not reported.
    #[arg(long)]
    pub(crate) skip_deprecated_logs: bool,
    /// There is no hot restart.
    #[arg(long, value_name = "FILE")]
    pub(crate) base_id_path: Option<PathBuf>,
    /// There is no hot restart.
    #[arg(long)]
    pub(crate) skip_hot_restart_on_no_parent: bool,
    /// There is no hot restart.
    #[arg(long)]
    pub(crate) skip_hot_restart_parent_stats: bool,
    /// There is no hot restart.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket_path: Option<String>,
    /// There is no hot restart.
    #[arg(long, value_name = "MODE")]
    pub(crate) socket_mode: Option<String>,
    /// Workers are as many as the processors that may be used.
    #[arg(long)]
    pub(crate) cpuset_threads: bool,
    /// There are no such locks.
    #[arg(long)]
    pub(crate) enable_mutex_tracing: bool,
    /// Logs are written line by line.
    #[arg(long, value_name = "MILLISECONDS")]
    pub(crate) file_flush_interval_msec: Option<u32>,
    /// Logs are written line by line.
    #[arg(long, value_name = "KIB")]
    pub(crate) file_flush_min_size_kb: Option<u32>,
    /// Stack traces are not logged.
    #[arg(long)]
    pub(crate) log_stacktrace_single_entry: bool,

    #[command(flatten)]
    pub(crate) missed: MissedArgs,
}

/// Envoy's flags that ask for something which is not there: the log says so.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Accepted with a warning, not supported")]
pub(crate) struct MissedArgs {
    /// Fields that nobody knows are errors in a bootstrap.
    #[arg(long)]
    pub(crate) allow_unknown_fields: bool,
    /// Fields that nobody knows are errors in a bootstrap.
    #[arg(long)]
    pub(crate) allow_unknown_static_fields: bool,
    /// Levels of log by component; `--log-level` sets one for all.
    #[arg(long, value_name = "LEVELS")]
    pub(crate) component_log_level: Option<String>,
    /// Another form of log lines.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// Escapes in log lines; they are always escaped.
    #[arg(long)]
    pub(crate) log_format_escaped: bool,
    /// Levels of log by file.
    #[arg(long)]
    pub(crate) enable_fine_grain_logging: bool,
    /// Tags for all statistics.
    #[arg(long, value_name = "TAG:VALUE")]
    pub(crate) stats_tag: Vec<String>,
    /// Leaving out extensions.
    #[arg(long, value_name = "NAMES")]
    pub(crate) disable_extensions: Option<String>,
    /// Core dumps.
    #[arg(long)]
    pub(crate) enable_core_dump: bool,
    /// The family of the node's own address.
    #[arg(long, value_name = "VERSION")]
    pub(crate) local_address_ip_version: Option<String>,
}

impl MissedArgs {
    /// A warning for each flag that is set.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> + use<> {
        let set = [
            ("--allow-unknown-fields", self.allow_unknown_fields),
            ("--allow-unknown-static-fields", self.allow_unknown_static_fields),
            ("--component-log-level", self.component_log_level.is_some()),
            ("--log-format", self.log_format.is_some()),
            ("--log-format-escaped", self.log_format_escaped),
            ("--enable-fine-grain-logging", self.enable_fine_grain_logging),
            ("--stats-tag", !self.stats_tag.is_empty()),
            ("--disable-extensions", self.disable_extensions.is_some()),
            ("--enable-core-dump", self.enable_core_dump),
            ("--local-address-ip-version", self.local_address_ip_version.is_some()),
        ];
        let set = set.into_iter().filter(|(_, is_set)| *is_set);
        set.map(|(name, _)| format!("{name} is not supported and has no effect"))
    }
}

/// `--mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Proxy.
    Serve,
    /// Check and exit.
    Validate,
    /// Check without resolving names, and exit.
    InitOnly,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
