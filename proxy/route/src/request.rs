//! What matching looks at.

use http::HeaderMap;

/// The parts of a request that decide its route.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// `:authority` or `Host`, in any case, with its port if it has one.
    pub authority: &'a str,
    /// `:path`: the path with the query string; empty for CONNECT, which has none.
    pub path_and_query: &'a str,
    /// `:method`.
    pub method: &'a str,
    /// What the first client spoke, `http` or `https`, as far as it can be trusted.
    pub scheme: &'a str,
    /// Whether it came from inside (`x-envoy-internal`).
    pub is_internal: bool,
    /// All other header fields.
    pub headers: &'a HeaderMap,
    /// A uniformly random number, one for the whole life of the request, so that every decision
    /// about a share of requests falls the same way.
    pub random: u64,
}

impl<'a> RequestView<'a> {
    /// Whether a tunnel is asked for. An upgrade by extended CONNECT (RFC 8441) is no such request:
    /// it is matched as the GET that it stands for.
    #[inline]
    pub(crate) fn is_connect(&self) -> bool {
        self.method == "CONNECT"
    }

    /// The path without query string and fragment.
    #[inline]
    pub(crate) fn path(&self) -> &'a str {
        let end = memchr::memchr2(b'?', b'#', self.path_and_query.as_bytes());
        end.and_then(|end| self.path_and_query.get(..end)).unwrap_or(self.path_and_query)
    }

    /// What follows the first `?`, or nothing.
    pub(crate) fn query(&self) -> &'a str {
        self.path_and_query.split_once('?').map_or("", |(_, query)| query)
    }
}
