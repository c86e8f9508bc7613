//! `/config_dump`: `admin.v3.ConfigDump`, written one resource at a time.
//!
//! Thousands of clusters make tens of megabytes of JSON. Nothing of it is kept: each resource is
//! turned into JSON when its turn comes, and the writer waits for the client.

use std::{io, time::SystemTime};

use regex::Regex;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};
use weft_compile::{
    Dump, RefusedDump, ResourceDump, ResourceStatus, ResourceType, Source, VersionDump,
};
use weft_proto::{json::any_to_json, type_url};

use crate::{
    section::{Part, Section},
    source::BootstrapView,
};

/// What to dump.
pub(crate) struct Request {
    /// Endpoints too.
    pub(crate) include_eds: bool,
    /// Only resources of which a part of the name matches.
    pub(crate) name: Option<Regex>,
}

/// Everything a dump is made of.
pub(crate) struct ConfigDump {
    pub(crate) bootstrap: BootstrapView,
    pub(crate) resources: Dump,
    pub(crate) request: Request,
}

impl ConfigDump {
    /// Writes the dump in Envoy's layout.
    pub(crate) fn write(&self, out: impl io::Write) -> io::Result<()> {
        let indent = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut serializer = serde_json::Serializer::with_formatter(out, indent);
        Ok(self.serialize(&mut serializer)?)
    }

    fn of(&self, kind: ResourceType) -> impl Iterator<Item = &ResourceDump> {
        let name = self.request.name.as_ref();
        let wanted = move |dump: &&ResourceDump| name.is_none_or(|name| name.is_match(&dump.name));
        self.resources.of(kind).iter().filter(wanted)
    }

