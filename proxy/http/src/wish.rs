//! What a request brings that makes it stick to where the one before it went.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use weft_balance::{Criteria, EndpointAddress, Picked, Sought};
use weft_compile::Cluster;

use crate::fault::Fault;

/// An endpoint that a request asks for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// Where it is.
    pub(crate) address: EndpointAddress,
    /// Whether no other will do;
    pub(crate) is_strict: bool,
    /// what is answered then, where there is no such endpoint.
    pub(crate) when_missing: StatusCode,
}

/// What becomes of a wish.
pub(crate) enum Granted<'a> {
    /// It is this endpoint.
    Yes(Picked<'a>),
    /// It is any.
    No,
    /// No other will do.
    Never(Fault),
}

impl Wish {
    /// Looks for the endpoint among those of a cluster.
    pub(crate) fn grant<'a>(&self, cluster: &'a Cluster) -> Granted<'a> {
        let refused = match cluster.balancer.seek(&self.address, cluster.live) {
            Sought::Found(picked) => return Granted::Yes(picked),
            Sought::Unfit => Fault::NoHealthyUpstream,
            Sought::Missing => Fault::NoSuchEndpoint(self.when_missing),
        };
        if self.is_strict { Granted::Never(refused) } else { Granted::No }
    }
}

/// What few requests have: a wish, labels that they ask of an endpoint, or a cookie that their clients
/// are given.
#[derive(Debug, Default)]
pub(crate) struct Sticky {
    pub(crate) wish: Option<Wish>,
    /// What its route asks of an endpoint, for a cluster with subsets.
    pub(crate) asked: Option<Arc<Criteria>>,
    pub(crate) cookie: Option<HeaderValue>,
    /// Why the wish was refused, if no other endpoint will do.
    pub(crate) refused: Option<Fault>,
}

impl Sticky {
    /// Nothing, where there is none of them.
    pub(crate) fn new(
        wish: Option<Box<Wish>>,
        asked: Option<&Arc<Criteria>>,
        cookie: Option<HeaderValue>,
    ) -> Option<Box<Self>> {
        if wish.is_none() && asked.is_none() && cookie.is_none() {
            return None;
        }
        let asked = asked.cloned();
        Some(Box::new(Self { wish: wish.map(|wish| *wish), asked, cookie, refused: None }))
    }
}
