//! Requests for another protocol on their connection: `upgrade`, and CONNECT. Once the upstream has
//! agreed, bytes go both ways as they come.

use http::{HeaderValue, Method, Version, header::UPGRADE, request::Parts};
use weft_compile::{Action, HttpChain, RouteEntry, Upgrade};

use crate::http1::framing::connection_says;

/// The name that CONNECT has among upgrades.
const CONNECT: &str = "connect";

/// A tunnel that is asked for and allowed.
#[derive(Clone, Debug)]
pub(crate) enum Tunnel {
    /// By `upgrade`: the protocol, as the client named it.
    Upgrade(HeaderValue),
    /// CONNECT, which the upstream is asked for in turn.
    Connect,
    /// CONNECT that ends here (`connect_config`): the upstream gets the bytes alone.
    Terminated,
}

/// What a request asks for.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// To be answered, nothing else.
    Answer,
    /// This protocol.
    Upgrade(HeaderValue),
    /// A tunnel to an authority.
    Connect,
}

/// Neither the route nor the chain allows it, or the route forbids it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl Wanted {
    /// What this request asks for. An upgrade to h2 is no tunnel and nobody has to agree to it: the
    /// request is answered as it is.
    pub(crate) fn of(parts: &Parts) -> Self {
        if parts.method == Method::CONNECT {
            return Self::Connect;
        }
        if parts.version != Version::HTTP_11 {
            return Self::Answer;
        }
        match parts.headers.get(UPGRADE) {
            Some(to)
                if !to.as_bytes().eq_ignore_ascii_case(b"h2c")
                    && connection_says(&parts.headers, b"upgrade") =>
            {
                Self::Upgrade(to.clone())
            }
            _ => Self::Answer,
        }
    }

    /// The tunnel, if the route allows it, or the chain does and the route does not forbid it.
    pub(crate) fn allowed(
        self,
        chain: &HttpChain,
        entry: &RouteEntry,
    ) -> Result<Option<Tunnel>, Refused> {
        let protocol = match &self {
            Self::Answer => return Ok(None),
            Self::Upgrade(to) => to.as_bytes(),
            Self::Connect => CONNECT.as_bytes(),
        };
        let of_route = match &entry.action {
            Action::Forward(to) => find(&to.upgrades, protocol),
            _ => None,
        };
        let of_chain = find(&chain.upgrades, protocol);
        if !of_route.or(of_chain).is_some_and(|upgrade| upgrade.is_enabled) {
            return Err(Refused);
        }
        Ok(Some(match self {
            Self::Upgrade(to) => Tunnel::Upgrade(to),
            _ if of_route.is_some_and(|upgrade| upgrade.connect.is_some()) => Tunnel::Terminated,
            _ => Tunnel::Connect,
        }))
    }
}

fn find<'u>(upgrades: &'u [Upgrade], protocol: &[u8]) -> Option<&'u Upgrade> {
    upgrades.iter().find(|upgrade| upgrade.protocol.as_bytes().eq_ignore_ascii_case(protocol))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn wanted(fields: &[(&'static str, &'static str)]) -> Wanted {
        let mut request = Request::builder().uri("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        Wanted::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn an_upgrade_must_be_meant_for_this_hop() {
        let asked = wanted(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert!(matches!(asked, Wanted::Upgrade(to) if to == "websocket"));
        assert!(matches!(wanted(&[("upgrade", "websocket")]), Wanted::Answer));
        let h2c = wanted(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")]);
        assert!(matches!(h2c, Wanted::Answer));
    }
}
