//! What is counted about one request, once, whichever way it ends.

use std::{rc::Rc, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body::Frame;
use smallvec::SmallVec;
use weft_balance::{ActiveRequest, EndpointState, Outcome};
use weft_compile::{Cluster, HttpChain};
use weft_telemetry::{GaugeGuard, HttpStats};

use crate::{
    comparison::Witness,
    fault::Fault,
    filters::Admission,
    headers, outcome, ticks,
    upstream::Place,
    worker::{Busy, Worker},
};

/// An endpoint that sends this asks to be left alone, and is until its checks pass.
const IMMEDIATE_HEALTH_CHECK_FAIL: HeaderName =
    HeaderName::from_static("x-envoy-immediate-health-check-fail");

/// Counts a request from its head until it is dropped, which is when the response has ended or
/// either side went away.
#[derive(Debug)]
pub(crate) struct Record {
    chain: Arc<HttpChain>,
    began: Instant,
    upstream: Option<UpstreamRecord>,
    rare: Option<Box<Rare>>,
    _busy: Busy,
}

/// What few requests have.
#[derive(Debug, Default)]
struct Rare {
    upgrade: Option<GaugeGuard<Arc<HttpChain>>>,
    /// Its places among the requests that may be under way at once.
    admissions: SmallVec<[Admission; 1]>,
    /// Who compare its answer with those to copies of it.
    witnesses: SmallVec<[Witness; 1]>,
}

/// What is counted of a request at its upstream.
#[derive(Debug)]
pub(crate) struct UpstreamRecord {
    cluster: Arc<Cluster>,
    /// Held for its count of requests in flight.
    active: ActiveRequest,
    /// Its place within `max_requests`, once it was sent.
    sent: Option<Place>,
    began: Instant,
    /// Its trailers have to say how a gRPC call went.
    awaits_status: bool,
}

impl Record {
    pub(crate) fn begin(chain: &Arc<HttpChain>, worker: &Rc<Worker>) -> Self {
        chain.stats.downstream_rq_total.inc();
        chain.stats.downstream_rq_active.inc();
        Self {
            chain: Arc::clone(chain),
            began: Instant::now(),
            upstream: None,
            rare: None,
            _busy: worker.begin_busy(),
        }
    }

    /// What is counted of the client's side.
    pub(crate) fn chain_stats(&self) -> &HttpStats {
        &self.chain.stats
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// The request is meant for an endpoint; replaces what an earlier attempt began.
    pub(crate) fn begin_upstream(&mut self, cluster: &Arc<Cluster>, active: ActiveRequest) {
        self.upstream = None;
        self.upstream = Some(UpstreamRecord::begin(cluster, active));
    }

    /// The attempt goes on beside the next one, and is counted apart from here on.
    pub(crate) fn part_with_upstream(&mut self) -> Option<UpstreamRecord> {
        self.upstream.take()
    }

    /// An attempt that went on has answered.
    pub(crate) fn resume_upstream(&mut self, upstream: UpstreamRecord) {
        self.upstream = Some(upstream);
    }

    /// When the latest attempt began.
    pub(crate) fn attempt_began(&self) -> Option<Instant> {
        self.upstream.as_ref().map(|upstream| upstream.began)
    }

    /// The latest attempt is broken off, as one before it has answered.
    pub(crate) fn beaten(&self) {
        if let Some(upstream) = &self.upstream {
            upstream.cluster.stats.upstream_rq_hedge_cancelled.inc();
        }
    }

    /// The endpoint that the request went to.
    pub(crate) fn endpoint(&self) -> Option<&Arc<EndpointState>> {
        self.upstream.as_ref().map(|upstream| upstream.active.endpoint())
    }

    /// What is seen says this of the endpoint.
    pub(crate) fn outcome(&self, outcome: Outcome) {
        if let Some(upstream) = &self.upstream {
            upstream.outcome(outcome);
        }
    }

    /// A filter has let the request go on, as one of so many.
    pub(crate) fn admitted(&mut self, admission: Admission) {
        self.rare.get_or_insert_default().admissions.push(admission);
    }

    /// These are to see the answer, and none that were to see an earlier one.
    pub(crate) fn seen_by(&mut self, witnesses: SmallVec<[Witness; 1]>) {
        if self.rare.is_some() || !witnesses.is_empty() {
            self.rare.get_or_insert_default().witnesses = witnesses;
        }
    }

    /// The answer that the client gets has this head, as the upstream sent it.
    pub(crate) fn show_head(&self, status: StatusCode, headers: &HeaderMap) {
        let Some(rare) = self.rare.as_ref().filter(|rare| !rare.witnesses.is_empty()) else {
            return;
        };
        let now = Instant::now();
        rare.witnesses.iter().for_each(|witness| witness.head(status, headers, now));
    }

    /// And these bytes are all of its body.
    pub(crate) fn show_whole(&self, body: &[u8]) {
        for witness in self.rare.iter().flat_map(|rare| &rare.witnesses) {
            witness.data(body);
            witness.end(Instant::now());
        }
    }

    /// The next frame of it.
    pub(crate) fn show(&self, frame: Option<&Frame<Bytes>>, is_end: bool) {
        for witness in self.rare.iter().flat_map(|rare| &rare.witnesses) {
            if let Some(frame) = frame {
                witness.frame(frame);
            }
            if is_end {
                witness.end(Instant::now());
            }
        }
    }

    /// The client's answer is whole.
    pub(crate) fn answered(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.admissions.drain(..).for_each(Admission::complete);
        }
    }

    /// The upstream has answered, with its head alone or with more to come.
    pub(crate) fn head_came(&mut self, head: &Response<()>, is_grpc: bool, is_end: bool) {
        let Some(upstream) = &mut self.upstream else { return };
        if let Some(checks) = &upstream.cluster.checks
            && headers::has_rare(head.headers(), &IMMEDIATE_HEALTH_CHECK_FAIL)
        {
            checks.left_alone(upstream.active.endpoint());
        }
        if upstream.cluster.outliers.is_some() {
            match outcome::of_head(head, is_grpc, is_end) {
                Some(outcome) => self.outcome(outcome),
                None => upstream.awaits_status = true,
            }
        }
    }

    /// The response has ended, with these trailers if there are any.
    pub(crate) fn ended(&mut self, trailers: Option<&HeaderMap>) {
        let Some(upstream) = &mut self.upstream else { return };
        if std::mem::take(&mut upstream.awaits_status) {
            let told = trailers.and_then(outcome::of_grpc);
            self.outcome(told.unwrap_or(Outcome::Responded(StatusCode::OK.as_u16())));
        }
    }

    /// The request has a connection to be sent on.
    pub(crate) fn sent(&mut self, slot: Place) {
        if let Some(upstream) = &mut self.upstream {
            upstream.sent(slot);
        }
    }

    /// The upstream's response has a head.
    pub(crate) fn upstream_responded(&self, status: StatusCode) {
        if let Some(upstream) = &self.upstream {
            upstream.responded(status);
        }
    }

    /// A request got no response.
    pub(crate) fn upstream_failed(&self, fault: Fault) {
        if let Some(upstream) = &self.upstream {
            upstream.failed(fault);
        }
    }

    /// The upstream's response broke off.
    pub(crate) fn upstream_broke(&self) {
        if let Some(upstream) = &self.upstream {
            upstream.cluster.stats.upstream_rq_rx_reset.inc();
        }
        self.outcome(Outcome::Broken);
    }

    /// The stream lasted longer than it may.
    pub(crate) fn too_long(&self) {
        self.chain.stats.downstream_rq_max_duration_reached.inc();
    }

    /// The stream lasted longer than the cluster allows.
    pub(crate) fn upstream_too_long(&self) {
        if let Some(upstream) = &self.upstream {
            upstream.cluster.stats.upstream_rq_max_duration_reached.inc();
        }
    }

    /// Nothing of a try's response came for too long.
    pub(crate) fn try_idle(&self) {
        if let Some(upstream) = &self.upstream {
            upstream.cluster.stats.upstream_rq_per_try_idle_timeout.inc();
        }
    }

    /// The request had not come as a whole in time.
    pub(crate) fn not_whole(&self) {
        self.chain.stats.downstream_rq_timeout.inc();
    }

    /// Nothing moved for too long.
    pub(crate) fn stream_idle(&self) {
        self.chain.stats.downstream_rq_idle_timeout.inc();
    }

    /// The response did not end in time.
    pub(crate) fn timed_out(&self) {
        if let Some(upstream) = &self.upstream {
            upstream.timed_out();
        }
    }

    /// How long ago the request was sent to the upstream.
    pub(crate) fn upstream_millis(&self) -> Option<u64> {
        let upstream = self.upstream.as_ref()?;
        u64::try_from(upstream.began.elapsed().as_millis()).ok()
    }

    /// The connection carries another protocol from here on.
    pub(crate) fn upgraded(&mut self) {
        self.chain.stats.downstream_cx_upgrades_total.inc();
        let upgrade = GaugeGuard::raise(Arc::clone(&self.chain), |chain| {
            &chain.stats.downstream_cx_upgrades_active
        });
        self.rare.get_or_insert_default().upgrade = Some(upgrade);
    }

    /// A response head goes to the client.
    pub(crate) fn responded(&self, status: StatusCode) {
        self.chain.stats.downstream_rq_completed.inc();
        self.chain.stats.downstream_rq_xx.count(status.as_u16());
    }
}

impl UpstreamRecord {
    /// Begins to count a request that is meant for an endpoint of this cluster.
    pub(crate) fn begin(cluster: &Arc<Cluster>, active: ActiveRequest) -> Self {
        let (cluster, began) = (Arc::clone(cluster), Instant::now());
        Self { cluster, active, sent: None, began, awaits_status: false }
    }

    /// What is seen says this of the endpoint.
    pub(crate) fn outcome(&self, outcome: Outcome) {
        self.cluster.record(self.active.endpoint(), outcome);
    }

    /// The request has a connection to be sent on.
    pub(crate) fn sent(&mut self, slot: Place) {
        self.cluster.stats.upstream_rq_total.inc();
        self.active.endpoint().counts().rq_total.inc();
        self.sent = Some(slot);
    }

    /// The response has a head.
    pub(crate) fn responded(&self, status: StatusCode) {
        self.cluster.stats.upstream_rq_completed.inc();
        self.cluster.stats.upstream_rq_xx.count(status.as_u16());
        self.measure(!status.is_server_error());
        let counts = self.active.endpoint().counts();
        if status.is_server_error() { &counts.rq_error } else { &counts.rq_success }.inc();
    }

    /// It was slow, and is broken off as another attempt has answered.
    pub(crate) fn beaten(&self) {
        self.cluster.stats.upstream_rq_hedge_cancelled.inc();
        self.note_time();
    }

    /// Takes note of how long it lasted at least, where what is slow goes by that.
    fn note_time(&self) {
        if let Some(hedges) = &self.cluster.hedges {
            let now = Instant::now();
            hedges.took(now.saturating_duration_since(self.began), now);
        }
    }

    /// Takes note of how long that took, where balancing goes by it.
    fn measure(&self, is_good: bool) {
        if is_good {
            self.note_time();
        }
        let took = || {
            let now = Instant::now();
            (now.saturating_duration_since(self.began), ticks::at(now))
        };
        self.cluster.measure(self.active.endpoint(), took, is_good);
    }

    /// There is no response.
    pub(crate) fn failed(&self, fault: Fault) {
        if let Some(outcome) = outcome::of_fault(fault) {
            self.outcome(outcome);
            self.measure(false);
        }
        if self.sent.is_some() {
            self.active.endpoint().counts().rq_error.inc();
        }
    }

    /// It is over, whichever way.
    pub(crate) fn over(&self, now: Instant) {
        if self.sent.is_some() {
            self.cluster.stats.upstream_rq_time.record(now.duration_since(self.began));
        }
    }

    /// The response did not end in time.
    pub(crate) fn timed_out(&self) {
        self.cluster.stats.upstream_rq_timeout.inc();
        self.active.endpoint().counts().rq_timeout.inc();
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let now = Instant::now();
        self.chain.stats.downstream_rq_active.dec();
        self.chain.stats.downstream_rq_time.record(now.duration_since(self.began));
        if let Some(upstream) = &self.upstream {
            upstream.over(now);
        }
    }
}
