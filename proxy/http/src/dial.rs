//! Opening connections to endpoints, as the settings of their cluster say.

use std::{net::SocketAddr, time::Duration};

use tokio::{io::AsyncWriteExt as _, time::timeout};
use weft_balance::EndpointAddress;
use weft_compile::ConnectionSettings;
use weft_format::View;
use weft_net::{ConnectError, Stream, connect_any, connect_pipe, connect_tcp};

use crate::{
    greeting::greeting,
    options::{address_order, tcp_options},
};

/// Connects to an address, or where there are several `ways` to one of those.
pub(crate) async fn dial(
    settings: &ConnectionSettings,
    address: &EndpointAddress,
    ways: &[SocketAddr],
    limit: Duration,
) -> Result<Stream, ConnectError> {
    let options = |address: SocketAddr| tcp_options(settings, address.ip());
    match address {
        EndpointAddress::Ip(address) if ways.is_empty() => {
            connect_tcp(*address, &options(*address), limit).await
        }
        EndpointAddress::Ip(_) | EndpointAddress::Name(_) => {
            connect_any(ways, address_order(settings), options, limit).await
        }
        EndpointAddress::Pipe(path) => connect_pipe(path, limit).await,
    }
}

/// Connects for a health check, on behalf of no client: an upstream that is told who the client is
/// hears of none.
///
/// # Errors
/// When there is no connection within the limit.
pub async fn dial_for_check(
    settings: &ConnectionSettings,
    address: &EndpointAddress,
    ways: &[SocketAddr],
    limit: Duration,
) -> Result<Stream, ConnectError> {
    let mut stream = dial(settings, address, ways, limit).await?;
    if let Some(asked) = &settings.proxy_protocol {
        let greeting = greeting(asked, None, &[], &View::default());
        timeout(limit, stream.write_all(&greeting))
            .await
            .map_err(|_| ConnectError::Timeout(limit))??;
    }
    Ok(stream)
}
