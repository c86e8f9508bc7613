//! Asking an endpoint whether it is well.

mod grpc;
mod http;
mod payload;
mod tcp;
mod wire;

use std::{net::SocketAddr, sync::Arc};

use weft_balance::EndpointAddress;
use weft_compile::{CheckQuestion, CheckTarget, ConnectionSettings, HealthCheck};
use weft_http::dial_for_check;
use weft_net::Stream;

use crate::course::{Answer, Illness};

/// Asks one endpoint, again and again, over a connection that it keeps where it may.
#[derive(Debug)]
pub(crate) struct Probe {
    place: Place,
    asking: Asking,
}

#[derive(Debug)]
enum Asking {
    Http(http::Http),
    Grpc(grpc::Grpc),
    Tcp(tcp::Tcp),
}

/// Where an endpoint is asked.
#[derive(Debug)]
struct Place {
    connection: Arc<ConnectionSettings>,
    settings: Arc<HealthCheck>,
    target: CheckTarget,
}

impl Probe {
    /// `cluster` is whom an endpoint is asked for that has no other name.
    pub(crate) fn new(
        cluster: &str,
        connection: Arc<ConnectionSettings>,
        settings: Arc<HealthCheck>,
        target: CheckTarget,
    ) -> Self {
        let name = |of_check: &str| -> Box<str> {
            match &target.hostname {
                Some(own) => (**own).into(),
                None if of_check.is_empty() => cluster.into(),
                None => of_check.into(),
            }
        };
        let asking = match &settings.question {
            CheckQuestion::Http(check) => {
                let keep = settings.reuse_connection;
                Asking::Http(http::Http::new((**check).clone(), name(&check.host), keep))
            }
            CheckQuestion::Grpc(check) => {
                let keep = settings.reuse_connection;
                Asking::Grpc(grpc::Grpc::new(check.clone(), name(&check.authority), keep))
            }
            CheckQuestion::Tcp(check) => {
                Asking::Tcp(tcp::Tcp::new(check.clone(), settings.reuse_connection))
            }
        };
        Self { place: Place { connection, settings, target }, asking }
    }

    /// Asks once. What is not said within the timeout is not said at all.
    pub(crate) async fn ask(&mut self) -> Answer {
        let place = &self.place;
        let asking = async {
            match &mut self.asking {
                Asking::Http(http) => http.ask(place).await,
                Asking::Grpc(grpc) => grpc.ask(place).await,
                Asking::Tcp(tcp) => tcp.ask(place).await,
            }
        };
        if let Ok(answer) = tokio::time::timeout(place.settings.timeout, asking).await {
            return answer;
        }
        // Its answer, should it come after all, must not be taken for one to the next question.
        match &mut self.asking {
            Asking::Http(http) => http.hang_up(),
            Asking::Grpc(grpc) => grpc.hang_up(),
            Asking::Tcp(tcp) => tcp.hang_up(),
        }
        Answer::Ill { illness: Illness::Timeout, excluded: false }
    }
}

impl Place {
    async fn connect(&self) -> Option<Stream> {
        let Self { target, settings, connection } = self;
        let with_port = |address: SocketAddr| {
            SocketAddr::new(address.ip(), target.port.unwrap_or(address.port()))
        };
        let (address, ways) = match &target.address {
            Some(address) => (address, Vec::new()),
            None => {
                let ways = target.endpoint.ways().iter().copied().map(with_port).collect();
                (target.endpoint.address(), ways)
            }
        };
        let address = match address {
            EndpointAddress::Ip(address) => EndpointAddress::Ip(with_port(*address)),
            other => other.clone(),
        };
        match dial_for_check(connection, &address, &ways, settings.timeout).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                tracing::debug!(?address, %error, "a health check cannot connect");
                None
            }
        }
    }
}

/// An answer that says nothing of being left out of account.
fn ill(illness: Illness) -> Answer {
    Answer::Ill { illness, excluded: false }
}
