//! `weft status`: the control plane, what is registered, and how far every proxy is.

use clap::Args;
use serde::Serialize;
use weft_control_admin::api::{Info, Proxy, Workload};

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
        let Info { version, xds, admin, revision } = &self.info;
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
        let mut proxies = Table::new(["PROXY", "AGENT", "CONVERGED", "TYPES"]);
        for proxy in &self.proxies {
            let types: Vec<_> = proxy.types.iter().map(|one| one.r#type.as_str()).collect();
            let converged = if proxy.converged { "yes" } else { "no" };
            proxies.row([
                proxy.node.clone(),
                proxy.agent.clone(),
                converged.to_owned(),
                types.join(","),
            ]);
        }
        section(&mut text, "no proxies are connected\n", &proxies);
        text
    }

    fn refusals(&self) -> String {
        let lines = self.proxies.iter().flat_map(|proxy| {
            proxy.types.iter().filter_map(|one| {
                let reason = one.refused.as_deref()?;
                Some(format!("{} refused its {} resources: {reason}", proxy.node, one.r#type))
            })
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn section<const N: usize>(text: &mut String, none: &str, table: &Table<N>) {
    text.push('\n');
    text.push_str(&if table.is_empty() { none.to_owned() } else { table.render() });
}
