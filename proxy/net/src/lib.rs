//! Sockets: binding, connecting, telling protocols apart by their first bytes, and copying bytes
//! both ways; and what else only the system can do. Knows nothing of HTTP beyond the h2 preface,
//! nothing of configuration.

mod bind;
mod connect;
mod detect;
mod free_memory;
mod inspect;
mod open_files;
mod option;
mod own_code;
mod pipes;
mod splice;
mod stream;

pub use bind::{Acceptor, ListenOptions, bind_pipe, bind_tcp};
pub use connect::{
    AddressOrder, ConnectError, Keepalive, TcpOptions, connect_any, connect_pipe, connect_tcp,
};
pub use detect::{Detected, Rewind, detect_http};
pub use free_memory::give_back_free_memory;
pub use inspect::{
    ClientHello, Hello, HttpLine, ProxyError, ProxyHeader, ProxyVersion, Tlv, Told,
    encode_proxy_v1, encode_proxy_v2, inspect_client_hello, inspect_http_line,
    inspect_proxy_header,
};
pub use open_files::raise_open_files;
pub use option::{SocketOption, When};
pub use own_code::give_back_own_code;
pub use splice::{CopyEnd, Moved, Side, copy_both_ways};
pub use stream::{PeerAddress, Stream};
