//! A running control plane: its parts, wired together, from start to stop.

use std::convert::Infallible;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::server::TcpIncoming;
use weft_config::{Mesh, Places, Problems};
use weft_control_admin::{Admin, Documents, DocumentsError, Guard, Preview, Readiness, router};
use weft_discovery::{Limits, Registry, RegistryService};
use weft_proxy::files::{self, FilesError};
use weft_serve::{Discovery, Ledger, Translated};
use weft_store::{Sqlite, Store, StoreError};

use crate::memory::Memory;
use crate::socket::{self, SocketFile};
use crate::world::{self, Changed};
use crate::{Settings, folder, preview, proxies};

/// Connections that wait to be taken: all proxies of a mesh come back at once when this restarts.
const BACKLOG: u32 = 4096;
/// How long requests to the admin API and the farewell to proxies may take at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a control plane did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A mesh file cannot be read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The mesh files are wrong.
    #[error("the mesh files are not valid:\n{0}")]
    Mesh(#[from] Problems),
    /// The folder of the mesh has no good state.
    #[error("the mesh folder is of no use, and no good state of it is remembered:\n{0}")]
    Folder(String),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files and the store do not make one valid mesh.
    #[error("the mesh files and the store together are not valid:\n{0}")]
    Documents(#[from] DocumentsError),
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address}: {error}\n  hint: choose another address with --xds or --admin, or port 0 for any"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The Unix socket cannot be listened on.
    #[error(
        "cannot listen on the Unix socket {}: {error}\n  hint: --xds-socket needs a path in a folder that exists and is writable, and that nobody else uses",
        path.display()
    )]
    Socket {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The admin address cannot be written down.
    #[error("cannot write {}: {error}\n  hint: --admin-address-path needs a folder that exists and is writable", path.display())]
    AddressFile {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The blocking threads are gone: the program is stopping.
    #[error("stopped while starting")]
    Stopped,
}

/// A part of a control plane has ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
#[error(
    "{part} has failed: {why}\n  hint: start the control plane again; proxies keep what they have meanwhile"
)]
pub struct Failed {
    part: &'static str,
    why: String,
}

/// A control plane that is running. Dropping it stops it at once; [`ControlPlane::stop`] is
/// gentler.
pub struct ControlPlane {
    xds: SocketAddr,
    admin: SocketAddr,
    stopping: watch::Sender<bool>,
    configuration: JoinSet<Result<(), Failed>>,
    servers: JoinSet<Result<(), Failed>>,
    _socket: Option<SocketFile>,
}

impl ControlPlane {
    /// Starts a control plane: when this returns, its addresses are listened on. Workloads of the
    /// time before a restart are taken to be there until they have had the time to come back.
    ///
    /// # Errors
    /// When files or store cannot be read or are not valid, or an address is taken.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let (documents, store) = open(&settings).await?;
        let registry = Registry::new(Limits::default());
        let xds_listener = listen(settings.xds)?;
        let admin_listener = listen(settings.admin)?;
        let xds = local(&xds_listener, settings.xds)?;
        let admin = local(&admin_listener, settings.admin)?;

