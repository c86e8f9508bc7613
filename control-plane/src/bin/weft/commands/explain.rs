//! `weft explain`: what becomes of a request or a connection, and what a proxy has or has not.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, uri::Authority};
use weft_config::{Document, Key, Mesh, Places};
use weft_control_admin::api::{Proxy, Resource, Resources, Workload};
use weft_control_plane::explain::{self, Dial, ExplainError, Explanation, Question};
use weft_proxy::files;
use weft_translate::Workloads;

use crate::client::{Ask, Server, ask};
use crate::exit::Failure;
use crate::output::Format;
use crate::table::Table;

/// Explains what becomes of a request or a connection, or why a proxy has a resource or has not.
///
/// The answer comes from the code that decides: the mesh is translated and compiled as for a
/// sidecar, and what is asked about is looked up as the sidecar would.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Request(OfRequest),
    Connection(OfConnection),
    Proxy(OfProxy),
}

/// What becomes of a request: which rule takes it, why the others do not, where it goes.
///
/// Exits with 1 when the request is not sent anywhere.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft explain request --from storefront GET http://inventory/stock/7
  weft explain request --from storefront GET http://inventory/stock -H 'canary: yes'
  weft explain request --from storefront -f shop/ GET http://inventory/stock   without a control plane")]
struct OfRequest {
    #[command(flatten)]
    by: By,
    /// The method.
    method: http::Method,
    /// The URL that is called. https is not looked into by sidecars.
    #[arg(value_name = "URL")]
    target: Uri,
    /// A header field of the request, as `name: value`. May be given several times.
    #[arg(short = 'H', long = "header", value_name = "FIELD", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What becomes of a connection to a tcp or tls port: which route takes it, where its bytes go.
///
/// Exits with 1 when its bytes are not sent anywhere.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft explain connection --from storefront orders-db:5432
  weft explain connection --from storefront --server-name a.example.com gate:443")]
struct OfConnection {
    #[command(flatten)]
    by: By,
    /// The Service that is called, and its port.
    #[arg(value_name = "HOST:PORT")]
    target: Authority,
    /// What the client's TLS hello names.
    #[arg(long, value_name = "NAME", default_value = "")]
    server_name: String,
}

/// Who asks, and of what.
#[derive(Args, Debug)]
struct By {
    #[command(flatten)]
    server: Server,
    /// The service that calls; its namespace may stand before it, as in shop/storefront.
    #[arg(long, value_name = "SERVICE")]
    from: String,
    /// Documents to explain from, in the place of a control plane: files, folders or -.
    #[arg(short, long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What a connected proxy has and has not, and why.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft explain proxy storefront-1
  weft explain proxy storefront-1 inventory     only resources with this in their names")]
struct OfProxy {
    #[command(flatten)]
    server: Server,
    /// The node's id, as `weft status` shows it.
    node: String,
    /// Only resources with this in their names.
    name: Option<String>,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `name: value`")?;
    let name = name.trim().parse().map_err(|_| format!("{name:?} is no header name"))?;
    let value = value.trim().parse().map_err(|_| format!("{value:?} is no header value"))?;
    Ok((name, value))
}

impl Explain {
    /// Whether the answer is yes.
    pub(crate) async fn run(self) -> Result<bool, Failure> {
        match self.what {
            What::Request(request) => request.run().await,
            What::Connection(connection) => connection.run().await,
            What::Proxy(proxy) => proxy.run().await.map(|()| true),
        }
    }
}

/// A mesh, where it is written, and what runs in it.
struct World {
    mesh: Mesh,
    places: Places,
    resources: Vec<Resource>,
    workloads: Workloads,
}

async fn world(server: &Server) -> Result<World, Failure> {
    let found: Resources = ask(server, Ask::get("/v1/resources")).await?;
    let listed: Vec<Workload> = ask(server, Ask::get("/v1/workloads")).await?;
    let documents = found.resources.iter().cloned().map(super::diff::into_document);
    let mesh = mesh(&documents.collect::<Vec<_>>())?;
    let workloads = explain::workloads(&listed);
    Ok(World { mesh, places: Places::default(), resources: found.resources, workloads })
}

fn mesh(documents: &[Document]) -> Result<Mesh, Failure> {
    Mesh::from_documents(documents).map_err(|problems| Failure::No(problems.to_string()))
}

fn key(text: &str) -> Key {
    match text.split_once('/') {
        Some((namespace, name)) => Key::new(namespace, name),
        None => Key::new(weft_config::DEFAULT_NAMESPACE, text),
    }
}

impl By {
    /// The world that is asked of, and the caller in it.
    async fn world(&self) -> Result<(World, Key), Failure> {
        let world = if self.files.is_empty() {
            world(&self.server).await?
        } else {
            let sources =
                files::read(&self.files).map_err(|error| Failure::No(error.to_string()))?;
            let mesh = Mesh::parse(&sources).map_err(|wrong| Failure::No(wrong.to_string()))?;
            let (places, workloads) = (Places::of(&sources), Workloads::new());
            World { mesh, places, resources: Vec::new(), workloads }
        };
        let from = key(&self.from);
        if !world.mesh.services().contains_key(&from) {
            let names: Vec<_> = world.mesh.services().keys().map(ToString::to_string).collect();
            let text = format!(
                "there is no Service {from} to call from (there are: {})",
                names.join(", ")
            );
            return Err(Failure::NotFound(text));
        }
        Ok((world, from))
    }

