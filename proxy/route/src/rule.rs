//! One route's conditions.

use http::header::CONTENT_TYPE;

use crate::{
    cookie::CookieMatch, fraction::Fraction, header::HeaderMatch, path::PathMatch,
    query::QueryMatch, request::RequestView,
};

/// `route.v3.RouteMatch`: all of it must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteMatch {
    /// The path.
    pub path: PathMatch,
    /// Header fields.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters.
    pub query: Vec<QueryMatch>,
    /// Cookies.
    pub cookies: Vec<CookieMatch>,
    /// Only gRPC requests, known by their content type.
    pub grpc: bool,
    /// Only a share of requests.
    pub runtime_fraction: Option<Fraction>,
}

impl RouteMatch {
    /// A match on the path alone.
    pub fn path(path: PathMatch) -> Self {
        Self {
            path,
            headers: Vec::new(),
            query: Vec::new(),
            cookies: Vec::new(),
            grpc: false,
            runtime_fraction: None,
        }
    }

    /// Whether a request matches.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        let path_matches = if request.is_connect() {
            self.path == PathMatch::Connect
        } else {
            self.path.matches(request.path())
        };
        path_matches && self.conditions_hold(request)
    }

    /// Whether everything but the path matches.
    #[inline]
    pub(crate) fn conditions_hold(&self, request: &RequestView<'_>) -> bool {
        self.runtime_fraction.is_none_or(|fraction| fraction.includes(request.random))
            && (!self.grpc || is_grpc(request))
            && self.headers.iter().all(|header| header.matches(request))
            && (self.query.is_empty() || {
                let query = request.query();
                self.query.iter().all(|parameter| parameter.matches(query))
            })
            && self.cookies.iter().all(|cookie| cookie.matches(request.headers))
    }
}

fn is_grpc(request: &RequestView<'_>) -> bool {
    request
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"))
        .is_some_and(|rest| rest.first().is_none_or(|next| *next == b'+'))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn grpc_is_known_by_its_content_type() {
        let rule = RouteMatch { grpc: true, ..RouteMatch::path(PathMatch::prefix("/")) };
        let matches = |content_type: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(content_type) = content_type {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            }
            rule.matches(&RequestView {
                authority: "a",
                path_and_query: "/s/m",
                method: "POST",
                scheme: "http",
                is_internal: false,
                headers: &headers,
                random: 0,
            })
        };
        assert!(matches(Some("application/grpc")));
        assert!(matches(Some("application/grpc+proto")));
        assert!(!matches(Some("application/grpc-web")));
        assert!(!matches(None));
    }
}
