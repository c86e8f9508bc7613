//! Two answers to one request, one of which the client gets.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Frame;
use weft_compile::{AnswerComparison, Cluster, Copies, RouteNames};
use weft_telemetry::MirrorStats;

use super::answer::{Answer, Differences};

/// The request that both are answers to.
#[derive(Debug)]
pub(crate) struct Asked {
    /// When it was sent on.
    pub(crate) at: Instant,
    /// Its route.
    pub(crate) names: Arc<RouteNames>,
    /// Where it went.
    pub(crate) original: Arc<Cluster>,
    /// Where its copy went.
    pub(crate) copy: Arc<Cluster>,
    /// `x-request-id`, by which both are found elsewhere.
    pub(crate) id: Option<HeaderValue>,
}

/// Sees one of the two answers. Dropped before the answer has ended, it is not compared.
#[derive(Debug)]
pub(crate) struct Witness {
    pair: Rc<RefCell<Pair>>,
    side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Original,
    Copy,
}

#[derive(Debug)]
struct Pair {
    asked: Asked,
    /// What says how to compare.
    copies: Arc<Copies>,
    original: Seen,
    copy: Seen,
}

/// How far an answer has come.
#[derive(Debug)]
enum Seen {
    Nothing,
    Begun(Box<Answer>),
    Whole(Box<Answer>),
    Lost,
}

/// Compares the answer to a request with the one to its copy, where that is asked for: who is to see
/// the one, and who the other.
pub(crate) fn compare(copies: &Arc<Copies>, asked: impl FnOnce() -> Asked) -> Option<[Witness; 2]> {
    copies.comparison.as_ref()?;
    let pair = Rc::new(RefCell::new(Pair {
        asked: asked(),
        copies: Arc::clone(copies),
        original: Seen::Nothing,
        copy: Seen::Nothing,
    }));
    let original = Witness { pair: Rc::clone(&pair), side: Side::Original };
    Some([original, Witness { pair, side: Side::Copy }])
}

impl Witness {
    /// The answer begins.
    pub(crate) fn head(&self, status: StatusCode, headers: &HeaderMap, now: Instant) {
        let mut pair = self.pair.borrow_mut();
        let Some(comparison) = &pair.copies.comparison else { return };
        let took = now.saturating_duration_since(pair.asked.at);
        let answer = Answer::begin(status, headers, took, comparison);
        *pair.seen(self.side) = Seen::Begun(Box::new(answer));
    }

    /// The answer goes on.
    pub(crate) fn frame(&self, frame: &Frame<Bytes>) {
        match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => self.data(data),
            (None, Some(trailers)) => {
                if let Seen::Begun(answer) = self.pair.borrow_mut().seen(self.side) {
                    answer.trailers(trailers);
                }
            }
            (None, None) => {}
        }
    }

    /// More of its body.
    pub(crate) fn data(&self, data: &[u8]) {
        if let Seen::Begun(answer) = self.pair.borrow_mut().seen(self.side) {
            answer.data(data);
        }
    }

    /// The answer is whole.
    pub(crate) fn end(&self, now: Instant) {
        let mut pair = self.pair.borrow_mut();
        let seen = pair.seen(self.side);
        if let Seen::Begun(_) = seen
            && let Seen::Begun(answer) = std::mem::replace(seen, Seen::Lost)
        {
            *seen = Seen::Whole(answer);
            pair.look(now);
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let mut pair = self.pair.borrow_mut();
        let seen = pair.seen(self.side);
        if matches!(seen, Seen::Nothing | Seen::Begun(_)) {
            *seen = Seen::Lost;
            pair.look(Instant::now());
        }
    }
}

impl Pair {
    fn seen(&mut self, side: Side) -> &mut Seen {
        match side {
            Side::Original => &mut self.original,
            Side::Copy => &mut self.copy,
        }
    }

    /// Compares the two once both have come as far as they will.
    fn look(&self, now: Instant) {
        let stats = self.asked.copy.stats.mirror();
        match (&self.original, &self.copy) {
            (Seen::Whole(original), Seen::Whole(copy)) => {
                if let Some(comparison) = &self.copies.comparison {
                    self.judge(original, copy, (comparison, stats), now);
                }
            }
            (Seen::Lost, Seen::Lost | Seen::Whole(_)) | (Seen::Whole(_), Seen::Lost) => {
                stats.compare_incomplete.inc();
            }
            _ => {}
        }
    }

    fn judge(
        &self,
        original: &Answer,
        copy: &Answer,
        (comparison, stats): (&AnswerComparison, &MirrorStats),
        now: Instant,
    ) {
        count_times(original.took, copy.took, stats);
        let differences = original.differs_from(copy, comparison);
        if differences.is_empty() {
            return stats.compare_match.inc();
        }
        count(&differences, stats);
        if comparison.logs.as_ref().is_some_and(|logs| logs.take(now)) {
            self.log(original, copy, &differences);
        } else {
            stats.compare_log_dropped.inc();
        }
    }

    fn log(&self, original: &Answer, copy: &Answer, differences: &Differences<'_>) {
        let Asked { names, original: from, copy: to, id, .. } = &self.asked;
        tracing::info!(
            cluster = %from.name,
            copy = %to.name,
            route = names.route.as_deref().unwrap_or_default(),
            request_id = ?id,
            status = original.status.as_u16(),
            copy_status = copy.status.as_u16(),
            millis = original.took.as_millis(),
            copy_millis = copy.took.as_millis(),
            differs = %differences,
            "a copy was answered differently",
        );
    }
}