    fn tell(
        &self,
        explained: Result<Explanation, ExplainError>,
        world: &World,
    ) -> Result<bool, Failure> {
        let mut explained = explained.map_err(|error| Failure::No(error.to_string()))?;
        name_files(&mut explained, &world.resources);
        self.output.print(&explained, || text(&explained)).map_err(Failure::Unreachable)?;
        Ok(explained.forwarded)
    }
}

impl OfConnection {
    async fn run(self) -> Result<bool, Failure> {
        let Some(port) = self.target.port_u16() else {
            let text = format!("error: {} has no port\n  hint: write it as db:5432", self.target);
            return Err(Failure::No(text));
        };
        let (world, from) = self.by.world().await?;
        let (host, server_name) =
            (self.target.host().to_owned(), self.server_name.to_ascii_lowercase());
        let dial = Dial { from, host, port, server_name };
        let World { mesh, places, workloads, .. } = &world;
        self.by.tell(explain::explain_connection(mesh, places, workloads, &dial), &world)
    }
}

impl OfRequest {
    async fn run(self) -> Result<bool, Failure> {
        let (world, from) = self.by.world().await?;
        let question = self.question(from)?;
        let World { mesh, places, workloads, .. } = &world;
        self.by.tell(explain::explain(mesh, places, workloads, &question), &world)
    }

