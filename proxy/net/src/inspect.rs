//! What the first bytes of a connection say, without taking part in what they begin.
//!
//! Pure functions over what has been read so far. Each says at which number of bytes it is worth
//! asking again, so that a client that dribbles cannot make anyone look at every byte anew.

mod client_hello;
mod http_line;
mod proxy_protocol;
mod scan;

pub use client_hello::{ClientHello, Hello, inspect_client_hello};
pub use http_line::{HttpLine, inspect_http_line};
pub use proxy_protocol::{
    ProxyError, ProxyHeader, ProxyVersion, Tlv, Told, encode_proxy_v1, encode_proxy_v2,
    inspect_proxy_header,
};
