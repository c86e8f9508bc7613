//! What a bootstrap says about limits of the whole process: runtime keys and resource monitors.

use weft_http::ConnectionLimits;
use weft_proto::pb::{
    envoy::{
        config::bootstrap::v3::{Bootstrap, runtime_layer::LayerSpecifier},
        extensions::resource_monitors::downstream_connections::v3::DownstreamConnectionsConfig,
    },
    google::protobuf::{Struct, Value, value::Kind},
};

/// The limit of connections as runtime layers name it.
const GLOBAL: &str = "overload.global_downstream_max_connections";
/// How the monitor of connections is called in an Any.
const CONNECTIONS: &str =
    "/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig";
/// What the limit of one listener begins and ends with.
const OF_LISTENER: (&str, &str) = ("envoy.resource_limits.listener.", ".connection_limit");

/// Limits for connections of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of all listeners together.
    pub(crate) global: Option<u64>,
    /// Of each listener that is named.
    pub(crate) by_listener: Vec<(Box<str>, u64)>,
}

/// Files that are open whatever comes: those of logs, workers and the control plane.
const OTHER_FILES: u64 = 64;

impl Limits {
    /// These, where the bootstrap has none for all listeners together with the one that was `given`, of
    /// which 0 is none. Otherwise every client can have a connection to an upstream, too.
    pub(crate) fn within(&self, given: Option<u64>, files: Option<u64>) -> ConnectionLimits {
        let of_files = files.map(|files| (files.saturating_sub(OTHER_FILES) / 2).max(1));
        let by_default = match given {
            Some(given) => Some(given).filter(|given| *given > 0),
            None => of_files,
        };
        ConnectionLimits::new(self.global.or(by_default), self.by_listener.iter().cloned())
    }

    /// Reads the static layers, of which later ones override earlier ones, and the overload manager,
    /// which counts before either. What is wrong, and what has no effect, is added to the lists.
    pub(crate) fn read(
        bootstrap: &Bootstrap,
        findings: &mut Vec<String>,
        warnings: &mut Vec<String>,
    ) -> Self {
        let mut limits = Self::default();
        let layers = bootstrap.layered_runtime.iter().flat_map(|runtime| &runtime.layers);
        for (index, layer) in layers.enumerate() {
            let Some(LayerSpecifier::StaticLayer(layer)) = &layer.layer_specifier else { continue };
            let mut keys = Vec::new();
            flatten(layer, "", &mut keys);
            for (key, value) in keys {
                let path = format!("layered_runtime.layers[{index}].static_layer.{key}");
                limits.take(&key, value, &path, findings, warnings);
            }
        }
        let monitors = bootstrap.overload_manager.iter().flat_map(|m| &m.resource_monitors);
        for (index, monitor) in monitors.enumerate() {
            use weft_proto::pb::envoy::config::overload::v3::resource_monitor::ConfigType;
            let Some(ConfigType::TypedConfig(any)) = &monitor.config_type else { continue };
            if !any.type_url.ends_with(CONNECTIONS) {
                continue;
            }
            let read: Result<DownstreamConnectionsConfig, _> =
                prost::Message::decode(any.value.as_slice());
            let most = read.ok().and_then(|config| {
                u64::try_from(config.max_active_downstream_connections)
                    .ok()
                    .filter(|most| *most > 0)
            });
            match most {
                Some(most) => limits.global = Some(most),
                None => findings.push(format!(
                    "overload_manager.resource_monitors[{index}].typed_config.\
                     max_active_downstream_connections: must be above 0"
                )),
            }
        }
        limits
    }

    fn take(
        &mut self,
        key: &str,
        value: &Value,
        path: &str,
        findings: &mut Vec<String>,
        warnings: &mut Vec<String>,
    ) {
        let (start, end) = OF_LISTENER;
        let listener = key.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
        if key != GLOBAL && listener.is_none() {
            warnings.push(format!("{path}: has no effect: no such runtime key is known"));
            return;
        }
        let Some(most) = whole(value) else {
            findings.push(format!("{path}: is no number of connections"));
            return;
        };
        match listener {
            None => self.global = Some(most),
            Some(name) => {
                self.by_listener.retain(|(known, _)| **known != *name);
                self.by_listener.push((name.into(), most));
            }
        }
    }
}

/// All keys of a layer with dots between their parts, in order.
fn flatten<'v>(layer: &'v Struct, before: &str, keys: &mut Vec<(String, &'v Value)>) {
    let mut fields: Vec<_> = layer.fields.iter().collect();
    fields.sort_by_key(|(name, _)| *name);
    for (name, value) in fields {
        let key = if before.is_empty() { name.clone() } else { format!("{before}.{name}") };
        match &value.kind {
            Some(Kind::StructValue(inner)) => flatten(inner, &key, keys),
            _ => keys.push((key, value)),
        }
    }
}

/// A whole number that is not negative, also as text.
fn whole(value: &Value) -> Option<u64> {
    match value.kind.as_ref()? {
        // Texts of JSON hold numbers as floats; one with a fraction reads as no u64.
        Kind::NumberValue(number) => number.to_string().parse().ok(),
        Kind::StringValue(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use weft_proto::json;

    use super::*;

    fn read(text: &str) -> (Limits, Vec<String>, Vec<String>) {
        let bootstrap = json::from_yaml::<Bootstrap>(text).unwrap();
        let (mut findings, mut warnings) = (Vec::new(), Vec::new());
        let limits = Limits::read(&bootstrap, &mut findings, &mut warnings);
        (limits, findings, warnings)
    }

    #[test]
    fn a_limit_is_the_bootstrap_s_or_given_or_what_files_allow() {
        let most = |bootstrap, given, files| {
            let limits = Limits { global: bootstrap, ..Limits::default() };
            limits.within(given, files).most()
        };
        assert_eq!(most(Some(5), Some(6), Some(1000)), Some(5));
        assert_eq!(most(None, Some(6), Some(1000)), Some(6));
        assert_eq!(most(None, Some(0), Some(1000)), None);
        assert_eq!(most(None, None, Some(1064)), Some(500));
        assert_eq!(most(None, None, Some(3)), Some(1));
        assert_eq!(most(None, None, None), None);
    }

    #[test]
    fn later_layers_override_and_unknown_keys_are_named() {
        let (limits, findings, warnings) = read(
            "layered_runtime: {layers: [\
             {name: a, static_layer: {overload: {global_downstream_max_connections: 7}, x: true}},\
             {name: b, static_layer: {overload.global_downstream_max_connections: 9,\
              envoy.resource_limits.listener.in.a.connection_limit: 3}}]}",
        );
        assert_eq!(limits.global, Some(9));
        assert_eq!(limits.by_listener, [("in.a".into(), 3)]);
        assert_eq!(findings, Vec::<String>::new());
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].starts_with("layered_runtime.layers[0].static_layer.x: "),
            "{warnings:?}"
        );
    }

    #[test]
    fn what_is_no_number_of_connections_is_refused() {
        for wrong in ["-1", "1.5", "many", "[1]"] {
            let (_, findings, _) = read(&format!(
                "layered_runtime: {{layers: [{{name: a, static_layer: \
                 {{overload.global_downstream_max_connections: {wrong}}}}}]}}"
            ));
            assert_eq!(findings.len(), 1, "{wrong}");
        }
    }
}