    fn question(&self, from: Key) -> Result<Question, Failure> {
        let wrong = |text: String| Failure::No(format!("error: {text}"));
        let authority = self.target.authority().ok_or_else(|| {
            wrong(format!(
                "{} has no host\n  hint: write it as http://inventory/stock",
                self.target
            ))
        })?;
        let path = self.target.path_and_query().map_or("/", |path| path.as_str());
        let headers: HeaderMap = self.headers.iter().cloned().collect();
        Ok(Question {
            from,
            method: self.method.to_string(),
            authority: authority.to_string(),
            path: path.to_owned(),
            headers,
        })
    }
}

/// Where a control plane's documents are written, it tells itself: by document, not by field.
fn name_files(explained: &mut Explanation, resources: &[Resource]) {
    let rules = explained.others.iter_mut().map(|other| &mut other.rule);
    for rule in rules.chain(explained.route.as_mut()).filter(|rule| rule.place.is_none()) {
        let Some((id, _)) = rule.document.as_ref().and_then(|text| text.split_once(' ')) else {
            continue;
        };
        let found = resources.iter().find(|one| {
            id == format!("{}/{}", one.kind, one.name)
                || id == format!("{}/{}/{}", one.kind, one.namespace, one.name)
        });
        rule.place = found.and_then(|one| one.place.clone());
    }
}

fn text(explained: &Explanation) -> String {
    let mut out = format!("{}\n  {}\n", explained.request, explained.verdict);
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {name:<13} {value}");
    };
    if let Some(listener) = &explained.listener {
        line("listener", listener);
    }
    if let Some(host) = &explained.virtual_host {
        line("virtual host", host);
    }
    if let Some(rule) = &explained.route {
        line("rule", &rule.to_string());
        for condition in &rule.conditions {
            line("", &format!("asks that {condition}"));
        }
    }
    for limit in &explained.timeouts {
        line("time limit", &limit.to_string());
    }
    for destination in &explained.destinations {
        line("cluster", &format!("{} ({:.0} %)", destination.cluster, destination.percent));
        if let Some(trouble) = &destination.trouble {
            line("", trouble);
        }
        for each in &destination.endpoints {
            let zone = if each.zone.is_empty() { "" } else { ", zone " };
            // Nobody has said anything against it.
            let health = if each.health == "UNKNOWN" { "taken for healthy" } else { each.health };
            let (address, weight) = (&each.address, each.weight);
            line(
                "",
                &format!(
                    "{address}  {health}, weight {weight}, priority {}{zone}{}",
                    each.priority, each.zone
                ),
            );
        }
    }
    for other in &explained.others {
        line("not taken by", &other.rule.to_string());
        for why in &other.why {
            line("", why);
        }
    }
    out
}

impl OfProxy {
    async fn run(self) -> Result<(), Failure> {
        let path = format!("/v1/proxies/{}", super::get::segment(&self.node));
        let proxy: Proxy = ask(&self.server, Ask::get(&path)).await?;
        if let Some(gateway) = &proxy.gateway {
            let text = format!(
                "{} is the Gateway {gateway}: only sidecars are explained\n  hint: weft get gateway -o yaml shows what became of it",
                proxy.node
            );
            return Err(Failure::No(text));
        }
        let world = world(&self.server).await?;
        let service = key(proxy.service.as_deref().unwrap_or("-"));
        let meant = explain::meant(&world.mesh, &world.workloads, &service)
            .map_err(|error| Failure::No(error.to_string()))?;
        let wanted = self.name.as_deref().unwrap_or_default();
        let mut table = Table::new(["TYPE", "RESOURCE", "STATE", "WHY"]);
        for (of, names) in &meant {
            for name in names.iter().filter(|name| name.contains(wanted)) {
                let (state, why) = standing(&proxy, of, name);
                table.row([(*of).to_owned(), name.clone(), state.to_owned(), why]);
            }
        }
        if table.is_empty() {
            let text = format!(
                "the mesh means {} to have nothing with {wanted:?} in its name\n  hint: weft explain proxy {} lists what it is to have; what no document names is not sent",
                proxy.node, proxy.node
            );
            return Err(Failure::NotFound(text));
        }
        print!("{}", table.render());
        Ok(())
    }
}

/// How a proxy stands to a resource that it is to have, and why.
fn standing(proxy: &Proxy, of: &str, name: &str) -> (&'static str, String) {
    let withheld = proxy.withheld.iter().find(|each| each.r#type == of && each.name == name);
    if let Some(each) = withheld {
        return ("withheld", format!("proxies would refuse it: {}", each.reasons.join("; ")));
    }
    let held = proxy.quarantined.iter().find(|each| each.r#type == of && each.name == name);
    if let Some(each) = held {
        return ("refused", format!("the proxy said: {}", each.reason));
    }
    let Some(state) = proxy.types.iter().find(|each| each.r#type == of) else {
        return ("not asked", format!("the proxy has not asked for {of}"));
    };
    match (&state.sent, &state.acknowledged) {
        _ if state.converged => ("in use", String::new()),
        (None, _) => ("not sent", "nothing of this type was sent yet".to_owned()),
        (Some(sent), _) => (
            "awaited",
            format!("version {} was sent at {} and is not acknowledged", sent.version, sent.at),
        ),
    }
}
