//! Where resources come from (`core.v3.ConfigSource`).

use std::{fmt, sync::Arc, time::Duration};

use weft_proto::pb::envoy::config::core::v3 as core;

use crate::{
    api_source::{self, ApiSource},
    path::At,
    problem::{Notes, Problem, Reason},
    scalar,
};

/// How long a subscription waits for its first answer. When it ends the resource counts as one
/// that does not exist (`ConfigSource.initial_fetch_timeout`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FetchTimeout {
    /// This long; 15 s unless set.
    After(Duration),
    /// For ever (set to 0).
    Never,
}

impl Default for FetchTimeout {
    fn default() -> Self {
        Self::After(Duration::from_secs(15))
    }
}

/// Where a resource comes from, and how long to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSource {
    /// Where from.
    pub origin: Origin,
    /// `initial_fetch_timeout`.
    pub fetch_timeout: FetchTimeout,
}

/// Where a resource comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// `ads`: the one stream that carries everything. `self` means it too, as what refers to
    /// itself came over it.
    Aggregated,
    /// `api_config_source`: a stream for this type alone.
    Api(Arc<ApiSource>),
    /// `path_config_source`: a file.
    File(Arc<FileSource>),
}

/// `core.v3.PathConfigSource`: a file with a `DiscoveryResponse`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileSource {
    /// `path`.
    pub path: Arc<str>,
    /// `watched_directory.path`: where a change shows, if not in the folder of the file.
    pub watched_directory: Option<Arc<str>>,
}

/// Stands between the name of a resource and its origin in a key.
const SEPARATOR: char = '\n';

impl Origin {
    /// What identifies a resource of this origin among all of its type: two origins may use one
    /// name for different things. By the aggregated stream it is the name itself.
    pub fn key(&self, name: &str) -> Arc<str> {
        match self {
            Self::Aggregated => Arc::from(name),
            Self::Api(_) | Self::File(_) => Arc::from(format!("{name}{SEPARATOR}{self:?}")),
        }
    }
}

/// The name that a key of [`Origin::key`] stands for.
pub fn name_of_key(key: &str) -> &str {
    key.split_once(SEPARATOR).map_or(key, |(name, _)| name)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aggregated => f.write_str("ADS"),
            Self::Api(api) => write!(f, "{api}"),
            Self::File(file) => f.write_str(&file.path),
        }
    }
}

impl ConfigSource {
    /// Reads a source outside of any resource: one of the bootstrap, which stands at `path` there.
    ///
    /// # Errors
    /// All reasons why it is refused, at least one.
    pub fn read(message: &core::ConfigSource, path: &'static str) -> Result<Self, Vec<Reason>> {
        let root = At::root();
        let mut notes = Notes::default();
        match read(Some(message), &root.field(path), &mut notes) {
            Some(source) if notes.reasons.is_empty() => Ok(source),
            _ => Err(notes.reasons),
        }
    }
}

/// Reads the source of a resource.
pub(crate) fn read(
    message: Option<&core::ConfigSource>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ConfigSource> {
    use core::config_source::ConfigSourceSpecifier as Source;
    let Some(message) = message else { return notes.refuse(at, Problem::Missing) };
    api_source::version(message.resource_api_version, &at.field("resource_api_version"), notes);
    let origin = match &message.config_source_specifier {
        None => return notes.refuse(at, Problem::Missing),
        Some(Source::Ads(_) | Source::Self_(_)) => Origin::Aggregated,
        Some(Source::ApiConfigSource(api)) => {
            let api = api_source::read(api, &at.field("api_config_source"), notes)?;
            Origin::Api(Arc::new(api))
        }
        Some(Source::PathConfigSource(file)) => {
            Origin::File(Arc::new(path(file, &at.field("path_config_source"), notes)?))
        }
        // Only the deprecated `path` is left.
        Some(_) => {
            let at = at.field("path");
            return notes.unsupported(&at, "this field", "write path_config_source: {path: …}");
        }
    };
    let fetch_timeout = match &message.initial_fetch_timeout {
        None => FetchTimeout::default(),
        Some(timeout) => {
            let timeout = scalar::duration(timeout, &at.field("initial_fetch_timeout"), notes)?;
            if timeout.is_zero() { FetchTimeout::Never } else { FetchTimeout::After(timeout) }
        }
    };
    Some(ConfigSource { origin, fetch_timeout })
}

fn path(message: &core::PathConfigSource, at: &At<'_>, notes: &mut Notes) -> Option<FileSource> {
    let known = [".json", ".yaml", ".yml", ".pb"];
    if message.path.is_empty() {
        return notes.refuse(&at.field("path"), Problem::Missing);
    }
    if !known.iter().any(|ending| message.path.ends_with(ending)) {
        let what = format!("a file like {:?}", message.path);
        return notes.unsupported(&at.field("path"), what, ".yaml, .json and .pb are");
    }
    let watched_directory = match &message.watched_directory {
        Some(watched) if watched.path.is_empty() => {
            return notes.refuse(&at.field("watched_directory.path"), Problem::Missing);
        }
        watched => watched.as_ref().map(|watched| Arc::from(watched.path.as_str())),
    };
    Some(FileSource { path: Arc::from(message.path.as_str()), watched_directory })
}

#[cfg(test)]
mod tests {
    use weft_proto::json::from_yaml;

    use super::*;

    fn source(text: &str) -> Result<ConfigSource, Vec<String>> {
        ConfigSource::read(&from_yaml(text).unwrap(), "config")
            .map_err(|reasons| reasons.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_source_is_the_aggregated_stream_a_stream_or_a_file() {
        for text in ["{ads: {}}", "{self: {}, resource_api_version: V3}"] {
            assert_eq!(source(text).unwrap().origin, Origin::Aggregated, "{text}");
        }
        let file = source(
            "{path_config_source: {path: /etc/r.yaml, watched_directory: {path: /etc}},
              initial_fetch_timeout: 2s}",
        )
        .unwrap();
        assert_eq!(file.fetch_timeout, FetchTimeout::After(Duration::from_secs(2)));
        let expected =
            FileSource { path: "/etc/r.yaml".into(), watched_directory: Some("/etc".into()) };
        assert_eq!(file.origin, Origin::File(Arc::new(expected)));
    }

    #[test]
    fn what_is_no_source_is_refused_by_name() {
        for (text, reason) in [
            ("{}", "config: is required"),
            ("{path: /etc/x.yaml}", "config.path: this field is not supported"),
            ("{path_config_source: {path: /etc/x.txt}}", "config.path_config_source.path: a file"),
            ("{ads: {}, resource_api_version: V2}", "config.resource_api_version: the v2 API"),
            (
                "{api_config_source: {api_type: REST, cluster_names: [c]}}",
                "config.api_config_source.api_type: REST is not supported",
            ),
        ] {
            let reasons = source(text).unwrap_err();
            assert!(reasons[0].starts_with(reason), "{text}: {reasons:?}");
        }
    }

    #[test]
    fn one_name_of_two_origins_is_two_keys() {
        let file = |path: &str| {
            source(&format!("{{path_config_source: {{path: {path}}}}}")).unwrap().origin
        };
        let keys = [&Origin::Aggregated, &file("/a.yaml"), &file("/b.yaml")].map(|o| o.key("main"));
        assert_eq!(keys.each_ref().map(|key| name_of_key(key)), ["main"; 3]);
        assert_eq!(&*keys[0], "main");
        assert!(keys[1] != keys[2] && keys[0] != keys[1]);
    }
}
