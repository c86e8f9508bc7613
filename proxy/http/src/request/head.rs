//! The parts of a request that name what is asked for.

use http::{Method, header::HOST, request::Parts};

use crate::fault::Fault;

/// The parts of a request that name what is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) authority: &'a str,
    pub(crate) path_and_query: &'a str,
}

impl<'a> Head<'a> {
    pub(crate) fn read(parts: &'a Parts) -> Result<Self, Fault> {
        if parts.method == Method::CONNECT {
            let authority = parts.uri.authority().ok_or(Fault::BadRequest(""))?.as_str();
            return Ok(Self { authority, path_and_query: "" });
        }
        let mut hosts = parts.headers.get_all(HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            // Two hops that each take another one for the host see different requests.
            return Err(Fault::BadRequest("more than one host"));
        }
        // An absolute-form target wins over `host` (RFC 9112 §3.2.2); h2 has `:authority`.
        let authority = match parts.uri.authority() {
            // What has an authority and no scheme is the target of a CONNECT.
            Some(_) if parts.uri.scheme().is_none() => {
                return Err(Fault::BadRequest("the target is no path"));
            }
            Some(authority) => authority.as_str(),
            None => host
                .ok_or(Fault::BadRequest(""))?
                .to_str()
                .map_err(|_| Fault::BadRequest("host is not ASCII"))?,
        };
        let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { authority, path_and_query })
    }
}
