//! `weft status`: the control plane, what is registered, and how far every proxy is.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::Instant;
use weft_control_admin::api::{CheckStatus, Health, Info, Proxy, ProxyType, Workload};

use crate::client::{Ask, Server, ask};
use crate::exit::Failure;
use crate::output::Format;
use crate::table::Table;

/// How often is looked while waiting.
const LOOK: Duration = Duration::from_millis(100);

/// Shows the control plane, the registered workloads and how far every proxy is.
///
/// Exits with 1 when a proxy has refused something of its configuration, or something is held back
/// from it, or with --wait when not all have acknowledged everything in time.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft status
  weft apply -f shop/ && weft status --wait --timeout 30
  weft status -o json | jq '.proxies[] | select(.converged | not) | .node'

A proxy's state, for each type of resource:
  acknowledged  it has accepted everything
  sent          it was sent something and has not answered yet
  refused       it has refused something; what was good before is in use
  asked         it has asked, and was sent nothing yet")]
pub(crate) struct Status {
    #[command(flatten)]
    server: Server,
    /// Wait until every proxy has acknowledged everything that the newest documents mean.
    #[arg(long)]
    wait: bool,
    /// With --wait: how long at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "wait")]
    timeout: u64,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Serialize)]
struct Report {
    info: Info,
    health: Health,
    workloads: Vec<Workload>,
    proxies: Vec<Proxy>,
}

impl Status {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(self.timeout);
        let mut report = Report::ask(&self.server).await?;
        // Documents that are applied meanwhile are not waited for.
        let revision = report.info.revision;
        while self.wait && !report.is_settled(revision) && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
            report = Report::ask(&self.server).await?;
        }
        self.output.print(&report, || report.text()).map_err(Failure::Unreachable)?;
        let mut reasons = report.refusals();
        if self.wait && !report.is_settled(revision) {
            let late = report.proxies.iter().filter(|proxy| !proxy.converged);
            let late: Vec<_> = late.map(|proxy| proxy.node.as_str()).collect();
            reasons.push(format!(
                "not everything is acknowledged after {} s: {}",
                self.timeout,
                late.join(", ")
            ));
        }
        if reasons.is_empty() { Ok(()) } else { Err(Failure::No(reasons.join("\n"))) }
    }
}

impl Report {
    async fn ask(server: &Server) -> Result<Self, Failure> {
        Ok(Self {
            // First of all: what is asked for later is no older than this.
            info: ask(server, Ask::get("/v1/info")).await?,
            health: ask(server, Ask { or: Some(503), ..Ask::get("/readyz") }).await?,
            workloads: ask(server, Ask::get("/v1/workloads")).await?,
            proxies: ask(server, Ask::get("/v1/proxies")).await?,
        })
    }

    /// Whether proxies are told what this revision means, and all have accepted it.
    fn is_settled(&self, revision: u64) -> bool {
        self.info.served.is_some_and(|served| served >= revision)
            && self.proxies.iter().all(|proxy| proxy.converged)
    }

    fn text(&self) -> String {
        let Info { version, xds, admin, revision, directory, .. } = &self.info;
        let source = directory.as_ref().map_or("store", |directory| directory);
        let mut text = format!(
            "control plane {version}: xDS {xds}, admin {admin}, revision {revision} of {source}\n"
        );
        for check in self.health.checks.iter().filter(|check| check.status != CheckStatus::Ok) {
            text += &format!("{} is {}: {}\n", check.name, check.status.as_str(), check.detail);
            for problem in &check.problems {
                text += &format!("  {}\n", problem.to_string().replace('\n', "\n  "));
            }
            if let Some(hint) = &check.hint {
                text += &format!("  hint: {hint}\n");
            }
        }
        section(&mut text, "no workloads are registered\n", &self.workloads());
        section(&mut text, "no proxies are connected\n", &self.proxies());
        text
    }

    fn workloads(&self) -> Table<6> {
        let mut table =
            Table::new(["SERVICE", "NAMESPACE", "INSTANCE", "ADDRESS", "PHASE", "LABELS"]);
        for workload in &self.workloads {
            let labels: Vec<_> =
                workload.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            table.row([
                workload.service.clone(),
                workload.namespace.clone(),
                workload.instance.clone(),
                workload.address.clone(),
                workload.phase.clone(),
                labels.join(","),
            ]);
        }
        table
    }

    fn proxies(&self) -> Table<9> {
        let mut table = Table::new([
            "PROXY",
            "OF",
            "AGENT",
            "CONNECTED SINCE",
            "CONVERGED",
            "CDS",
            "EDS",
            "LDS",
            "RDS",
        ]);
        for proxy in &self.proxies {
            let of = |name| {
                proxy.types.iter().find(|one| one.r#type == name).map_or("-", state).to_owned()
            };
            let converged = if proxy.converged { "yes" } else { "no" };
            // Whole seconds are enough for people.
            let since = proxy.since.split('.').next().unwrap_or_default();
            table.row([
                proxy.node.clone(),
                proxy.service.clone().or(proxy.gateway.clone()).unwrap_or_else(|| "-".to_owned()),
                proxy.agent.clone(),
                since.trim_end_matches('Z').to_owned(),
                converged.to_owned(),
                of("CDS"),
                of("EDS"),
                of("LDS"),
                of("RDS"),
            ]);
        }
        table
    }

    fn refusals(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for proxy in &self.proxies {
            let node = &proxy.node;
            for each in &proxy.withheld {
                let reasons = each.reasons.join("; ");
                lines.push(format!("{node}: {} {} is withheld: {reasons}", each.r#type, each.name));
            }
            for each in &proxy.quarantined {
                let (of, name, reason) = (&each.r#type, &each.name, &each.reason);
                lines.push(format!("{node}: {of} {name} is refused: {reason}"));
            }
            for one in &proxy.types {
                let named = proxy.quarantined.iter().any(|each| each.r#type == one.r#type);
                if let Some(refused) = one.refused.as_ref().filter(|_| !named) {
                    let resources = refused.resources.join(", ");
                    lines.push(format!(
                        "{node}: {} {resources} refused: {}",
                        one.r#type, refused.reason
                    ));
                }
            }
        }
        lines
    }
}

/// How far a proxy is with a type, in a word.
fn state(one: &ProxyType) -> &'static str {
    match one {
        ProxyType { refused: Some(_), .. } => "refused",
        ProxyType { converged: true, .. } => "acknowledged",
        ProxyType { sent: Some(_), .. } => "sent",
        ProxyType { .. } => "asked",
    }
}

fn section<const N: usize>(text: &mut String, none: &str, table: &Table<N>) {
    text.push('\n');
    text.push_str(&if table.is_empty() { none.to_owned() } else { table.render() });
}
