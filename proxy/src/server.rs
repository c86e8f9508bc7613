//! Reaching the management server.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Error, Uri};

use crate::bootstrap::ServerAddress;

/// A server that does not answer a ping within this time is gone.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is asked, streams or not.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens a connection to the management server.
///
/// # Errors
/// When there is none within the time, or the address cannot be an authority.
pub(crate) async fn connect(address: &ServerAddress) -> Result<Channel, Error> {
    let endpoint = |uri: String| {
        Endpoint::from_shared(uri).map(|endpoint| {
            endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                .keep_alive_while_idle(true)
                .tcp_nodelay(true)
        })
    };
    match address {
        ServerAddress::Tcp(host, port) => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            endpoint(format!("http://{host}:{port}"))?.connect().await
        }
        ServerAddress::Pipe(path) => {
            let path = path.clone();
            let connector = tower::service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            endpoint("http://localhost".to_owned())?.connect_with_connector(connector).await
        }
    }
}
