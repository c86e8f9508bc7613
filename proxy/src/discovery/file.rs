//! A source that is a file with a `DiscoveryResponse`: a server that says everything at once.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use prost::Message as _;
use weft_compile::FileSource;
use weft_proto::{
    discovery::DiscoveryResponse, json, pb::envoy::service::discovery::v3 as generated,
};
use weft_xds::{Request, ResourceType, Response, client::Event};

use super::{subscriber::Subscriber, watch::Watch};

/// As much as a response on a stream may have.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("is no file of at most {MAX_BYTES} bytes")]
    TooLarge,
    #[error("is not UTF-8")]
    NotText,
    #[error("{0}")]
    Malformed(#[from] json::Error),
    #[error("is not an encoded DiscoveryResponse: {0}")]
    Undecodable(#[from] prost::DecodeError),
    #[error("has resources of {found:?}, expected {expected:?}")]
    OtherType { found: String, expected: &'static str },
}

/// Applies a file, and each change of it, for as long as anything is wanted of it.
pub(crate) async fn follow(subscriber: Subscriber, of: ResourceType, source: Arc<FileSource>) {
    let path = PathBuf::from(&*source.path);
    let mut watch = Watch::new(&path, source.watched_directory.as_deref().map(Path::new));
    let mut file = File { subscriber, of, path, bytes: Vec::new(), last: None };
    file.step(Event::Connected);
    loop {
        tokio::select! {
            () = watch.changed() => file.take().await,
            events = file.subscriber.next() => {
                let Some(events) = events else { return };
                for event in events {
                    let asked = matches!(event, Event::Want(..));
                    file.step(event);
                    if asked {
                        // The file has said it before anybody asked.
                        file.repeat();
                    }
                }
            }
        }
    }
}

struct File {
    subscriber: Subscriber,
    of: ResourceType,
    path: PathBuf,
    /// As they were read last.
    bytes: Vec<u8>,
    /// What the file said when it could be read last.
    last: Option<DiscoveryResponse>,
}

impl File {
    /// Reads the file, and applies it if it is another than before.
    async fn take(&mut self) {
        let read = read(&self.path).await;
        let response = read.and_then(|bytes| {
            if bytes == self.bytes {
                return Ok(None);
            }
            let response = parse(&self.path, self.of, &bytes);
            self.bytes = bytes;
            response.map(Some)
        });
        match response {
            Ok(None) => {}
            Ok(Some(response)) => {
                self.last = Some(response);
                self.repeat();
            }
            Err(error) => {
                tracing::error!(
                    path = %self.path.display(),
                    "the file is not used, what was good before stays: {error}"
                );
                self.subscriber.proxy().note_unreadable(self.of);
                let reason = format!("{}: {error}", self.path.display());
                self.step(Event::Unreadable { of: self.of, reason });
            }
        }
    }

    fn repeat(&self) {
        if let Some(last) = &self.last {
            self.step(Event::Response(Response::Sotw(last.clone())));
        }
    }

    /// What would be a refusal towards a server is an entry in the log.
    fn step(&self, event: Event) {
        self.subscriber.step(event, &mut |request| {
            if let Request::Sotw(request) = request
                && let Some(refusal) = request.error_detail
            {
                tracing::error!(path = %self.path.display(), "{}", refusal.message);
            }
        });
    }
}

/// The bytes of a file; pipes and devices may have no end.
async fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let file = tokio::fs::metadata(path).await?;
    if !file.is_file() || file.len() > MAX_BYTES {
        return Err(FileError::TooLarge);
    }
    Ok(tokio::fs::read(path).await?)
}

/// Reads a response as the ending of the file's name says.
fn parse(path: &Path, of: ResourceType, bytes: &[u8]) -> Result<DiscoveryResponse, FileError> {
    let mut response = if path.extension().is_some_and(|ending| ending == "pb") {
        DiscoveryResponse::decode(bytes)?
    } else {
        let text = std::str::from_utf8(bytes).map_err(|_| FileError::NotText)?;
        let is_json = path.extension().is_some_and(|ending| ending == "json");
        let message: generated::DiscoveryResponse =
            if is_json { json::from_json(text)? } else { json::from_yaml(text)? };
        DiscoveryResponse::decode(message.encode_to_vec().as_slice())?
    };
    if response.type_url.is_empty() {
        of.type_url().clone_into(&mut response.type_url);
    }
    if response.type_url != of.type_url() {
        let found = response.type_url;
        return Err(FileError::OtherType { found, expected: of.type_url() });
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use weft_proto::type_url;

    use super::*;

    const CLUSTERS: &str = "
version_info: '7'
resources:
- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: a
";

    fn read(name: &str, bytes: &[u8]) -> Result<DiscoveryResponse, String> {
        parse(Path::new(name), ResourceType::Cluster, bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn the_ending_says_how_a_file_is_written() {
        let yaml = read("/x/c.yaml", CLUSTERS.as_bytes()).unwrap();
        assert_eq!((yaml.version_info.as_str(), yaml.resources.len()), ("7", 1));
        assert_eq!(yaml.type_url, type_url::CLUSTER);
        assert_eq!(read("/x/c.pb", &yaml.encode_to_vec()).unwrap(), yaml);
        let json = r#"{"version_info": "7", "resources": [
            {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "a"}]}"#;
        assert_eq!(read("/x/c.json", json.as_bytes()).unwrap(), yaml);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let broken = CLUSTERS.replace("name: a", "nmae: a");
        let error = read("/x/c.yaml", broken.as_bytes()).unwrap_err();
        assert!(error.starts_with("line 5, ") && error.contains("did you mean `name`"), "{error}");
        let error = read("/x/c.yaml", b"type_url: other").unwrap_err();
        assert!(error.contains("has resources of \"other\""), "{error}");
        assert_eq!(read("/x/c.yaml", b"\xff").unwrap_err(), "is not UTF-8");
        assert!(read("/x/c.pb", b"\xff").unwrap_err().contains("is not an encoded"));
    }
}