    fn sections(&self) -> Vec<Section<'_>> {
        let mut sections = vec![self.bootstrap(), self.clusters()];
        if self.request.include_eds {
            sections.push(self.endpoints());
        }
        sections.extend([self.listeners(), self.routes()]);
        sections
    }

    fn bootstrap(&self) -> Section<'_> {
        let mut section = Section::new("BootstrapConfigDump");
        section.lists.push((
            "bootstrap",
            Part::One(Box::new(|| {
                let mut bootstrap = any_to_json(type_url::BOOTSTRAP, &self.bootstrap.value);
                if let Some(fields) = bootstrap.as_object_mut() {
                    fields.remove("@type");
                }
                bootstrap
            })),
        ));
        section
            .lists
            .push(("last_updated", Part::One(Box::new(|| timestamp(self.bootstrap.loaded)))));
        section
    }

    fn clusters(&self) -> Section<'_> {
        let kind = ResourceType::Cluster;
        let mut section = Section::new("ClustersConfigDump");
        section.version = self.newest_version(kind);
        section.list("static_clusters", self.of(kind).filter(is_static), move |dump| {
            Some(self.version(kind, "cluster", dump.active.as_ref()?))
        });
        section.list("dynamic_active_clusters", self.of(kind).filter(is_dynamic), move |dump| {
            // A cluster that was only ever refused is shown too, as an error without a cluster.
            let refused_only = dump.warming.is_none() && dump.refused.is_some();
            (dump.active.is_some() || refused_only)
                .then(|| self.dynamic(kind, "cluster", dump, dump.active.as_ref()))
        });
        section.list("dynamic_warming_clusters", self.of(kind).filter(is_dynamic), move |dump| {
            Some(self.dynamic(kind, "cluster", dump, Some(dump.warming.as_ref()?)))
        });
        section
    }

    fn endpoints(&self) -> Section<'_> {
        let kind = ResourceType::Assignment;
        let mut section = Section::new("EndpointsConfigDump");
        section.list("static_endpoint_configs", self.of(ResourceType::Cluster), move |dump| {
            let cluster = dump.active.as_ref()?;
            let mut json = any_to_json(type_url::CLUSTER, &cluster.value);
            let assignment = json.get_mut("load_assignment")?.take();
            let typed = with_type(type_url::CLUSTER_LOAD_ASSIGNMENT, assignment)?;
            Some(json!({
                "endpoint_config": typed,
                "last_updated": timestamp(cluster.last_updated),
            }))
        });
        section.list("dynamic_endpoint_configs", self.of(kind), move |dump| {
            Some(self.dynamic(kind, "endpoint_config", dump, newest(dump)))
        });
        section
    }

    fn listeners(&self) -> Section<'_> {
        let kind = ResourceType::Listener;
        let mut section = Section::new("ListenersConfigDump");
        section.version = self.newest_version(kind);
        section.list("static_listeners", self.of(kind).filter(is_static), move |dump| {
            Some(self.version(kind, "listener", newest(dump)?))
        });
        section.list("dynamic_listeners", self.of(kind).filter(is_dynamic), move |dump| {
            let mut out = Map::new();
            out.insert("name".into(), json!(*dump.name));
            let states = [("active_state", &dump.active), ("warming_state", &dump.warming)];
            for (name, state) in states {
                if let Some(state) = state {
                    let mut shown = self.version(kind, "listener", state);
                    shown["version_info"] = json!(*state.version);
                    out.insert(name.into(), shown);
                }
            }
            self.outcome(kind, dump, &mut out);
            Some(out.into())
        });
        section
    }

    fn routes(&self) -> Section<'_> {
        let kind = ResourceType::RouteConfiguration;
        let mut section = Section::new("RoutesConfigDump");
        section.lists.push((
            "static_route_configs",
            Part::Many(Box::new(|| {
                Box::new(self.of(ResourceType::Listener).flat_map(|dump| self.inline_routes(dump)))
            })),
        ));
        section.list("dynamic_route_configs", self.of(kind), move |dump| {
            Some(self.dynamic(kind, "route_config", dump, newest(dump)))
        });
        section
    }

    /// Route configurations that stand in a listener.
    fn inline_routes(&self, dump: &ResourceDump) -> Vec<Value> {
        let Some(version) = newest(dump) else { return Vec::new() };
        let mut listener = any_to_json(type_url::LISTENER, &version.value);
        let chains = listener.get_mut("filter_chains").and_then(Value::as_array_mut);
        chains
            .into_iter()
            .flatten()
            .filter_map(|chain| chain.get_mut("filters")?.as_array_mut())
            .flatten()
            .filter_map(|filter| {
                let routes = filter.get_mut("typed_config")?.get_mut("route_config")?.take();
                Some(json!({
                    "route_config": with_type(type_url::ROUTE_CONFIGURATION, routes)?,
                    "last_updated": timestamp(version.last_updated),
                }))
            })
            .collect()
    }

    fn version(&self, kind: ResourceType, field: &str, version: &VersionDump) -> Value {
        json!({
            field: any_to_json(kind.type_url(), &version.value),
            "last_updated": timestamp(version.last_updated),
        })
    }

    /// A dynamic resource in one of its versions, if it has any.
    fn dynamic(
        &self,
        kind: ResourceType,
        field: &str,
        dump: &ResourceDump,
        version: Option<&VersionDump>,
    ) -> Value {
        let mut out = Map::new();
        if let Some(version) = version {
            out.insert("version_info".into(), json!(*version.version));
            if let Value::Object(shown) = self.version(kind, field, version) {
                out.extend(shown);
            }
        }
        self.outcome(kind, dump, &mut out);
        out.into()
    }

    /// How the newest update went.
    fn outcome(&self, kind: ResourceType, dump: &ResourceDump, out: &mut Map<String, Value>) {
        if let Some(refused) = &dump.refused {
            out.insert("error_state".into(), self.refusal(kind, refused));
        }
        let status = match dump.status {
            ResourceStatus::Requested => "REQUESTED",
            ResourceStatus::DoesNotExist => "DOES_NOT_EXIST",
            ResourceStatus::Acked => "ACKED",
            ResourceStatus::Nacked => "NACKED",
        };
        out.insert("client_status".into(), status.into());
    }

    /// `admin.v3.UpdateFailureState`.
    fn refusal(&self, kind: ResourceType, refused: &RefusedDump) -> Value {
        json!({
            "failed_configuration": any_to_json(kind.type_url(), &refused.value),
            "last_update_attempt": timestamp(refused.last_update_attempt),
            "details": refused.details,
            "version_info": *refused.version,
        })
    }

    /// The version of the delivery that changed resources of a type last.
    fn newest_version(&self, kind: ResourceType) -> Option<&str> {
        let versions = self.resources.of(kind).iter().filter(is_dynamic).filter_map(newest);
        let newest = versions.max_by_key(|version| version.last_updated)?;
        Some(&newest.version).filter(|version| !version.is_empty()).map(AsRef::as_ref)
    }
}

fn is_static(dump: &&ResourceDump) -> bool {
    dump.source == Source::Static
}

fn is_dynamic(dump: &&ResourceDump) -> bool {
    dump.source == Source::Dynamic
}

fn newest(dump: &ResourceDump) -> Option<&VersionDump> {
    dump.active.as_ref().or(dump.warming.as_ref())
}

fn with_type(url: &str, message: Value) -> Option<Value> {
    let Value::Object(fields) = message else { return None };
    let mut typed = Map::new();
    typed.insert("@type".into(), url.into());
    typed.extend(fields);
    Some(typed.into())
}

/// RFC 3339 in UTC to the millisecond.
pub(crate) fn timestamp(time: SystemTime) -> Value {
    jiff::Timestamp::try_from(time).map_or(Value::Null, |time| format!("{time:.3}").into())
}

impl Serialize for ConfigDump {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("configs", &self.sections())?;
        map.end()
    }
}
