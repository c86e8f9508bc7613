//! What a control plane can be told.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

/// The settings of a control plane.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// A file, or a folder of .yaml, .yml and .json files, of mesh documents. Read at the start.
    /// May be given several times.
    #[arg(long = "mesh", value_name = "PATH", env = "WEFT_MESH")]
    pub mesh: Vec<PathBuf>,
    /// A folder whose .yaml, .yml and .json files are the mesh, and nothing else is. Followed: what
    /// changes there comes into force; while something is wrong there, what was good before stays.
    /// The admin API only reads then. With --store the last good state is remembered over a restart.
    #[arg(long, value_name = "DIR", env = "WEFT_CONFIG_DIR", conflicts_with = "mesh")]
    pub config_dir: Option<PathBuf>,
    /// The SQLite file that keeps what is applied through the admin API. In memory without it.
    #[arg(long, value_name = "FILE", env = "WEFT_STORE")]
    pub store: Option<PathBuf>,
    /// Where proxies connect. Neither encrypted nor authenticated.
    #[arg(long, value_name = "IP:PORT", env = "WEFT_XDS", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 15010)))]
    pub xds: SocketAddr,
    /// A Unix socket where proxies connect as well. Its owner and group may.
    #[arg(long, value_name = "FILE", env = "WEFT_XDS_SOCKET")]
    pub xds_socket: Option<PathBuf>,
    /// Where the admin API is. Neither encrypted nor authenticated: whoever reaches it may change
    /// the mesh.
    #[arg(long, value_name = "IP:PORT", env = "WEFT_CONTROL_ADMIN", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 15080)))]
    pub admin: SocketAddr,
    /// A host name by which the admin API is reached, besides IP addresses and localhost. May be
    /// given several times. Others are refused, so that no web page reaches it by a name of its own.
    #[arg(
        long = "admin-host",
        value_name = "NAME",
        env = "WEFT_ADMIN_HOSTS",
        value_delimiter = ','
    )]
    pub admin_hosts: Vec<String>,
    /// After a restart, how long workloads that were registered before are taken to be there still
    /// before they have registered again. Needs --store.
    #[arg(long, value_name = "SECONDS", env = "WEFT_SETTLE", default_value_t = 12)]
    pub settle: u64,
    /// Write the bound admin address to this file, once it is ready.
    #[arg(long, value_name = "FILE")]
    pub admin_address_path: Option<PathBuf>,
}
