//! `RouteAction.hash_policy`: what of a request decides where it goes, for policies that hash.

use weft_proto::pb::envoy::config::route::v3::{self as wire, route_action::hash_policy};
use weft_route::{HeaderKey, Substitution};

use crate::{
    cookie::{self, Cookie},
    path::At,
    problem::{Notes, Problem},
    rewrite,
};

/// One of the parts that make up a request's hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashPolicy {
    /// What is hashed.
    pub input: HashInput,
    /// `terminal`: where this part is there, the parts after it do not count.
    pub is_terminal: bool,
}

/// `policy_specifier`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashInput {
    /// `header`.
    Header {
        /// `header_name`.
        name: HeaderKey,
        /// `regex_rewrite`.
        rewrite: Option<Substitution>,
    },
    /// `cookie`; with a `ttl` it is given to clients that have none.
    Cookie(Cookie),
    /// `connection_properties.source_ip`.
    SourceIp,
    /// `query_parameter`.
    Query(Box<str>),
}

/// Reads the parts. A part that cannot be followed is left out with a warning, as none of them
/// changes anything but where a request goes.
pub(crate) fn read(
    message: &[wire::route_action::HashPolicy],
    at: &At<'_>,
    notes: &mut Notes,
) -> Box<[HashPolicy]> {
    at.each("hash_policy", message, notes, |policy, at, notes| {
        let input = input(policy, at, notes)?;
        Some(HashPolicy { input, is_terminal: policy.terminal })
    })
}

fn input(
    message: &wire::route_action::HashPolicy,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HashInput> {
    use hash_policy::PolicySpecifier as Kind;
    match &message.policy_specifier {
        None => notes.refuse(&at.field("policy_specifier"), Problem::Missing),
        Some(Kind::Header(header)) => {
            let at = at.field("header");
            let name = header.header_name.parse::<HeaderKey>().or_else(|_| {
                let problem = Problem::HeaderName(header.header_name.clone());
                notes.refuse(&at.field("header_name"), problem).ok_or(())
            });
            let rewrite = match &header.regex_rewrite {
                None => None,
                Some(it) => Some(rewrite::substitution(it, &at.field("regex_rewrite"), notes)?),
            };
            Some(HashInput::Header { name: name.ok()?, rewrite })
        }
        Some(Kind::Cookie(cookie)) => {
            let ttl = cookie::ttl(cookie.ttl.as_ref(), &at.field("cookie"), notes);
            let attributes = cookie
                .attributes
                .iter()
                .map(|attribute| (attribute.name.as_str().into(), attribute.value.as_str().into()));
            Some(HashInput::Cookie(Cookie {
                name: cookie.name.as_str().into(),
                ttl,
                path: cookie.path.as_str().into(),
                attributes: attributes.collect(),
            }))
        }
        Some(Kind::ConnectionProperties(properties)) => {
            properties.source_ip.then_some(HashInput::SourceIp)
        }
        Some(Kind::QueryParameter(parameter)) => {
            Some(HashInput::Query(parameter.name.as_str().into()))
        }
        Some(Kind::FilterState(_)) => {
            notes.warn(&at.field("filter_state"), "left out: there is no filter state");
            None
        }
    }
}