fn count(differences: &Differences<'_>, stats: &MirrorStats) {
    stats.compare_mismatch.inc();
    for (differs, counter) in [
        (differences.status, &stats.compare_status_mismatch),
        (differences.grpc_status, &stats.compare_grpc_status_mismatch),
        (!differences.fields.is_empty(), &stats.compare_header_mismatch),
        (differences.body, &stats.compare_body_mismatch),
    ] {
        if differs {
            counter.inc();
        }
    }
}

fn count_times(original: Duration, copy: Duration, stats: &MirrorStats) {
    stats.compare_original_time.record(original);
    stats.compare_copy_time.record(copy);
    match copy.checked_sub(original) {
        Some(slower) => stats.compare_copy_slower_time.record(slower),
        None => stats.compare_copy_faster_time.record(original.saturating_sub(copy)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::header::SERVER;
    use prost::Message as _;
    use weft_compile::{ComparedHeader, Compiler, ResourceType, Update, Upsert};
    use weft_proto::pb::envoy::config::cluster::v3::Cluster as Message;
    use weft_telemetry::Stats;

    use super::*;

    fn cluster(name: &str) -> Arc<Cluster> {
        let message = Message { name: name.to_owned(), ..Message::default() };
        let value = message.encode_to_vec().into();
        let upsert = Upsert { name: Arc::from(name), version: Arc::from("1"), value };
        let mut compiler = Compiler::new(Stats::new(Instant::now()));
        let report =
            compiler.apply(&Update::fixed(ResourceType::Cluster, vec![upsert]), SystemTime::now());
        assert!(report.is_accepted(), "{:?}", report.rejected);
        let tables = compiler.tables();
        Arc::clone(tables.cluster(tables.cluster_named(name).unwrap()).unwrap())
    }

    fn asked(copies: &Arc<Copies>) -> (Instant, Arc<Cluster>, [Witness; 2]) {
        let (at, copy) = (Instant::now(), cluster("copy"));
        let asked = || Asked {
            at,
            names: Arc::new(RouteNames { route: None, virtual_host: Arc::from("all") }),
            original: cluster("original"),
            copy: Arc::clone(&copy),
            id: None,
        };
        let witnesses = compare(copies, asked).unwrap();
        (at, copy, witnesses)
    }

    fn copies() -> Arc<Copies> {
        let headers = [ComparedHeader { name: SERVER, is_shown: false }];
        let comparison =
            AnswerComparison { headers: headers.into(), max_body_bytes: 1024, logs: None };
        Arc::new(Copies { max_active: None, comparison: Some(comparison) })
    }

    /// Matches, differences, and pairs that are not whole.
    fn counted(copy: &Cluster) -> [u64; 3] {
        let stats = copy.stats.mirror();
        [&stats.compare_match, &stats.compare_mismatch, &stats.compare_incomplete]
            .map(weft_telemetry::Counter::get)
    }

    fn answer(witness: &Witness, status: u16, body: &'static [u8], now: Instant) {
        witness.head(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), now);
        witness.frame(&Frame::data(Bytes::from_static(body)));
        witness.frame(&Frame::trailers(HeaderMap::new()));
        witness.end(now);
    }

    #[test]
    fn whichever_ends_last_is_when_they_are_compared() {
        for first in [0, 1] {
            let (at, copy, witnesses) = asked(&copies());
            let [one, other] = [&witnesses[first], &witnesses[1 - first]];
            answer(one, 200, b"a", at + Duration::from_millis(5));
            assert_eq!(counted(&copy), [0, 0, 0]);
            answer(other, 200, b"a", at + Duration::from_millis(30));
            assert_eq!(counted(&copy), [1, 0, 0]);
            drop(witnesses);
            assert_eq!(counted(&copy), [1, 0, 0], "once");
            let stats = copy.stats.mirror();
            let later = [&stats.compare_copy_slower_time, &stats.compare_copy_faster_time];
            let later = later.map(|times| (times.snapshot().count, times.snapshot().sum_micros));
            let expected = if first == 0 { [(1, 25_000), (0, 0)] } else { [(0, 0), (1, 25_000)] };
            assert_eq!(later, expected);
        }
    }

    #[test]
    fn what_differs_is_counted_by_kind() {
        let (at, copy, [original, other]) = asked(&copies());
        answer(&original, 200, b"a", at);
        answer(&other, 404, b"b", at);
        assert_eq!(counted(&copy), [0, 1, 0]);
        let stats = copy.stats.mirror();
        assert_eq!(
            (stats.compare_status_mismatch.get(), stats.compare_body_mismatch.get()),
            (1, 1)
        );
        assert_eq!(stats.compare_header_mismatch.get(), 0);
        assert_eq!(stats.compare_log_dropped.get(), 1, "where nothing may be logged");
    }

    #[test]
    fn what_breaks_off_is_not_compared() {
        for (begun, whole) in [(0, 1), (1, 0)] {
            let (at, copy, witnesses) = asked(&copies());
            answer(&witnesses[whole], 200, b"a", at);
            witnesses[begun].head(StatusCode::OK, &HeaderMap::new(), at);
            witnesses[begun].data(b"a");
            assert_eq!(counted(&copy), [0, 0, 0]);
            drop(witnesses);
            assert_eq!(counted(&copy), [0, 0, 1]);
        }
        let (_, copy, witnesses) = asked(&copies());
        drop(witnesses);
        assert_eq!(counted(&copy), [0, 0, 1], "once for both");
    }

    #[test]
    fn nothing_is_made_where_nothing_is_compared() {
        let copies = Arc::new(Copies { max_active: Some(3), comparison: None });
        assert!(compare(&copies, || unreachable!("nobody asks")).is_none());
    }
}
