//! Requests for another protocol on their connection: `upgrade`, and CONNECT. Once the upstream has
//! agreed, bytes go both ways as they come.

use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Version,
    header::{CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
    request::Parts,
    response,
};
use weft_compile::{Action, HttpChain, RouteEntry, Upgrade};

use weft_h2::Protocol;

use crate::{http1::framing::connection_says, websocket};

/// The name that CONNECT has among upgrades.
const CONNECT: &str = "connect";

/// A tunnel that is asked for and allowed.
#[derive(Clone, Debug)]
pub(crate) enum Tunnel {
    /// By `upgrade`, or by extended CONNECT: the protocol, as the client named it. Boxed, because few
    /// of the requests that have a place for it are such.
    Upgrade(Box<HeaderValue>),
    /// CONNECT, which the upstream is asked for in turn.
    Connect,
    /// CONNECT, or POST, that ends here (`connect_config`): the upstream gets the bytes alone.
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
    ///
    /// Extended CONNECT becomes the GET that it would be in HTTP/1.1, so that routes need not know.
    pub(crate) fn take(parts: &mut Parts) -> Self {
        if parts.method == Method::CONNECT {
            let Some(Protocol(to)) = parts.extensions.remove() else { return Self::Connect };
            parts.method = Method::GET;
            return Self::Upgrade(to);
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
        method: &Method,
    ) -> Result<Option<Tunnel>, Refused> {
        let protocol = match &self {
            Self::Answer if *method == Method::POST && ends_posts(entry) => {
                return Ok(Some(Tunnel::Terminated));
            }
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
            Self::Upgrade(to) => Tunnel::Upgrade(Box::new(to)),
            _ if of_route.is_some_and(|upgrade| upgrade.connect.is_some()) => Tunnel::Terminated,
            _ => Tunnel::Connect,
        }))
    }
}

impl Tunnel {
    /// Makes an upstream's agreement the one that the client's version of HTTP has, where the two
    /// differ. `asked` is what the upstream was sent.
    pub(crate) fn agree(&self, head: &mut response::Parts, client: Version, asked: &HeaderMap) {
        // RFC 9110 §9.3.6: to be ignored, and not to be sent.
        head.headers.remove(CONTENT_LENGTH);
        let Self::Upgrade(to) = self else { return };
        if client >= Version::HTTP_2 {
            head.headers.remove(UPGRADE);
            head.headers.remove(SEC_WEBSOCKET_ACCEPT);
            head.status = StatusCode::OK;
        } else if head.status != StatusCode::SWITCHING_PROTOCOLS {
            head.status = StatusCode::SWITCHING_PROTOCOLS;
            head.headers.insert(UPGRADE, HeaderValue::clone(to));
            if websocket::is(to) {
                websocket::answer(&mut head.headers, asked.get(SEC_WEBSOCKET_KEY));
            }
        }
    }
}

/// Whether a route sends on the payload of a POST as it sends on a tunnel's bytes (`allow_post`).
fn ends_posts(entry: &RouteEntry) -> bool {
    let Action::Forward(to) = &entry.action else { return false };
    find(&to.upgrades, CONNECT.as_bytes()).is_some_and(|upgrade| {
        upgrade.is_enabled && upgrade.connect.is_some_and(|connect| connect.allow_post)
    })
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
        Wanted::take(&mut request.body(()).unwrap().into_parts().0)
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
