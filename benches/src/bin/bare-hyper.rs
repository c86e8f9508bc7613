//! A proxy of hyper and little else: what a request costs before a mesh does anything.
//!
//! The peer `bare` of the side-by-side run. The distance between it and `weft` is what
//! Weft adds; the distance between it and the others is what the toolkit is worth.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context, Result};
use clap::Parser;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::CONNECTION;
use hyper::service::service_fn;
use hyper::{Request, Response, server};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// Forwards requests by path prefix.
#[derive(Debug, Parser)]
#[command(version)]
struct Settings {
    /// Where to listen.
    #[arg(long)]
    front: SocketAddr,
    /// Where `/small` leads.
    #[arg(long)]
    small: SocketAddr,
    /// Where `/large` leads.
    #[arg(long)]
    large: SocketAddr,
    /// Where everything else leads.
    #[arg(long)]
    huge: SocketAddr,
    /// Speak h2c on both sides instead of HTTP/1.1.
    #[arg(long)]
    h2c: bool,
}

fn main() -> Result<()> {
    let settings = Settings::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(settings))
}

async fn serve(settings: Settings) -> Result<()> {
    let listener = TcpListener::bind(settings.front).await.context("listen")?;
    let small = Rc::new(Upstream::new(settings.small));
    let large = Rc::new(Upstream::new(settings.large));
    let huge = Rc::new(Upstream::new(settings.huge));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (small, large, huge) = (Rc::clone(&small), Rc::clone(&large), Rc::clone(&huge));
        let h2c = settings.h2c;
        let service = service_fn(move |request: Request<Incoming>| {
            let upstream = Rc::clone(match request.uri().path() {
                path if path.starts_with("/small") => &small,
                path if path.starts_with("/large") => &large,
                _ => &huge,
            });
            async move { if h2c { upstream.h2(request).await } else { upstream.h1(request).await } }
        });
        let stream = TokioIo::new(stream);
        // How a connection ends matters to its client alone.
        if h2c {
            let server = server::conn::http2::Builder::new(LocalExecutor);
            spawn_local(server.serve_connection(stream, service));
        } else {
            let mut server = server::conn::http1::Builder::new();
            spawn_local(server.timer(TokioTimer::new()).serve_connection(stream, service));
        }
    }
}

/// One backend and the connections kept to it.
struct Upstream {
    address: SocketAddr,
    idle: RefCell<Vec<http1::SendRequest<Incoming>>>,
    shared: RefCell<Option<http2::SendRequest<Incoming>>>,
}

impl Upstream {
    fn new(address: SocketAddr) -> Self {
        Self { address, idle: RefCell::default(), shared: RefCell::default() }
    }

    async fn connect(&self) -> Result<TokioIo<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }

    async fn h1(self: Rc<Self>, mut request: Request<Incoming>) -> Result<Response<Incoming>> {
        request.headers_mut().remove(CONNECTION);
        let kept = self.idle.borrow_mut().pop();
        let mut sender = match kept {
            Some(sender) if sender.is_ready() => sender,
            _ => {
                let (sender, connection) = http1::handshake(self.connect().await?).await?;
                spawn_local(connection);
                sender
            }
        };
        let response = sender.send_request(request).await?;
        // The connection takes the next request only when this response's body has
        // gone by, so it must not be offered before.
        let upstream = Rc::clone(&self);
        spawn_local(async move {
            if sender.ready().await.is_ok() {
                upstream.idle.borrow_mut().push(sender);
            }
        });
        Ok(response)
    }

    async fn h2(self: Rc<Self>, request: Request<Incoming>) -> Result<Response<Incoming>> {
        let shared = self.shared.borrow().clone();
        let mut sender = match shared {
            Some(sender) if !sender.is_closed() => sender,
            _ => {
                let io = self.connect().await?;
                let (sender, connection) = http2::handshake(LocalExecutor, io).await?;
                spawn_local(connection);
                *self.shared.borrow_mut() = Some(sender.clone());
                sender
            }
        };
        sender.ready().await?;
        Ok(sender.send_request(request).await?)
    }
}

/// Runs what hyper spawns on this thread.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        spawn_local(async move { drop(future.await) });
    }
}
