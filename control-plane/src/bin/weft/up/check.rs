//! `weft up --check`: requests through the whole mesh, and whether everybody's account of them
//! agrees: the caller's, the services' answers, the sidecars' counters, the control plane's ledger.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use weft_config::model::workload::{Program, Sample};
use weft_config::{BoundRule, Key, Mesh};

use super::local::Local;
use super::plan::Instance;
use super::traffic::{self, Seen, Target};
use super::{gateway, split, stats};
use crate::wire::{self, ToAddress};

/// Requests on their way at the same time.
const CONCURRENCY: usize = 8;
/// How many failures are shown.
const FAILURES_SHOWN: usize = 5;

/// The verdicts so far.
#[derive(Default)]
struct Report {
    failed: usize,
}

impl Report {
    fn line(&mut self, good: bool, text: &str) {
        if !good {
            self.failed += 1;
        }
        println!("{}  {text}", if good { "ok    " } else { "FAILED" });
    }
}

/// What the sample storefront answers, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Page {
    storefront: Answerer,
    catalog: Answerer,
    inventory: Answerer,
}

#[derive(Debug, Deserialize)]
struct Answerer {
    instance: String,
}

/// Requests counted by instance.
type Counts = BTreeMap<String, u64>;

/// Sends `requests` requests and prints what was verified. Answers whether all of it held.
pub(super) async fn run(
    mesh: &Mesh,
    local: &Local,
    target: &Target,
    requests: u32,
) -> anyhow::Result<bool> {
    let mut report = Report::default();
    ledger(&mut report, local).await?;
    let before = counters(&local.instances).await?;
    let answers = send(&mut report, target, requests).await;
    let passed = difference(&counters(&local.instances).await?, &before);

    let of_target = local.instances.iter().filter(|one| one.host() == target.service);
    let through: u64 = of_target.filter_map(|one| passed.get(&one.name)).sum();
    report.line(
        through == u64::from(requests),
        &format!(
            "the sidecars of {} let {through} requests in, {requests} were sent",
            target.service
        ),
    );
    if is_sample_shop(&local.instances, target) {
        let answered = answerers(&mut report, &answers);
        same_story(&mut report, &answered, &passed);
        for instance in &local.instances {
            each_was_hit(&mut report, instance, &answered);
        }
        splits(&mut report, mesh, &local.instances, &answered);
    }
    gateways(&mut report, mesh, local).await;
    println!(
        "\n{}",
        if report.failed == 0 {
            "the mesh works".to_owned()
        } else {
            format!("{} checks failed", report.failed)
        }
    );
    Ok(report.failed == 0)
}

/// Requests from outside, by every way in that leads to something that runs here.
async fn gateways(report: &mut Report, mesh: &Mesh, local: &Local) {
    const REQUESTS: u32 = 10;
    for (key, target) in gateway::targets(mesh, &local.instances) {
        let (answered, failure) = gateway::knock(&target, REQUESTS).await;
        let Target { outbound, service, path } = &target;
        let text = format!(
            "gateway {key} on {outbound} answered {answered} of {REQUESTS} requests for http://{service}{path}"
        );
        report.line(answered == REQUESTS, &text);
        if let Some(failure) = failure {
            println!("          {failure}");
        }
    }
}

/// The control plane's view: everybody registered, everything acknowledged, nothing refused.
async fn ledger(report: &mut Report, local: &Local) -> anyhow::Result<()> {
    let workloads = local.workloads().await?;
    let missing: Vec<_> = local
        .instances
        .iter()
        .filter(|one| {
            !workloads.iter().any(|known| known.instance == one.name && known.phase == "serving")
        })
        .map(|one| one.name.as_str())
        .collect();
    let all = local.instances.len();
    let followers = all + local.gateways.len();
    report.line(
        missing.is_empty(),
        &format!("{} of {all} instances are registered and serving", all - missing.len()),
    );
    let proxies = local.proxies().await?;
    let converged = proxies.iter().filter(|proxy| proxy.converged).count();
    report.line(
        converged == proxies.len() && converged >= followers,
        &format!(
            "{converged} of {} proxies have acknowledged all of their configuration",
            proxies.len()
        ),
    );
    Ok(())
}

