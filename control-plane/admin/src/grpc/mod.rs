//! The gRPC form of the API: `weft.admin.v1.MeshAdmin`.

mod convert;
mod watch;

use std::sync::Arc;

use tokio::sync::{mpsc, watch as signal};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use weft_config::{DEFAULT_NAMESPACE, DocumentId, Kind, Source};
use weft_proto::admin as pb;
use weft_proto::admin::mesh_admin_server::{MeshAdmin, MeshAdminServer};

use crate::Admin;
use crate::admin::{ChangeOptions, Filter};
use crate::api::{Refusal, RefusalKind};

/// As much as a request of REST.
const MESSAGE_LIMIT: usize = 32 * 1024 * 1024;
/// Events that a watcher has not read yet; it is told the newest state after them.
const UNREAD: usize = 4;

/// The service. Its streams end when `stop` says so.
pub(crate) struct Service {
    admin: Arc<Admin>,
    stop: signal::Receiver<bool>,
}

pub(crate) fn server(admin: Arc<Admin>, stop: signal::Receiver<bool>) -> MeshAdminServer<Service> {
    MeshAdminServer::new(Service { admin, stop }).max_decoding_message_size(MESSAGE_LIMIT)
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl MeshAdmin for Service {
    type WatchStream = ReceiverStream<Result<pb::Event, Status>>;

    async fn apply(&self, request: Request<pb::ApplyRequest>) -> Answer<pb::Outcome> {
        let pb::ApplyRequest { sources, options } = request.into_inner();
        let outcome = self.admin.apply(read_sources(sources), read_options(options)).await?;
        Ok(Response::new(outcome.into()))
    }

    async fn delete(&self, request: Request<pb::DeleteRequest>) -> Answer<pb::Outcome> {
        let pb::DeleteRequest { keys, sources, options } = request.into_inner();
        let options = read_options(options);
        if keys.is_empty() {
            let outcome = self.admin.delete_named(read_sources(sources), options).await?;
            return Ok(Response::new(outcome.into()));
        }
        let mut ids = keys.iter().map(read_key).collect::<Result<Vec<_>, _>>()?;
        ids.extend(weft_config::Places::of(&read_sources(sources)).ids().cloned());
        let outcome = self.admin.delete(ids, options).await?;
        Ok(Response::new(outcome.into()))
    }

    async fn get_resource(&self, request: Request<pb::GetResourceRequest>) -> Answer<pb::Resource> {
        let key = request.into_inner().key.unwrap_or_default();
        let (revision, resource) = self.admin.get(read_key(&key)?)?;
        Ok(Response::new(convert::resource(revision, resource)))
    }

    async fn list_resources(
        &self,
        request: Request<pb::ListResourcesRequest>,
    ) -> Answer<pb::ListResourcesResponse> {
        let pb::ListResourcesRequest { kind, namespace, name } = request.into_inner();
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        let kind = given(kind).map(|kind| read_kind(&kind)).transpose()?;
        let (namespace, name) = (given(namespace), given(name));
        let found = self.admin.list(&Filter { kind, namespace, name });
        let revision = found.revision;
        let resources = found.resources.into_iter();
        let resources = resources.map(|each| convert::resource(revision, each)).collect();
        Ok(Response::new(pb::ListResourcesResponse { revision, resources }))
    }

    async fn list_workloads(
        &self,
        _: Request<pb::ListWorkloadsRequest>,
    ) -> Answer<pb::ListWorkloadsResponse> {
        let workloads = self.admin.workloads().into_iter().map(Into::into).collect();
        Ok(Response::new(pb::ListWorkloadsResponse { workloads }))
    }

    async fn list_proxies(
        &self,
        _: Request<pb::ListProxiesRequest>,
    ) -> Answer<pb::ListProxiesResponse> {
        let proxies = (self.admin.proxies)().into_iter().map(Into::into).collect();
        Ok(Response::new(pb::ListProxiesResponse { proxies }))
    }

    async fn get_proxy(&self, request: Request<pb::GetProxyRequest>) -> Answer<pb::Proxy> {
        Ok(Response::new(self.admin.proxy(&request.into_inner().node)?.into()))
    }

    async fn get_info(&self, _: Request<pb::GetInfoRequest>) -> Answer<pb::Info> {
        Ok(Response::new(self.admin.info().into()))
    }

    async fn get_health(&self, _: Request<pb::GetHealthRequest>) -> Answer<pb::Health> {
        Ok(Response::new(self.admin.health().into()))
    }

    async fn watch(&self, _: Request<pb::WatchRequest>) -> Answer<Self::WatchStream> {
        let (events, stream) = mpsc::channel(UNREAD);
        tokio::spawn(watch::tell(Arc::clone(&self.admin), events, self.stop.clone()));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

fn read_sources(sources: Vec<pb::Source>) -> Vec<Source> {
    sources.into_iter().map(|source| Source::new(source.name, source.text)).collect()
}

fn read_options(options: Option<pb::ChangeOptions>) -> ChangeOptions {
    let pb::ChangeOptions { dry_run, effects, expected_revision } = options.unwrap_or_default();
    ChangeOptions { dry_run, effects, expect: expected_revision }
}

fn read_key(key: &pb::Key) -> Result<DocumentId, Refusal> {
    let namespace = match key.namespace.as_str() {
        "" => DEFAULT_NAMESPACE,
        namespace => namespace,
    };
    Ok(DocumentId::new(read_kind(&key.kind)?, weft_config::Key::new(namespace, &key.name)))
}

fn read_kind(kind: &str) -> Result<Kind, Refusal> {
    kind.parse().map_err(|error: weft_config::UnknownKind| {
        Refusal::new(RefusalKind::BadRequest, &error.to_string())
    })
}
