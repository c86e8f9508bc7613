//! What can be asked of a control plane, and done to it, whatever the form of the request.

use std::sync::Arc;

use tokio::sync::watch;
use weft_config::{DocumentId, Kind, Mesh, Places, Progress, Source};
use weft_discovery::Registered;
use weft_store::Revision;

use crate::api::{
    Changed, Check, CheckStatus, Effect, Health, Info, Outcome, Proxy, Refusal, RefusalKind,
    Resource, Resources, Workload,
};
use crate::documents::{self, Documents, DocumentsError, InForce, Options};

/// Tells what a mesh would mean for connected proxies. It may take its time, and block.
pub type Preview = Arc<dyn Fn(Mesh) -> Vec<Effect> + Send + Sync>;

/// What the API shows and changes.
pub struct Admin {
    /// The mesh.
    pub documents: Arc<Documents>,
    /// The workloads.
    pub registered: watch::Receiver<Arc<Registered>>,
    /// The proxies: asked for at each request.
    pub proxies: Box<dyn Fn() -> Vec<Proxy> + Send + Sync>,
    /// What a change would mean for them.
    pub preview: Preview,
    /// Whether proxies are being served.
    pub ready: watch::Receiver<Readiness>,
    /// Where proxies connect, `ip:port`.
    pub xds: String,
    /// Where the API is, `ip:port`.
    pub admin: String,
}

/// Whether proxies are being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The first configuration is computed.
    Computing,
    /// Proxies are told what they are to have.
    Serving {
        /// By this revision of the mesh.
        revision: u64,
    },
}

/// How a change is to be made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChangeOptions {
    pub(crate) dry_run: bool,
    /// With a dry run: what connected proxies would be sent.
    pub(crate) effects: bool,
    pub(crate) expect: Option<u64>,
}

/// Which resources are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) kind: Option<Kind>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
}

impl Filter {
    fn selects(&self, id: &DocumentId) -> bool {
        self.kind.is_none_or(|kind| id.kind == kind)
            && self.namespace.as_ref().is_none_or(|namespace| id.key.namespace == *namespace)
            && self.name.as_ref().is_none_or(|name| id.key.name == *name)
    }
}

impl Admin {
    pub(crate) async fn apply(
        &self,
        sources: Vec<Source>,
        options: ChangeOptions,
    ) -> Result<Outcome, Refusal> {
        let changed = self.documents.apply(sources, how(options)).await?;
        self.outcome(changed, options).await
    }

    pub(crate) async fn delete(
        &self,
        mut ids: Vec<DocumentId>,
        options: ChangeOptions,
    ) -> Result<Outcome, Refusal> {
        ids.sort();
        ids.dedup();
        let changed = self.documents.delete(ids, how(options)).await?;
        self.outcome(changed, options).await
    }

    /// Removes the documents that `sources` name, whatever else they say.
    pub(crate) async fn delete_named(
        &self,
        sources: Vec<Source>,
        options: ChangeOptions,
    ) -> Result<Outcome, Refusal> {
        let named = tokio::task::spawn_blocking(move || {
            Places::of(&sources).ids().cloned().collect::<Vec<_>>()
        });
        let named = named.await.map_err(|_| DocumentsError::Stopping)?;
        if named.is_empty() {
            let text =
                "the body names no documents\n  hint: send documents with kind and metadata.name";
            return Err(Refusal::new(RefusalKind::BadRequest, text));
        }
        self.delete(named, options).await
    }

    pub(crate) fn list(&self, filter: &Filter) -> Resources {
        let in_force = self.in_force();
        let ids = in_force.mesh.ids().filter(|id| filter.selects(id));
        let proxies = (self.proxies)();
        let resources = ids.filter_map(|id| self.resource(&in_force, &proxies, &id)).collect();
        Resources { revision: in_force.revision.0, resources }
    }

    pub(crate) fn get(&self, id: DocumentId) -> Result<(u64, Resource), Refusal> {
        let in_force = self.in_force();
        let proxies = (self.proxies)();
        let found =
            self.resource(&in_force, &proxies, &id).map(|found| (in_force.revision.0, found));
        found.ok_or_else(|| DocumentsError::NotFound(vec![id]).into())
    }

    pub(crate) fn workloads(&self) -> Vec<Workload> {
        let registered = self.registered.borrow().clone();
        registered.workloads.iter().map(|workload| Workload::from(&**workload)).collect()
    }

