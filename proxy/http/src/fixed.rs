//! Connections that need no upstream (`direct_response`, `echo`).

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use weft_net::{Rewind, Stream};

use crate::{lives::Life, phase::unless_closing};

/// How long a client that was answered may take to close.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes held of a connection.
const BUFFER: usize = 4096;

/// Sends `bytes`, and closes.
pub(crate) async fn answer(mut stream: Rewind<Stream>, bytes: &[u8]) {
    if stream.write_all(bytes).await.is_ok() && stream.shutdown().await.is_ok() {
        // Closing with unread bytes resets the connection, and what was sent may be lost by that.
        let _ = timeout(LINGER, discard(&mut stream)).await;
    }
}

async fn discard(stream: &mut Rewind<Stream>) {
    let mut buffer = [0; BUFFER];
    while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
}

/// Sends back what comes, until nothing more does.
pub(crate) async fn echo(stream: Rewind<Stream>, life: &Life) {
    unless_closing(life.phase_cell(), repeat(stream)).await;
}

async fn repeat(mut stream: Rewind<Stream>) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        let Some(read) = buffer.get(..n) else { return };
        if stream.write_all(read).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}
