//! The request path: from an accepted connection to an upstream and back.
//!
//! A request's way, in the order of the code:
//!
//! 1. [`Worker::serve`] accepts on one thread ([`worker`]); listener filters look at the first bytes
//!    ([`inspection`]), and a filter chain of the listener takes the connection ([`admission`]).
//! 2. A connection is told apart by its first bytes, and served by its protocol ([`downstream`]).
//! 3. Each request pins one `Tables`, is matched and acted upon ([`request`]).
//! 4. Forwarding picks an endpoint, tries elsewhere what was provably not processed ([`forward`]), and
//!    exchanges messages on a connection of this worker's pool ([`upstream`]).
//! 5. The response streams back through a body that counts, times and returns the connection
//!    ([`body`]).
//!
//! Everything is local to one worker thread: pools need no lock, and no future is boxed per layer.

mod admission;
mod body;
mod buffers;
mod client;
mod comparison;
mod connection_limits;
mod connection_question;
mod copied;
mod date;
mod deadline;
mod dial;
mod downstream;
mod facts;
mod fault;
mod filters;
mod fixed;
mod forward;
mod greeting;
mod head_rules;
mod headers;
mod http1;
mod http2;
mod inspection;
mod lag;
mod lives;
mod local_reply;
mod mirror;
mod mutation;
mod options;
mod outcome;
mod overload;
mod phase;
mod record;
mod redirect;
mod reply_form;
mod request;
mod retry;
mod rewrite;
mod rpc;
mod stall;
mod tcp;
mod ticks;
mod timer;
mod tunnel;
mod upstream;
mod websocket;
mod wish;
mod worker;

pub use connection_limits::ConnectionLimits;
pub use dial::dial_for_check;
pub use fault::{Breaker, Fault, Processed};
pub use options::listen_options;
pub use overload::{Overload, Pressure};
pub use phase::Phase;
pub use upstream::Claims;
pub use weft_format::Host;
pub use worker::{Identity, Load, Worker, WorkerOptions};

#[cfg(test)]
mod size {
    //! What a connection costs while nothing happens on it is mostly its task, and what a request
    //! costs on h2 is mostly its future.

    use std::{rc::Rc, sync::Arc};

    use http::Request;
    use weft_compile::HttpChain;
    use weft_net::{Rewind, Stream};

    use crate::{
        client::Client,
        downstream::{self, Caller, Connection, RequestBody},
        lives::Life,
        request,
        worker::Worker,
    };

    fn of_request<F>(_: impl FnOnce(Rc<Connection>, Request<RequestBody>, Caller) -> F) -> usize {
        size_of::<F>()
    }

    type Held = [usize; 8];

    fn of_connection<F>(
        _: impl FnOnce(Rc<Worker>, Arc<HttpChain>, Rewind<Stream>, Client, Rc<Life>, Held) -> F,
    ) -> usize {
        size_of::<F>()
    }

    fn of_http2<'c, F>(_: impl FnOnce(&'c Rc<Connection>, Rewind<Stream>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn futures_stay_small() {
        let sizes = [
            ("request", of_request(request::handle), 1536),
            ("connection", of_connection(downstream::serve::<Held>), 3328),
            ("h2 connection", of_http2(downstream::serve_http2), 1024),
        ];
        for (name, size, most) in sizes {
            eprintln!("{name}: {size} bytes");
            assert!(size <= most, "{name}: {size} bytes");
        }
    }
}
