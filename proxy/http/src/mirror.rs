//! Copies of requests for other clusters (`request_mirror_policies`). Nobody waits for them: each is
//! a task of its own, whose answer is counted, compared where a route asks for that, and thrown away.

use std::{future::poll_fn, rc::Rc, sync::Arc, task::Poll, time::Instant};

use http::{HeaderMap, HeaderValue};
use smallvec::SmallVec;
use weft_balance::EndpointState;
use weft_compile::{
    Cluster, ClusterChoice, Forward, HeaderChange, Mirror, Priority, RouteNames, Tables,
};
use weft_format::View;
use weft_telemetry::GaugeGuard;

use crate::{
    body::Limits,
    comparison::{self, Asked, Witness},
    copied::Copy,
    downstream::{Connection, Interim, RequestBody},
    fault::Fault,
    forward::await_head,
    head_rules::X_REQUEST_ID,
    mutation::{self, Side},
    record::UpstreamRecord,
    ticks,
    upstream::{self, Authority, Exchange, Failure, Outgoing, Pool, Upload},
    worker::Worker,
};

/// The clusters that get copies of a request.
pub(crate) type Mirrors<'t> = SmallVec<[(&'t Mirror<ClusterChoice>, &'t Arc<Cluster>); 1]>;

/// Who compare the answer to a request with those to its copies.
pub(crate) type Witnesses = SmallVec<[Witness; 1]>;

/// Which of a route's policies hold for a request.
pub(crate) fn chosen<'t>(
    to: &'t Forward,
    tables: &'t Tables,
    headers: &HeaderMap,
    mut random: impl FnMut() -> u64,
) -> Mirrors<'t> {
    let meant = to.mirrors.iter().filter(|mirror| {
        let share = mirror.fraction;
        share.is_none_or(|share| share.includes(random()))
    });
    meant
        .filter_map(|mirror| {
            let id = mirror.cluster.choose(tables, headers)?;
            Some((mirror, tables.cluster(id)?))
        })
        .collect()
}

/// Sends copies of a request on their way; its body is copied as it goes up.
pub(crate) fn send(
    connection: &Connection,
    mirrors: &Mirrors<'_>,
    (outgoing, cluster, names): (&Outgoing, &Arc<Cluster>, &Arc<RouteNames>),
    (upload, limits): (&mut Upload, Limits),
    view: &View<'_>,
) -> Witnesses {
    let mut witnesses = Witnesses::new();
    for (mirror, to) in mirrors {
        let stats = to.stats.mirror();
        let most = mirror.copies.as_ref().and_then(|copies| copies.max_active);
        let Some(place) = begin(to, most.map_or(u64::MAX, u64::from)) else {
            stats.rq_overflow.inc();
            continue;
        };
        let random = connection.worker.random_u64();
        let Some(picked) = to.pick(None, ticks::chance(&to.balancer, random), None, &[]) else {
            to.stats.upstream_cx_none_healthy.inc();
            stats.rq_failed.inc();
            continue;
        };
        let leaf = to.members.get(picked.group).unwrap_or(to);
        let body = if upload.is_finished() {
            RequestBody::None
        } else {
            let (copy, body) = Copy::new(cluster, connection.worker.copies());
            upload.copy_to(copy);
            RequestBody::Copied(Box::new(body))
        };
        let asked = || Asked {
            at: Instant::now(),
            names: Arc::clone(names),
            original: Arc::clone(cluster),
            copy: Arc::clone(to),
            id: outgoing.headers.get(&X_REQUEST_ID).cloned(),
        };
        let pair = mirror.copies.as_ref().and_then(|copies| comparison::compare(copies, asked));
        let witness = pair.map(|[original, copy]| {
            witnesses.push(original);
            copy
        });
        let mut outgoing = outgoing.copy();
        change_head(mirror, &mut outgoing, view);
        let one = Reflection {
            // Chosen while the client is at hand, whose greeting its connections may begin with.
            pool: connection.pool_for(leaf, picked.endpoint, Priority::Default),
            worker: Rc::clone(&connection.worker),
            cluster: Arc::clone(leaf),
            endpoint: Arc::clone(picked.endpoint),
            limits,
            named: Arc::clone(to),
            witness,
            _place: place,
        };
        let upload = Upload::new(body, &outgoing.headers);
        tokio::task::spawn_local(one.run(outgoing, upload));
    }
    witnesses
}

/// A place among the copies that may be under way to a cluster, if there is one.
fn begin(to: &Arc<Cluster>, most: u64) -> Option<GaugeGuard<Arc<Cluster>>> {
    let place = GaugeGuard::raise_below(Arc::clone(to), |to| &to.stats.mirror().rq_active, most)?;
    to.stats.mirror().rq_total.inc();
    Some(place)
}