        let unix = settings.xds_socket.as_deref().map(listen_unix).transpose()?;
        let (ready, readiness) = watch::channel(Readiness::Computing);
        let memory = recall(Arc::clone(&store), &registry).await;
        let world = (documents.watch(), registry.watch());
        let settle = Duration::from_secs(settings.settle);
        let (translated, ledger) = (Arc::new(Translated::new()), Ledger::new());
        let source = Arc::clone(&translated);
        let follow = follow(&settings, &documents, &store);
        let configure = world::follow(
            world.0,
            world.1,
            memory,
            async move |revision, mesh, changed: Changed| {
                let translated = Arc::clone(&translated);
                let published =
                    tokio::task::spawn_blocking(move || translated.publish_changes(mesh, changed));
                if published.await.is_ok() {
                    ready.send_replace(Readiness::Serving { revision: revision.0 });
                }
            },
        );
        let api = Arc::new(Admin {
            documents: Arc::clone(&documents),
            registered: registry.watch(),
            preview: previewing(&ledger, &documents, &registry),
            proxies: {
                let ledger = ledger.clone();
                Box::new(move || proxies::proxies(&ledger))
            },
            ready: readiness,
            xds: xds.to_string(),
            admin: admin.to_string(),
        });
        let (stopping, stop) = watch::channel(false);
        let api = router(api, Guard::answering_to(settings.admin_hosts), stop.clone());
        let limits = weft_serve::Limits::default();
        let discovery = Discovery::new(source, ledger.clone(), limits, stop.clone());
        let service = RegistryService::server(registry.clone(), stop.clone());
        let routes = discovery.routes().add_service(service);
        let incoming = TcpIncoming::from(xds_listener).with_nodelay(Some(true));
        let serve_unix = unix.map(|(listener, file)| {
            let incoming = UnixListenerStream::new(listener);
            let (routes, ledger) = (routes.clone(), ledger.clone());
            (weft_serve::serve(incoming, routes, ledger, limits, stop.clone()), file)
        });
        let xds_server = weft_serve::serve(incoming, routes, ledger, limits, stop.clone());
        let limits = weft_control_admin::Limits::default();
        let admin_server = weft_control_admin::serve(admin_listener, api, limits, stop);
        let mut configuration = JoinSet::new();
        configuration.spawn(part("configuration", configure.map(Ok::<_, Infallible>)));
        configuration.spawn(part("the follower of documents", follow.map(Ok::<_, Infallible>)));
        configuration.spawn(async move {
            tokio::time::sleep(settle).await;
            registry.dismiss();
            std::future::pending().await
        });
        let mut servers = JoinSet::new();
        servers.spawn(part("the xDS server", xds_server));
        let socket = serve_unix.map(|(server, file)| {
            servers.spawn(part("the xDS server's Unix socket", server));
            file
        });
        servers.spawn(part("the admin server", admin_server));
        if let Some(path) = settings.admin_address_path {
            std::fs::write(&path, admin.to_string())
                .map_err(|error| StartError::AddressFile { path, error })?;
        }
        tracing::info!(%xds, %admin, "listening");
        Ok(Self { xds, admin, stopping, configuration, servers, _socket: socket })
    }

    /// Where proxies connect.
    #[must_use]
    pub fn xds(&self) -> SocketAddr {
        self.xds
    }

    /// Where the admin API is.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Waits for a part to fail, which none should.
    pub async fn failure(&mut self) -> Failed {
        let ended = tokio::select! {
            Some(ended) = self.configuration.join_next() => ended,
            Some(ended) = self.servers.join_next() => ended,
            else => return Failed { part: "everything", why: "it has ended".to_owned() },
        };
        match ended {
            Ok(Err(failed)) => failed,
            Ok(Ok(())) => Failed { part: "a part", why: "it has ended".to_owned() },
            Err(panic) => Failed { part: "a part", why: panic.to_string() },
        }
    }

    /// Stops: requests to the admin API are finished, streams of proxies are ended. Proxies keep
    /// the configuration that they have.
    pub async fn stop(mut self) {
        // First of all: the end of the sidecars' streams must not look like the end of the sidecars.
        self.configuration.shutdown().await;
        self.stopping.send_replace(true);
        let all = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!("connections are still open: cut");
        }
    }
}

/// Something that runs until it is stopped; its early end is a failure.
async fn part<E: Display>(
    part: &'static str,
    work: impl Future<Output = Result<(), E>>,
) -> Result<(), Failed> {
    work.await.map_err(|error| Failed { part, why: error.to_string() })
}

/// Gives the registry those who were there before a restart.
async fn recall(store: Arc<dyn Store>, registry: &Registry) -> Memory {
    let memory = Memory::new(store);
    match memory.recall().await {
        Ok(workloads) => registry.presume(workloads),
        Err(error) => tracing::error!(%error, "cannot tell who was registered before"),
    }
    memory
}

fn listen_unix(path: &Path) -> Result<(UnixListener, SocketFile), StartError> {
    socket::listen(path).map_err(|error| StartError::Socket { path: path.to_owned(), error })
}

/// Follows changes of documents that nobody makes through the API. Does not end.
fn follow(
    settings: &Settings,
    documents: &Arc<Documents>,
    store: &Arc<dyn Store>,
) -> impl Future<Output = ()> + Send + use<> {
    let (documents, store) = (Arc::clone(documents), Arc::clone(store));
    let folder = settings.config_dir.clone();
    async move {
        match folder {
            Some(folder) => folder::follow(folder, documents, store).await,
            None => documents.follow_store().await,
        }
    }
}

/// What another mesh would mean for the proxies that are connected.
fn previewing(ledger: &Ledger, documents: &Documents, registry: &Registry) -> Preview {
    let ledger = ledger.clone();
    let (in_force, registered) = (documents.watch(), registry.watch());
    Arc::new(move |after| {
        let before = in_force.borrow().mesh.clone();
        let workloads = world::workloads(&registered.borrow());
        preview::preview(before, after, &workloads, &proxies::nodes(&ledger))
    })
}

async fn open(settings: &Settings) -> Result<(Arc<Documents>, Arc<dyn Store>), StartError> {
    let (paths, store) = (settings.mesh.clone(), settings.store.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let sources = files::read(&paths)?;
        let mesh = Mesh::parse(&sources)?;
        let store = store.map_or_else(Sqlite::in_memory, |path| Sqlite::open(&path))?;
        Ok::<_, StartError>((mesh, Places::of(&sources), Arc::new(store) as Arc<dyn Store>))
    });
    let (mesh, places, store) = opened.await.map_err(|_| StartError::Stopped)??;
    let documents = match &settings.config_dir {
        Some(folder) => folder::open(folder, &*store).await?,
        None => Documents::open(mesh, places, Arc::clone(&store)).await?,
    };
    Ok((Arc::new(documents), store))
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "not a loopback address: whoever can reach it is trusted");
    }
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error| StartError::Listen { address, error })
}

fn local(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::Listen { address, error })
}
