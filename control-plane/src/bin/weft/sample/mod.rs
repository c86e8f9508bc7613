//! The three services of the sample shop, so that `weft up` has something to run.
//!
//! They are ordinary services that know nothing of a mesh but one thing: calls to others go to
//! their sidecar's outbound address, with the name of the service as host.

mod catalog;
mod inventory;
mod storefront;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The messages and stubs of `sample.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::semicolon_if_nothing_returned,
    reason = "generated"
)]
mod proto {
    tonic::include_proto!("weft.sample.v1");
}

/// Which of the shop's services.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Which {
    /// HTTP: composes its answer from the other two.
    Storefront,
    /// gRPC: what there is to buy.
    Catalog,
    /// HTTP: how much there is of it.
    Inventory,
}

/// `weft sample …`
#[derive(Args, Debug)]
pub(crate) struct Sample {
    /// The service to be.
    which: Which,
    /// The port to listen on, on 127.0.0.1.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
    /// The outbound address of this service's sidecar.
    #[arg(long, env = "WEFT_OUTBOUND", default_value = "127.0.0.1:15001")]
    outbound: SocketAddr,
    /// The name of this instance, shown in its answers.
    #[arg(long, env = "WEFT_INSTANCE", default_value = "sample")]
    instance: String,
    /// The version to be, shown in its answers.
    #[arg(long, env = "WEFT_SAMPLE_VERSION", default_value = "v1")]
    version: String,
}

impl Sample {
    /// Serves until SIGTERM or SIGINT, then finishes what is in flight.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address}"))?;
            match self.which {
                Which::Storefront => {
                    storefront::serve(listener, self.outbound, self.instance).await
                }
                Which::Catalog => catalog::serve(listener, self.instance).await,
                Which::Inventory => inventory::serve(listener, self.instance, self.version).await,
            }
        })
    }
}

/// Ends when the process is asked to stop.
async fn asked_to_stop() {
    // Without its handlers a process of ours is ended by the signals' default action, as it should be.
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
