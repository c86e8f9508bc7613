//! The routes of a virtual host, in the order in which they are tried.

use std::sync::Arc;

use weft_compile::{RouteConfig, RouteEntry};
use weft_route::{RequestView, Route};

use crate::conditions;

/// How a route stands to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It takes it.
    Takes,
    /// It does not, for these reasons.
    Passes(Vec<String>),
}

/// Every route of a host, and how it stands to the request that `matched` takes.
pub fn tried<'t>(
    routes: &'t RouteConfig,
    host: &str,
    matched: Option<&Route<Arc<RouteEntry>>>,
    request: &RequestView<'_>,
) -> impl Iterator<Item = (&'t Route<Arc<RouteEntry>>, Tried)> {
    let mut taken = false;
    routes.table.routes().filter(move |(of, _)| *of == host).map(move |(_, route)| {
        if matched.is_some_and(|matched| std::ptr::eq(matched, route)) {
            taken = true;
            return (route, Tried::Takes);
        }
        let mut why = conditions::failures(&route.rule, request);
        if why.is_empty() && taken {
            why.push("an earlier route takes the request".to_owned());
        }
        (route, Tried::Passes(why))
    })
}