fn change_head(mirror: &Mirror<ClusterChoice>, outgoing: &mut Outgoing, view: &View<'_>) {
    match &mirror.host {
        Some(host) => outgoing.authority = Authority::Field(host.clone()),
        None if mirror.marks_host => {
            if let Some(host) = marked(outgoing.authority.as_bytes()) {
                outgoing.authority = Authority::Field(host);
            }
        }
        None => {}
    }
    mutation::apply_each(&mirror.changes, &mut outgoing.headers, Side::Request, view);
}

/// The host with `-shadow` after its name.
fn marked(host: &[u8]) -> Option<HeaderValue> {
    let mut parts = host.split(|byte| *byte == b':');
    let (name, port, more) = (parts.next()?, parts.next(), parts.next());
    let marked = match port {
        Some(port) if more.is_none() => [name, b"-shadow:", port].concat(),
        _ => [host, b"-shadow"].concat(),
    };
    HeaderValue::from_maybe_shared(bytes::Bytes::from(marked)).ok()
}

/// Whether the changes of any of these need to know the request.
pub(crate) fn has_formats(mirrors: &Mirrors<'_>) -> bool {
    mirrors.iter().any(|(mirror, _)| mirror.changes.iter().any(HeaderChange::has_format))
}

/// The copy of a request on its way.
struct Reflection {
    worker: Rc<Worker>,
    cluster: Arc<Cluster>,
    endpoint: Arc<EndpointState>,
    pool: Rc<Pool>,
    limits: Limits,
    /// What the route calls its cluster, which may be an aggregate.
    named: Arc<Cluster>,
    /// Who compares its answer.
    witness: Option<Witness>,
    _place: GaugeGuard<Arc<Cluster>>,
}

impl Reflection {
    async fn run(self, outgoing: Outgoing, upload: Upload) {
        let mut record = UpstreamRecord::begin(&self.cluster, self.endpoint.begin_request());
        if let Err(fault) = self.answer(outgoing, upload, &mut record).await {
            self.named.stats.mirror().rq_failed.inc();
            match fault {
                Fault::RequestTimeout(_) => record.timed_out(),
                fault => record.failed(fault),
            }
        }
        record.over(Instant::now());
    }

    /// Sends the request, and reads its answer to the end.
    async fn answer(
        &self,
        mut outgoing: Outgoing,
        upload: Upload,
        record: &mut UpstreamRecord,
    ) -> Result<(), Fault> {
        let Self { cluster, endpoint, pool, limits, .. } = self;
        let protocol = upstream::protocol(cluster, outgoing.downstream);
        let reason = |failure: Failure| failure.fault;
        let lane = match upstream::reuse(pool, cluster, protocol, true) {
            Some(lane) => lane,
            None => upstream::open(Rc::clone(pool), cluster, endpoint, protocol, *limits)
                .await
                .map_err(reason)?,
        };
        let (lane, place) = lane.admitted(cluster, Priority::Default).map_err(reason)?;
        record.sent(place);
        let mut exchange = lane.begin(&mut outgoing, upload);
        let timer = self.worker.timer();
        let head =
            await_head(&mut exchange, (limits, &mut None), timer, (&Interim::Unwanted, false))
                .await
                .map_err(reason)?;
        record.responded(head.status());
        if let Some(witness) = &self.witness {
            witness.head(head.status(), head.headers(), Instant::now());
        }
        self.drain(&mut exchange).await
    }

    async fn drain(&self, exchange: &mut Exchange) -> Result<(), Fault> {
        let mut timer = self.worker.timer();
        let mut last_moved = Instant::now();
        poll_fn(|cx| {
            while !exchange.is_end_stream() {
                let Poll::Ready(frame) = exchange.poll_frame(cx) else {
                    let Some((at, fault)) = self.limits.next(last_moved) else {
                        return Poll::Pending;
                    };
                    return timer.poll_at(cx, at).map(|()| Err(fault));
                };
                last_moved = Instant::now();
                match frame {
                    Some(Ok(frame)) => {
                        if let Some(witness) = &self.witness {
                            witness.frame(&frame);
                        }
                    }
                    Some(Err(fault)) => return Poll::Ready(Err(fault)),
                    None => break,
                }
            }
            if let Some(witness) = &self.witness {
                witness.end(Instant::now());
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_marked_before_their_port() {
        let host = |text: &str| marked(text.as_bytes()).unwrap();
        assert_eq!(host("a.test"), "a.test-shadow");
        assert_eq!(host("a.test:80"), "a.test-shadow:80");
        assert_eq!(host("[::1]:80"), "[::1]:80-shadow", "as Envoy does");
    }
}
