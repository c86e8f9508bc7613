//! Matching a route: flat in the number of hosts and routes, without allocating.

use anyhow::{Result, bail};
use http::{HeaderMap, HeaderValue};
use weft_route::{
    MatchOptions, Outcome, PathMatch, Pattern, RequestView, RouteMatch, RouteSpec, RouteTable,
    TlsRequirement, VirtualHostSpec,
};

use crate::harness::{Bench, Row};

const HOSTS: [usize; 4] = [10, 100, 1_000, 10_000];
const ROUTES: [usize; 4] = [10, 100, 1_000, 10_000];

/// The slowest row may take this many times the fastest. Larger tables do not fit the caches, so
/// it is not 1.
const FLAT: f64 = 4.0;

/// Tables larger than this would measure the machine's memory.
const LARGEST_TABLE: usize = 1_000_000;

const PREFIX: &str = "route/";

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    for hosts in HOSTS {
        for routes in ROUTES.into_iter().filter(|routes| hosts * routes <= LARGEST_TABLE) {
            let name = format!("{PREFIX}{hosts} hosts x {routes} routes");
            if bench.wants(&name) {
                prefixes(bench, &name, hosts, routes)?;
            }
        }
    }
    expressions(bench)
}

/// Requests to changing hosts and routes, as many different ones for every table.
fn prefixes(bench: &mut Bench, name: &str, hosts: usize, routes: usize) -> Result<()> {
    let table = table(hosts, routes, |n| Ok(PathMatch::prefix(&format!("/service-{n}/"))))?;
    let requests: Vec<(String, String)> = (0..256usize)
        .map(|n| {
            let (host, route) = (n * 7919 % hosts, n * 104_729 % routes);
            (format!("host-{host}.mesh.example:8080"), format!("/service-{route}/items/42?a=b"))
        })
        .collect();
    let headers = browser_headers();
    let find = |n: u64| {
        let (authority, path_and_query) = &requests[usize::try_from(n % 256).unwrap_or(0)];
        let request = RequestView {
            authority,
            path_and_query,
            method: "GET",
            scheme: "http",
            is_internal: false,
            headers: &headers,
            random: n,
        };
        matches!(table.find(&request), Outcome::Matched { .. })
    };
    if !(0..256).all(find) {
        bail!("{name}: a request found no route");
    }
    bench.measure(name, find);
    Ok(())
}

/// The last of a hundred expressions, all read at once.
fn expressions(bench: &mut Bench) -> Result<()> {
    let name = format!("{PREFIX}100 expressions");
    if !bench.wants(&name) {
        return Ok(());
    }
    let table =
        table(1, 100, |n| Ok(PathMatch::Regex(Pattern::new(&format!("/v{n}/[^/]+/items"))?)))?;
    let headers = browser_headers();
    let request = RequestView {
        authority: "host-0.mesh.example:8080",
        path_and_query: "/v99/catalog/items",
        method: "GET",
        scheme: "http",
        is_internal: false,
        headers: &headers,
        random: 0,
    };
    bench.measure(&name, |_| matches!(table.find(&request), Outcome::Matched { .. }));
    Ok(())
}

/// What is wrong with the rows, for `--check`.
pub(crate) fn faults(rows: &[Row]) -> Vec<String> {
    let mut faults: Vec<String> = rows
        .iter()
        .filter(|row| row.name.starts_with(PREFIX) && row.allocations > 0.0)
        .map(|row| format!("{} allocates {} times", row.name, row.allocations))
        .collect();
    let times =
        || rows.iter().filter(|row| row.name.contains(" hosts x ")).map(|row| row.fastest_ns);
    let (least, most) = (times().fold(f64::INFINITY, f64::min), times().fold(0.0, f64::max));
    if most > least * FLAT {
        faults.push(format!("matching is not flat: from {least:.0} to {most:.0} ns"));
    }
    faults
}

fn table(
    hosts: usize,
    routes: usize,
    path: impl Fn(usize) -> Result<PathMatch>,
) -> Result<RouteTable<usize>> {
    let paths: Vec<PathMatch> = (0..routes).map(path).collect::<Result<_>>()?;
    let vhosts = (0..hosts).map(|host| VirtualHostSpec {
        name: format!("host-{host}"),
        require_tls: TlsRequirement::None,
        domains: vec![
            format!("host-{host}.mesh.example"),
            format!("host-{host}.mesh.example:8080"),
        ],
        routes: paths
            .iter()
            .enumerate()
            .map(|(action, path)| RouteSpec {
                name: None,
                matcher: RouteMatch::path(path.clone()),
                action,
            })
            .collect(),
    });
    Ok(RouteTable::compile(vhosts.collect(), MatchOptions::default())?)
}

fn browser_headers() -> HeaderMap {
    let fields = [
        ("accept", "text/html,application/xhtml+xml;q=0.9"),
        ("accept-encoding", "gzip, br"),
        ("cookie", "session=0123456789abcdef"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}