    pub(crate) fn proxy(&self, node: &str) -> Result<Proxy, Refusal> {
        (self.proxies)().into_iter().find(|proxy| proxy.node == node).ok_or_else(|| {
            let text = format!("no proxy {node:?} is connected\n  hint: list those that are");
            Refusal::new(RefusalKind::NotFound, &text)
        })
    }

    pub(crate) fn info(&self) -> Info {
        Info {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            xds: self.xds.clone(),
            admin: self.admin.clone(),
            revision: self.in_force().revision.0,
            served: match *self.ready.borrow() {
                Readiness::Computing => None,
                Readiness::Serving { revision } => Some(revision),
            },
            directory: self.documents.folder().map(str::to_owned),
        }
    }

    pub(crate) fn health(&self) -> Health {
        let readiness = *self.ready.borrow();
        let checks = vec![serving(readiness), self.mesh_check()];
        Health { ready: matches!(readiness, Readiness::Serving { .. }), checks }
    }

    /// Whether the newest documents are the ones in force.
    fn mesh_check(&self) -> Check {
        let name = "documents".to_owned();
        match self.documents.trouble().borrow().clone() {
            Some(trouble) => Check {
                name,
                status: CheckStatus::Degraded,
                detail: trouble.detail,
                hint: Some(trouble.hint).filter(|hint| !hint.is_empty()),
                problems: trouble.problems,
            },
            None => {
                let of = self.documents.folder().map_or_else(String::new, |of| format!(" of {of}"));
                let detail = format!("revision {}{of} is in force", self.in_force().revision);
                Check { name, status: CheckStatus::Ok, detail, hint: None, problems: Vec::new() }
            }
        }
    }

    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.documents.watch().borrow().clone()
    }

    fn resource(&self, in_force: &InForce, proxies: &[Proxy], id: &DocumentId) -> Option<Resource> {
        let document = in_force.mesh.document(id)?;
        let kept = self.documents.kept(id);
        let status = in_force.mesh.status(id, &progress(proxies, id));
        Some(Resource {
            kind: document.kind,
            namespace: document.namespace,
            name: document.name,
            kept,
            place: in_force.places.place(id, ""),
            document: document.json,
            status: status.and_then(|status| serde_json::to_value(status).ok()),
        })
    }

    async fn outcome(
        &self,
        changed: documents::Changed,
        options: ChangeOptions,
    ) -> Result<Outcome, Refusal> {
        let effects = if options.dry_run && options.effects {
            let (preview, mesh) = (Arc::clone(&self.preview), changed.mesh);
            let effects = tokio::task::spawn_blocking(move || preview(mesh));
            effects.await.map_err(|_| DocumentsError::Stopping)?
        } else {
            Vec::new()
        };
        let resources = changed.documents.into_iter().map(|(id, change)| Changed {
            kind: id.kind.to_string(),
            namespace: id.key.namespace,
            name: id.key.name,
            change,
        });
        let resources = resources.collect();
        Ok(Outcome { revision: changed.revision.0, dry_run: options.dry_run, resources, effects })
    }
}

/// How far the proxies of a Gateway are; nothing for other documents.
fn progress(proxies: &[Proxy], id: &DocumentId) -> Progress {
    let mut progress = Progress::default();
    if id.kind != Kind::Gateway {
        return progress;
    }
    let name = format!("{}/{}", id.key.namespace, id.key.name);
    for proxy in proxies.iter().filter(|proxy| proxy.gateway.as_ref() == Some(&name)) {
        progress.connected += 1;
        progress.acknowledged += usize::from(proxy.converged);
        let quarantined = proxy.quarantined.iter().map(|each| each.reason.clone());
        let withheld = proxy.withheld.iter().map(|each| each.reasons.join("; "));
        progress.refused = progress.refused.or_else(|| quarantined.chain(withheld).next());
    }
    progress
}

fn how(options: ChangeOptions) -> Options {
    Options { dry_run: options.dry_run, expect: options.expect.map(Revision) }
}

fn serving(readiness: Readiness) -> Check {
    let (status, detail) = match readiness {
        Readiness::Computing => {
            (CheckStatus::Failing, "the first configuration is being computed".to_owned())
        }
        Readiness::Serving { revision } => {
            (CheckStatus::Ok, format!("proxies are told what revision {revision} means"))
        }
    };
    Check { name: "serving".to_owned(), status, detail, hint: None, problems: Vec::new() }
}
