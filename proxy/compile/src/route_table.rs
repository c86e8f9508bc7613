//! From a route configuration to its table: names become slots, files become their content.

use std::{iter, sync::Arc};

use weft_resources::{
    self as resources, ClusterName, DataSource, Labels, Mirror, Problem, Reason, RouteAction,
    RouteConfiguration, RouteFilters, RouteRule,
};
use weft_route::{RouteSpec, RouteTable, VirtualHostSpec};

use crate::{
    files::Files,
    routing::{
        Action, ClusterChoice, DirectResponse, Forward, HeaderMutations, HeaderProgram,
        RouteConfig, RouteEntry, RouteNames, RouteTarget, WeightedCluster, WeightedRoute,
    },
    slots::Slots,
    subsets,
    tables::ClusterId,
};

/// What routes need to know while they are compiled.
struct Context<'a> {
    clusters: &'a mut Slots,
    files: Files,
}

impl Context<'_> {
    fn id(&mut self, name: &ClusterName) -> ClusterId {
        ClusterId(self.clusters.of(&name.to_shared()))
    }

    fn choice(&mut self, choice: &resources::ClusterChoice) -> ClusterChoice {
        match choice {
            resources::ClusterChoice::Name(name) => ClusterChoice::Id(self.id(name)),
            resources::ClusterChoice::Header(name) => ClusterChoice::Header(name.clone()),
        }
    }
}

/// Compiles a route configuration.
pub(crate) fn compile(
    config: RouteConfiguration,
    clusters: &mut Slots,
    files: Files,
) -> Result<RouteConfig, Reason> {
    let path = config.path_of("virtual_hosts");
    let mut context = Context { clusters, files };
    let mut hosts = Vec::with_capacity(config.virtual_hosts.len());
    for (index, host) in config.virtual_hosts.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        hosts.push(virtual_host(host, &mut context, &path)?);
    }
    let table = RouteTable::compile(hosts, config.matching)
        .map_err(|error| Reason { path, problem: Problem::Routes(error) })?;
    Ok(RouteConfig { name: config.name.to_shared(), table, internal_only: config.internal_only })
}

fn virtual_host(
    host: VirtualHostSpec<RouteRule>,
    context: &mut Context<'_>,
    path: &str,
) -> Result<VirtualHostSpec<Arc<RouteEntry>>, Reason> {
    let VirtualHostSpec { name, domains, require_tls, routes } = host;
    let mut entries = Vec::with_capacity(routes.len());
    let virtual_host: Arc<str> = Arc::from(&*name);
    for (index, RouteSpec { name, matcher, action }) in routes.into_iter().enumerate() {
        let names = RouteNames {
            route: name.as_deref().map(Box::from),
            virtual_host: Arc::clone(&virtual_host),
        };
        let entry = route(action, names, context).map_err(|problem| Reason {
            path: format!("{path}.routes[{index}].direct_response.body"),
            problem,
        })?;
        entries.push(RouteSpec { name, matcher, action: entry });
    }
    Ok(VirtualHostSpec { name, domains, require_tls, routes: entries })
}

fn route(
    rule: RouteRule,
    names: RouteNames,
    context: &mut Context<'_>,
) -> Result<Arc<RouteEntry>, Problem> {
    let RouteRule { request_headers, response_headers, count_attempts, tell_attempts, .. } = rule;
    let tell_timeouts = rule.tell_timeouts;
    let filters = rule.filters;
    let levels =
        Levels { request: &request_headers, response: &response_headers, filters: &filters };
    let action = match rule.action {
        RouteAction::Redirect(redirect) => Action::Redirect(redirect),
        RouteAction::Nowhere => Action::Nowhere,
        RouteAction::Direct(direct) => {
            let body = match direct.body {
                DataSource::Inline(bytes) => bytes,
                DataSource::File(name) => context.files.read(&name, direct.limit)?,
            };
            let resources::DirectResponse { status, format, .. } = direct;
            Action::Direct(DirectResponse { status, body, format })
        }
        RouteAction::Forward(forward) => {
            Action::Forward(Box::new(self::forward(*forward, &levels, context)))
        }
    };
    let names = Arc::new(names);
    Ok(Arc::new(RouteEntry {
        action,
        request_headers,
        response_headers,
        filters,
        names,
        count_attempts,
        tell_timeouts,
        tell_attempts,
    }))
}

fn forward(forward: resources::Forward, levels: &Levels<'_>, context: &mut Context<'_>) -> Forward {
    Forward {
        labels: subsets::criteria(&Labels::new(), &forward.labels),
        target: target(forward.target, (levels, &forward.labels), context),
        timeout: forward.timeout,
        idle_timeout: forward.idle_timeout,
        stream_limit: forward.stream_limit,
        grpc_timeout: forward.grpc_timeout,
        host: forward.host,
        append_x_forwarded_host: forward.append_x_forwarded_host,
        path: forward.path,
        cluster_not_found: forward.cluster_not_found,
        hash_policy: forward.hash_policy,
        priority: forward.priority,
        upgrades: forward.upgrades,
        body_limit: forward.body_limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        internal_redirect: forward.internal_redirect,
        retry: forward.retry,
        hedges: forward.hedges.unwrap_or(false),
        mirrors: mirrors(&forward.mirrors, context),
    }
}

fn mirrors(
    mirrors: &[Mirror<resources::ClusterChoice>],
    context: &mut Context<'_>,
) -> Box<[Mirror<ClusterChoice>]> {
    let each = mirrors.iter().map(|mirror| Mirror {
        cluster: context.choice(&mirror.cluster),
        fraction: mirror.fraction,
        marks_host: mirror.marks_host,
        changes: mirror.changes.clone(),
        host: mirror.host.clone(),
        copies: mirror.copies.clone(),
    });
    each.collect()
}

fn target(
    target: resources::RouteTarget,
    (levels, labels): (&Levels<'_>, &Labels),
    context: &mut Context<'_>,
) -> RouteTarget {
    match target {
        resources::RouteTarget::Cluster(name) => RouteTarget::Cluster(context.id(&name)),
        resources::RouteTarget::Header(name) => RouteTarget::Header(name),
        resources::RouteTarget::Weighted(weighted) => {
            let mut total = 0;
            let clusters = weighted.clusters.into_iter().map(|cluster| {
                // Clusters whose weights do not fit together do not exist.
                total += cluster.weight;
                WeightedCluster {
                    up_to: total,
                    cluster: context.choice(&cluster.cluster),
                    labels: subsets::criteria(&cluster.labels, labels),
                    host_rewrite: cluster.host_rewrite,
                    request_headers: before(&cluster.request_headers, levels.request),
                    response_headers: before(&cluster.response_headers, levels.response),
                    filters: levels.filters.and(&cluster.filters),
                }
            });
            let clusters = clusters.collect();
            RouteTarget::Weighted(WeightedRoute {
                total,
                random_header: weighted.random_header,
                by_hash: weighted.by_hash,
                clusters,
            })
        }
    }
}

/// What a route's levels say, of which the clusters of its weights may say more.
struct Levels<'a> {
    request: &'a HeaderProgram,
    response: &'a HeaderProgram,
    filters: &'a RouteFilters,
}

/// The changes of one of several clusters, and those of its route after them.
fn before(own: &HeaderMutations, levels: &HeaderProgram) -> HeaderProgram {
    HeaderProgram::new(iter::once(own).chain(levels.levels()))
}