/// The answers to the requests that succeeded.
async fn send(report: &mut Report, target: &Target, requests: u32) -> Vec<bytes::Bytes> {
    let client = wire::client(ToAddress(target.outbound));
    let outcomes: Vec<_> = stream::iter(0..requests)
        .map(|_| async {
            let start = Instant::now();
            (traffic::send(&client, target).await, start.elapsed())
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    let mut seen = Seen::default();
    let mut answers = Vec::new();
    let mut failures = Vec::new();
    for (outcome, time) in outcomes {
        match outcome {
            Ok(body) => {
                answers.push(body);
                seen.times.push(time);
            }
            Err(failure) => failures.push(failure),
        }
    }
    let milliseconds =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    report.line(
        failures.is_empty(),
        &format!(
            "{} of {requests} requests to {} succeeded (p50 {} ms, p99 {} ms)",
            answers.len(),
            target.service,
            milliseconds(seen.quantile(50)),
            milliseconds(seen.quantile(99)),
        ),
    );
    for failure in failures.iter().take(FAILURES_SHOWN) {
        println!("          {failure}");
    }
    answers
}

/// What every sidecar has let in so far.
async fn counters(instances: &[Instance]) -> anyhow::Result<Counts> {
    let mut counts = Counts::new();
    for instance in instances {
        let inbound = stats::inbound(instance.ports.admin.address)
            .await
            .with_context(|| format!("the counters of {}'s sidecar", instance.name))?;
        counts.insert(instance.name.clone(), inbound.requests);
    }
    Ok(counts)
}

fn difference(after: &Counts, before: &Counts) -> Counts {
    let before = |name: &String| before.get(name).copied().unwrap_or(0);
    after.iter().map(|(name, count)| (name.clone(), count.saturating_sub(before(name)))).collect()
}

fn is_sample_shop(instances: &[Instance], target: &Target) -> bool {
    instances.iter().any(|one| {
        one.host() == target.service && matches!(one.program, Program::Sample(Sample::Storefront))
    })
}

/// Which instances answered, by what the pages say.
fn answerers(report: &mut Report, answers: &[bytes::Bytes]) -> Counts {
    let mut counts = Counts::new();
    let mut unreadable = 0;
    for answer in answers {
        let Ok(page) = serde_json::from_slice::<Page>(answer) else {
            unreadable += 1;
            continue;
        };
        for answerer in [page.storefront, page.catalog, page.inventory] {
            *counts.entry(answerer.instance).or_default() += 1;
        }
    }
    report.line(
        unreadable == 0,
        &format!(
            "{} pages are composed of catalog (gRPC) and inventory (HTTP)",
            answers.len() - unreadable
        ),
    );
    counts
}

/// No answer came past a sidecar: what the services answered is what their sidecars let in.
fn same_story(report: &mut Report, answered: &Counts, passed: &Counts) {
    let different: Vec<_> = passed
        .iter()
        .filter(|(name, passed)| answered.get(*name).copied().unwrap_or(0) != **passed)
        .map(|(name, passed)| {
            format!("{name}: {passed} let in, {} answered", answered.get(name).unwrap_or(&0))
        })
        .collect();
    let text = "every answer came through the sidecar of the instance that gave it";
    report.line(different.is_empty(), text);
    for line in different {
        println!("          {line}");
    }
}

fn each_was_hit(report: &mut Report, instance: &Instance, answered: &Counts) {
    let count = answered.get(&instance.name).copied().unwrap_or(0);
    report.line(count > 0, &format!("{} answered {count} requests", instance.name));
}

/// Where a route splits the inventory, its weights hold.
fn splits(report: &mut Report, mesh: &Mesh, instances: &[Instance], answered: &Counts) {
    let Some(inventory) =
        instances.iter().find(|one| matches!(one.program, Program::Sample(Sample::Inventory)))
    else {
        return;
    };
    let service = Key::new(&inventory.namespace, &inventory.service);
    let port = mesh
        .services()
        .get(&service)
        .and_then(|service| service.default_http_port())
        .map(|port| port.port);
    let rules = port
        .into_iter()
        .flat_map(|port| mesh.bound_routes(&service, port))
        .flat_map(|route| &route.rules);
    let Some(rule) = rules.into_iter().find(|rule| rule.backends.len() > 1) else { return };
    let shares = shares(mesh, rule, instances, answered);
    let weights = shares.iter().map(|(_, weight, _)| weight).sum();
    let total = shares.iter().map(|(_, _, count)| count).sum();
    for (name, weight, count) in shares {
        let (least, most) = split::bounds(total, weight, weights);
        report.line(
            (least..=most).contains(&count),
            &format!("{name} has weight {weight} of {weights} and answered {count} of {total} (expected {least} to {most})"),
        );
    }
}

/// Each destination of a rule by name, with its weight and what its instances answered.
fn shares(
    mesh: &Mesh,
    rule: &BoundRule,
    instances: &[Instance],
    answered: &Counts,
) -> Vec<(String, u32, u64)> {
    let of = |backend: &weft_config::Backend| {
        let namespace = &backend.service.namespace;
        let subset =
            backend.subset.as_ref().and_then(|name| mesh.subsets().get(&Key::new(namespace, name)));
        let count = instances
            .iter()
            .filter(|one| one.service == backend.service.name && one.namespace == *namespace)
            .filter(|one| subset.is_none_or(|subset| subset.selects(&one.labels)))
            .filter_map(|one| answered.get(&one.name))
            .sum();
        let name = backend.subset.clone().unwrap_or_else(|| backend.service.name.clone());
        (name, backend.weight, count)
    };
    rule.backends.iter().map(of).collect()
}
