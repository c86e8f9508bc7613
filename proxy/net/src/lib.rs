//! Sockets: binding, connecting, telling protocols apart by their first bytes, and copying bytes
//! both ways. Knows nothing of HTTP beyond the h2 preface, nothing of configuration.

mod bind;
mod connect;
mod detect;
mod splice;
mod stream;

pub use bind::{Acceptor, bind_pipe, bind_tcp};
pub use connect::{ConnectError, Keepalive, TcpOptions, connect_pipe, connect_tcp};
pub use detect::{Detected, Rewind, detect_http};
pub use splice::{CopyEnd, CopyResult, copy_both_ways};
pub use stream::{PeerAddress, Stream};
