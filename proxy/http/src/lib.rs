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
mod connection_limits;
mod copied;
mod date;
mod deadline;
mod downstream;
mod facts;
mod fault;
mod filters;
mod fixed;
mod forward;
mod greeting;
mod hash;
mod head_rules;
mod headers;
mod http1;
mod http2;
mod inspection;
mod lives;
mod local_reply;
mod mirror;
mod mutation;
mod options;
mod outcome;
mod phase;
mod record;
mod redirect;
mod reply_form;
mod request;
mod retry;
mod rewrite;
mod tcp;
mod timer;
mod tunnel;
mod upstream;
mod websocket;
mod worker;

pub use connection_limits::ConnectionLimits;
pub use fault::{Fault, Processed};
pub use options::listen_options;
pub use phase::Phase;
pub use weft_format::Host;
pub use worker::{Identity, Load, Worker, WorkerOptions};

#[cfg(test)]
mod size {
    //! A future is moved when its task is spawned, and for h2 that is once per request.

    use std::rc::Rc;

    use http::Request;

    use crate::{
        downstream::{Caller, Connection, RequestBody},
        request,
    };

    fn of<F>(_: impl FnOnce(Rc<Connection>, Request<RequestBody>, Caller) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_a_request_stays_small() {
        let size = of(request::handle);
        assert!(size <= 1536, "{size} bytes");
    }
}
