//! `weft status`: the control plane, what is registered, and how far every proxy is.

use clap::Args;
use serde::Serialize;
use weft_control_admin::api::{Info, Proxy, ProxyType, Workload};

use crate::client::{Ask, Server, ask};
use crate::exit::Failure;
use crate::output::Format;
use crate::table::Table;

/// Shows the control plane, the registered workloads and how far every proxy is.
///
/// Exits with 1 when a proxy has refused its configuration.
#[derive(Args, Debug)]
pub(crate) struct Status {
    #[command(flatten)]
    server: Server,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Serialize)]
struct Report {
    info: Info,
    workloads: Vec<Workload>,
    proxies: Vec<Proxy>,
}

impl Status {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let report = Report {
            info: ask(&self.server, Ask::get("/v1/info")).await?,
            workloads: ask(&self.server, Ask::get("/v1/workloads")).await?,
            proxies: ask(&self.server, Ask::get("/v1/proxies")).await?,
        };
        self.output.print(&report, || report.text()).map_err(Failure::Unreachable)?;
        let refusals = report.refusals();
        if refusals.is_empty() { Ok(()) } else { Err(Failure::No(refusals)) }
    }
}

impl Report {
    fn text(&self) -> String {
        let Info { version, xds, admin, revision, .. } = &self.info;
        let mut text = format!(
            "control plane {version}: xDS {xds}, admin {admin}, store revision {revision}\n"
        );
        let mut workloads =
            Table::new(["SERVICE", "NAMESPACE", "INSTANCE", "ADDRESS", "PHASE", "LABELS"]);
        for workload in &self.workloads {
            let labels: Vec<_> =
                workload.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            workloads.row([
                workload.service.clone(),
                workload.namespace.clone(),
                workload.instance.clone(),
                workload.address.clone(),
                workload.phase.clone(),
                labels.join(","),
            ]);
        }
        section(&mut text, "no workloads are registered\n", &workloads);
        let mut proxies = Table::new(["PROXY", "AGENT", "CONVERGED", "CDS", "EDS", "LDS", "RDS"]);
        for proxy in &self.proxies {
            let of = |name| {
                proxy.types.iter().find(|one| one.r#type == name).map_or("-", state).to_owned()
            };
            let converged = if proxy.converged { "yes" } else { "no" };
            let (node, agent) = (proxy.node.clone(), proxy.agent.clone());
            proxies.row([
                node,
                agent,
                converged.to_owned(),
                of("CDS"),
                of("EDS"),
                of("LDS"),
                of("RDS"),
            ]);
        }
        section(&mut text, "no proxies are connected\n", &proxies);
        text
    }

    fn refusals(&self) -> String {
        let mut lines = Vec::new();
        for proxy in &self.proxies {
            for withheld in &proxy.withheld {
                let reasons = withheld.reasons.join("; ");
                lines.push(format!(
                    "{}: {} {} is withheld: {reasons}",
                    proxy.node, withheld.r#type, withheld.name
                ));
            }
            for one in &proxy.types {
                if let Some(refused) = &one.refused {
                    let resources = refused.resources.join(", ");
                    lines.push(format!(
                        "{}: {} {resources} refused: {}",
                        proxy.node, one.r#type, refused.reason
                    ));
                }
            }
        }
        lines.join("\n")
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
