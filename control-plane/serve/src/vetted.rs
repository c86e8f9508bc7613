//! Resources that every proxy of this version would take.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde::Serialize;
use weft_compile::check_resource;
use weft_xds::{Name, Resource, ResourceType, Resources};

/// Resources of one type that have passed the proxy's compile step.
#[derive(Debug, Default)]
pub struct Vetted {
    resources: Arc<Resources>,
    withheld: Vec<Withheld>,
}

/// A resource that proxies would refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Withheld {
    /// The type's abbreviation, for example `CDS`.
    pub r#type: &'static str,
    /// The resource's name.
    pub name: String,
    /// All that is wrong with it.
    pub reasons: Vec<String>,
    /// The version sent in its place; `None` if there never was a good one.
    pub sent: Option<String>,
}

impl Vetted {
    /// Runs encoded resources through the compile step. One that fails is replaced by its version
    /// in `previous`, or left out. What is the same as in `previous` is neither checked nor
    /// encoded again.
    pub fn new<'a>(
        of: ResourceType,
        bodies: impl IntoIterator<Item = (&'a Name, &'a Bytes)>,
        previous: Option<&Self>,
    ) -> Self {
        let mut good = BTreeMap::new();
        let mut withheld = Vec::new();
        for (name, body) in bodies {
            let before = previous.and_then(|previous| previous.resources.get(name));
            if let Some(same) = before.filter(|before| before.body() == body) {
                good.insert(Name::clone(name), same.clone());
                continue;
            }
            let reasons = reasons_against(of, body);
            if reasons.is_empty() {
                good.insert(Name::clone(name), Resource::new(of, body.clone()));
                continue;
            }
            withheld.push(Withheld {
                r#type: of.abbreviation(),
                name: name.to_string(),
                reasons,
                sent: before.map(|before| before.version().to_string()),
            });
            if let Some(before) = before {
                good.insert(Name::clone(name), before.clone());
            }
        }
        let resources = Resources::new(good);
        // An equal set stays the same allocation, and a stream sees at once that nothing changed.
        let resources = match previous {
            Some(previous) if previous.resources.version() == resources.version() => {
                Arc::clone(&previous.resources)
            }
            Some(previous) => Arc::new(resources.following(&previous.resources)),
            None => Arc::new(resources),
        };
        Self { resources, withheld }
    }

    /// The resources.
    pub fn resources(&self) -> &Arc<Resources> {
        &self.resources
    }

    /// What did not pass.
    pub fn withheld(&self) -> &[Withheld] {
        &self.withheld
    }
}

/// Why a proxy would refuse this, if it would.
fn reasons_against(of: ResourceType, body: &Bytes) -> Vec<String> {
    let kind = match of {
        ResourceType::Cluster => weft_resources::ResourceType::Cluster,
        ResourceType::Endpoint => weft_resources::ResourceType::Assignment,
        ResourceType::Listener => weft_resources::ResourceType::Listener,
        ResourceType::Route => weft_resources::ResourceType::RouteConfiguration,
        other => return vec![format!("no proxy takes {} so far", other.abbreviation())],
    };
    match check_resource(kind, body) {
        Ok(_) => Vec::new(),
        Err(reasons) => reasons.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use weft_proto::pb::envoy::config::route::v3::{
        Route, RouteConfiguration, RouteMatch, VirtualHost, route::Action,
        route_match::PathSpecifier,
    };

    use super::*;

    /// A route configuration whose one route redirects below `prefix`; without it, it is invalid.
    fn routes(prefix: Option<&str>) -> Bytes {
        let route = Route {
            r#match: Some(RouteMatch {
                path_specifier: prefix.map(|prefix| PathSpecifier::Prefix(prefix.to_owned())),
                ..RouteMatch::default()
            }),
            action: Some(Action::Redirect(Default::default())),
            ..Route::default()
        };
        RouteConfiguration {
            name: "r".into(),
            virtual_hosts: vec![VirtualHost {
                name: "v".into(),
                domains: vec!["*".into()],
                routes: vec![route],
                ..VirtualHost::default()
            }],
            ..RouteConfiguration::default()
        }
        .encode_to_vec()
        .into()
    }

    fn vet(body: &Bytes, previous: Option<&Vetted>) -> Vetted {
        Vetted::new(ResourceType::Route, [(&Name::from("r"), body)], previous)
    }

    #[test]
    fn what_proxies_would_refuse_is_withheld_and_the_last_good_version_stays() {
        let never_good = vet(&routes(None), None);
        assert!(never_good.resources().is_empty());
        assert_eq!(never_good.withheld()[0].sent, None);

        let good = vet(&routes(Some("/a")), None);
        assert_eq!((good.resources().len(), good.withheld()), (1, &[][..]));

        let bad = vet(&routes(None), Some(&good));
        assert!(Arc::ptr_eq(bad.resources(), good.resources()));
        let withheld = &bad.withheld()[0];
        assert_eq!((withheld.r#type, withheld.name.as_str()), ("RDS", "r"));
        assert_eq!(withheld.sent, Some(good.resources().get("r").unwrap().version().to_string()));
        assert!(withheld.reasons[0].contains("virtual_hosts[0].routes[0]"), "{withheld:?}");

        let healed = vet(&routes(Some("/b")), Some(&bad));
        assert_eq!(healed.withheld(), []);
        assert_ne!(healed.resources().version(), good.resources().version());
    }
}
