//! A response of either mode, reduced to what it means.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use prost::Name as _;
use weft_proto::{
    discovery::{
        Any, DeltaDiscoveryResponse, DiscoveryResponse, Resource as Wrapper, ResourceError,
    },
    type_url::message_name,
};

use crate::{
    message::Response,
    outline::{Name, name_of},
    resource_type::ResourceType,
    snapshot::Version,
};

/// A resource just received.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) name: Name,
    pub(super) version: String,
    pub(super) body: Bytes,
    /// Whatever a server calls it, equal content is no news.
    pub(super) content: Version,
    /// How long it lives unless it is refreshed.
    pub(super) ttl: Option<Duration>,
}

/// A resource that is named as still valid.
#[derive(Debug)]
pub(super) struct Refreshed {
    pub(super) name: Name,
    /// The version that is; empty for whichever the client has.
    pub(super) version: String,
    pub(super) ttl: Option<Duration>,
}

/// What a response says.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) nonce: String,
    pub(super) version: String,
    pub(super) resources: Vec<Incoming>,
    /// Named as still valid, without content.
    pub(super) refreshed: Vec<Refreshed>,
    pub(super) removed: Vec<Name>,
    /// What the server cannot serve, and why.
    pub(super) errors: Vec<(Name, String)>,
    /// What is wrong with it that no name can be given to.
    pub(super) problems: Vec<String>,
    /// A name that occurs twice: the response contradicts itself as a whole.
    pub(super) duplicate: Option<Name>,
}

impl Decoded {
    pub(super) fn new(of: ResourceType, response: Response) -> Self {
        let mut decoded = match response {
            Response::Sotw(response) => Self::sotw(of, response),
            Response::Delta(response) => Self::delta(of, response),
        };
        let mut seen = BTreeSet::new();
        let names = decoded.resources.iter().map(|each| &each.name);
        decoded.duplicate = names.chain(&decoded.removed).find(|name| !seen.insert(*name)).cloned();
        decoded
    }

    fn sotw(of: ResourceType, response: DiscoveryResponse) -> Self {
        let mut decoded = Self {
            nonce: response.nonce,
            version: response.version_info,
            errors: errors(response.resource_errors),
            ..Self::default()
        };
        let version = decoded.version.clone();
        for (index, any) in response.resources.into_iter().enumerate() {
            if message_name(&any.type_url) != Wrapper::full_name() {
                decoded.add(of, index, None, (version.clone(), None), any);
                continue;
            }
            match any.unpack::<Wrapper>() {
                Ok(mut wrapper) => {
                    // Versions are those of responses here.
                    wrapper.version.clear();
                    decoded.add_wrapped(of, index, version.clone(), wrapper);
                }
                Err(error) => decoded.problem(index, &error),
            }
        }
        decoded
    }

    fn delta(of: ResourceType, response: DeltaDiscoveryResponse) -> Self {
        let named = response.removed_resource_names.into_iter().map(|each| each.name);
        let mut decoded = Self {
            nonce: response.nonce,
            version: response.system_version_info,
            removed: response.removed_resources.into_iter().chain(named).map(Name::from).collect(),
            errors: errors(response.resource_errors),
            ..Self::default()
        };
        for (index, wrapper) in response.resources.into_iter().enumerate() {
            let version = wrapper.version.clone();
            decoded.add_wrapped(of, index, version, wrapper);
        }
        decoded
    }

    fn add_wrapped(&mut self, of: ResourceType, index: usize, version: String, wrapper: Wrapper) {
        let name = match wrapper.resource_name {
            Some(name) if wrapper.name.is_empty() => name.name,
            _ => wrapper.name,
        };
        let name = (!name.is_empty()).then(|| Name::from(name));
        let ttl = wrapper.ttl.and_then(|ttl| {
            let (seconds, nanos) = (ttl.seconds.try_into().ok()?, ttl.nanos.try_into().ok()?);
            Some(Duration::new(seconds, nanos)).filter(|ttl| !ttl.is_zero())
        });
        match (wrapper.resource, name) {
            (Some(any), name) => self.add(of, index, name, (version, ttl), any),
            (None, Some(name)) => {
                self.refreshed.push(Refreshed { name, version: wrapper.version, ttl });
            }
            (None, None) => self.problem(index, &"neither a name nor a resource"),
        }
    }

    fn add(
        &mut self,
        of: ResourceType,
        index: usize,
        name: Option<Name>,
        (version, ttl): (String, Option<Duration>),
        any: Any,
    ) {
        if any.type_url != of.type_url() {
            let what = format!("type {:?} in a response of {}", any.type_url, of.type_url());
            return self.problem(index, &what);
        }
        let name = match name.map_or_else(|| name_of(&any.value), Ok) {
            Ok(name) => name,
            Err(error) => return self.problem(index, &error),
        };
        if name.is_empty() {
            return self.problem(index, &"the resource has no name");
        }
        let content = Version::of(&any.value);
        self.resources.push(Incoming { name, version, body: any.value, content, ttl });
    }

    fn problem(&mut self, index: usize, what: &dyn std::fmt::Display) {
        self.problems.push(format!("resource index {index}: {what}"));
    }
}

fn errors(errors: Vec<ResourceError>) -> Vec<(Name, String)> {
    let pair = |error: ResourceError| {
        let reason = error.error_detail.map_or_else(String::new, |status| status.message);
        Some((Name::from(error.resource_name?.name), reason))
    };
    errors.into_iter().filter_map(pair).collect()
}
