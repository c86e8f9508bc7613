//! Listeners and routes: names become slots, and virtual hosts become matching tables.

use std::sync::Arc;

use bytes::Bytes;
use weft_resources::{
    DataSource, Destination, HttpConnectionManager, LocalReplies, Problem, Reason, ReplyMapper,
    RouteConfiguration, RouteSource, Scope, ScopedRoutes, TcpProxy,
};
use weft_telemetry::Stats;

use crate::{
    files::Files,
    rates::SharedBuckets,
    references::Reference,
    route_table,
    slots::Slots,
    tables::{ClusterId, HttpChain, RouteConfigId, Routes, Scopes, Target, TcpChain, Weighted},
};

/// Bytes that the file of a local reply may have.
const LARGEST_REPLY: usize = 1 << 20;

/// Numbers for the names that chains and routes mention.
pub(crate) struct Names<'a> {
    pub(crate) clusters: &'a mut Slots,
    pub(crate) route_configs: &'a mut Slots,
    pub(crate) buckets: &'a mut SharedBuckets,
    pub(crate) files: Files,
}

/// The second value is the route configuration it needs.
pub(crate) fn http_chain(
    http: HttpConnectionManager,
    names: &mut Names<'_>,
    stats: &Arc<Stats>,
) -> Result<(HttpChain, Option<Reference>), Reason> {
    let (routes, reference) = match http.routes {
        RouteSource::Inline(config) => (
            Routes::Inline(Arc::new(route_table::compile(config, names.clusters, names.files)?)),
            None,
        ),
        RouteSource::Rds { name, origin, fetch_timeout } => {
            let name = name.to_shared();
            let id = RouteConfigId(names.route_configs.of(&name));
            (Routes::Rds(id), Some(Reference { name, origin, fetch_timeout }))
        }
        RouteSource::Scoped(ScopedRoutes { fragments, scopes }) => {
            let mut compiled = Vec::with_capacity(scopes.len());
            for Scope { key, routes } in scopes {
                let routes = route_table::compile(routes, names.clusters, names.files)?;
                compiled.push((key, Arc::new(routes)));
            }
            (Routes::Scoped(Scopes::new(fragments, compiled)), None)
        }
    };
    let local_replies = http.local_replies.map(|replies| local_replies(replies, names.files));
    let chain = HttpChain {
        stats: stats.http(&http.stat_prefix),
        codec: http.codec,
        routes,
        server_name: http.server_name,
        client: http.client,
        upgrades: http.upgrades,
        heads: http.heads,
        local_replies: local_replies.transpose()?.map(Box::new),
        suppress_envoy_headers: http.suppress_envoy_headers,
        respect_expected_timeout: http.respect_expected_timeout,
        registry: Arc::clone(stats),
        filters: http.filters,
        http2: http.http2,
        http2_stats: Arc::clone(&stats.http2),
    };
    Ok((chain, reference))
}

/// Bodies become the content of their files.
fn local_replies(
    replies: LocalReplies<DataSource>,
    files: Files,
) -> Result<LocalReplies<Bytes>, Reason> {
    let LocalReplies { mappers, format } = replies;
    let read = |(index, mapper): (usize, ReplyMapper<DataSource>)| {
        let ReplyMapper { filter, status, body, format, headers } = mapper;
        let body = match body {
            Some(DataSource::File(name)) => Some(files.read(&name, LARGEST_REPLY)),
            Some(DataSource::Inline(bytes)) => Some(Ok(bytes)),
            None => None,
        };
        let path = || format!("local_reply_config.mappers[{index}].body");
        let body = body.transpose().map_err(|problem| Reason { path: path(), problem })?;
        Ok(ReplyMapper { filter, status, body, format, headers })
    };
    let mappers = mappers.into_iter().enumerate().map(read).collect::<Result<_, Reason>>()?;
    Ok(LocalReplies { mappers, format })
}

pub(crate) fn tcp_chain(tcp: &TcpProxy, names: &mut Names<'_>, stats: &Stats) -> TcpChain {
    TcpChain {
        stats: stats.tcp(&tcp.stat_prefix),
        target: target(&tcp.destination, names.clusters),
        idle_timeout: tcp.idle_timeout,
        max_connect_attempts: tcp.max_connect_attempts,
        backoff: tcp.backoff,
        max_duration: tcp.max_duration,
        max_duration_jitter: tcp.max_duration_jitter,
        tlvs: tcp.tlvs.clone(),
        tlv_merge: tcp.tlv_merge,
        waits_for_data: tcp.waits_for_data,
        tunneling: tcp.tunneling.clone(),
        hashes_source: tcp.hashes_source,
    }
}

fn target(destination: &Destination, clusters: &mut Slots) -> Target {
    let mut id = |name: &weft_resources::ClusterName| ClusterId(clusters.of(&name.to_shared()));
    match destination.clusters() {
        [(only, _)] => Target::Cluster(id(only)),
        several => {
            let mut total = 0;
            let clusters = several
                .iter()
                .map(|(name, weight)| {
                    // Destinations whose weights do not fit together do not exist.
                    total += weight;
                    (total, id(name))
                })
                .collect();
            Target::Weighted(Weighted { total, clusters })
        }
    }
}

/// The clusters that routes name and that are not there, if `validate_clusters` asks for them;
/// `default` is its value where it is not set.
pub(crate) fn unknown_clusters(
    config: &RouteConfiguration,
    default: bool,
    is_known: impl Fn(&str) -> bool,
) -> Vec<Reason> {
    if !config.validate_clusters.unwrap_or(default) {
        return Vec::new();
    }
    config
        .clusters()
        .filter(|(_, name)| !is_known(name.as_str()))
        .map(|(path, name)| Reason { path, problem: Problem::UnknownCluster(name.to_string()) })
        .collect()
}
