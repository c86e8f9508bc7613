//! Hosts that requests have named: looked up once for all workers, and again as long as somebody
//! asks for them.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Instant,
};

use foldhash::fast::RandomState;
use weft_balance::Alarm;
use weft_resources::DynamicHosts as Settings;

use crate::names::{Answer, Question};

/// The hosts of one cluster. Requests ask, the control thread answers; a request for a known host
/// takes a lock for as long as it takes to find it.
#[derive(Debug)]
pub struct HostCache {
    settings: Arc<Settings>,
    hosts: Mutex<HashMap<Arc<str>, Host, RandomState>>,
    waiting: AtomicUsize,
    changes: AtomicU64,
    /// Rings when there is another host to be looked up.
    alarm: Arc<Alarm>,
}

#[derive(Debug)]
struct Host {
    question: Question,
    /// `None` until there was a first outcome.
    addresses: Option<Arc<[IpAddr]>>,
    last_asked: Instant,
    wakers: Vec<Waker>,
}

/// How it stands with a host.
#[derive(Debug)]
pub enum Asked {
    /// It is at these addresses; at none if there are none.
    Known(Arc<[IpAddr]>),
    /// It is being looked up.
    Waits(Waiting),
    /// It is not known, and there are as many hosts as there may be.
    TooManyHosts,
    /// As many requests wait as may.
    TooManyWait,
}

/// A request that waits for a host.
#[derive(Debug)]
pub struct Waiting {
    cache: Arc<HostCache>,
    host: Arc<str>,
}

impl HostCache {
    /// Without any host.
    pub(crate) fn new(settings: Arc<Settings>, alarm: Arc<Alarm>) -> Self {
        let (hosts, waiting, changes) = (Mutex::default(), AtomicUsize::new(0), AtomicU64::new(0));
        Self { settings, hosts, waiting, changes, alarm }
    }

    /// How hosts are looked up, and how long they are kept.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Asks for a host, in lower case and without a port. One that is not known is looked up.
    pub fn ask(self: &Arc<Self>, host: &str, now: Instant) -> Asked {
        let mut hosts = self.locked();
        let found = hosts.get_mut(host).map(|found| {
            found.last_asked = now;
            (found.addresses.clone(), Arc::clone(&found.question.host))
        });
        let name = match found {
            Some((Some(addresses), _)) => return Asked::Known(addresses),
            Some((None, name)) => name,
            None if hosts.len() >= self.settings.most => return Asked::TooManyHosts,
            None => Arc::from(host),
        };
        let may_wait = |count| (count < self.settings.most_waiting).then_some(count + 1);
        let waits = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, may_wait);
        if waits.is_err() {
            return Asked::TooManyWait;
        }
        if !hosts.contains_key(&name) {
            let query = Arc::clone(&self.settings.query);
            let question = Question { host: Arc::clone(&name), is_service: false, query };
            let wakers = Vec::new();
            let made = Host { question, addresses: None, last_asked: now, wakers };
            hosts.insert(Arc::clone(&name), made);
            self.changes.fetch_add(1, Ordering::Relaxed);
            self.alarm.ring();
        }
        Asked::Waits(Waiting { cache: Arc::clone(self), host: name })
    }

    /// Where a host is, as far as that is known.
    pub fn addresses(&self, host: &str) -> Option<Arc<[IpAddr]>> {
        self.locked().get(host)?.addresses.clone()
    }

    /// Everything to be looked up.
    pub fn questions(&self) -> Vec<Question> {
        self.locked().values().map(|host| host.question.clone()).collect()
    }

    /// Grows whenever something else is to be looked up than before.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Takes the outcome of a lookup in; what was known before holds where nobody can say better.
    pub fn answer(&self, host: &str, answer: Answer) {
        let mut hosts = self.locked();
        let Some(found) = hosts.get_mut(host) else { return };
        match (answer, &found.addresses) {
            (Answer::Leads(leads), _) => {
                found.addresses = Some(leads.iter().map(|lead| lead.ip).collect());
            }
            (Answer::Failed, None) => found.addresses = Some(Arc::default()),
            (Answer::Failed, Some(_)) => {}
        }
        found.wakers.drain(..).for_each(Waker::wake);
    }

    /// Forgets the hosts that nobody has asked for in a while.
    pub fn sweep(&self, now: Instant) {
        let mut hosts = self.locked();
        let before = hosts.len();
        hosts.retain(|_, host| {
            !host.wakers.is_empty()
                || now.saturating_duration_since(host.last_asked) < self.settings.kept_for
        });
        if hosts.len() < before {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Arc<str>, Host, RandomState>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// How the host is looked up.
    pub fn settings(&self) -> &Settings {
        &self.cache.settings
    }

    /// Ready when the host was looked up: whether it is anywhere.
    pub fn poll_known(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut hosts = self.cache.locked();
        let Some(host) = hosts.get_mut(&self.host) else { return Poll::Ready(false) };
        if let Some(addresses) = &host.addresses {
            return Poll::Ready(!addresses.is_empty());
        }
        if !host.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            // Requests that have given up are still among them; whoever has not asks again.
            if host.wakers.len() >= self.cache.settings.most_waiting {
                host.wakers.drain(..).for_each(Waker::wake);
            }
            host.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.cache.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use weft_resources::{DnsQuery, DnsRefresh, DnsResolver, LookupFamily};

    use super::*;
    use crate::names::Lead;

    fn cache(most: usize, most_waiting: usize) -> Arc<HostCache> {
        let second = Duration::from_secs(1);
        let query = DnsQuery { family: LookupFamily::Auto, resolver: DnsResolver::default() };
        let refresh = DnsRefresh {
            rate: second,
            respect_ttl: true,
            min_rate: second,
            jitter: Duration::ZERO,
            failure: None,
        };
        let settings = Settings {
            query: Arc::new(query),
            refresh,
            kept_for: 10 * second,
            most,
            most_waiting,
            patience: None,
        };
        Arc::new(HostCache::new(Arc::new(settings), Arc::default()))
    }

    fn at(last: u8) -> Answer {
        Answer::Leads(vec![Lead { ip: IpAddr::from([127, 0, 0, last]), service: None }])
    }

    fn waiting(asked: Asked) -> Waiting {
        match asked {
            Asked::Waits(waiting) => waiting,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_host_is_asked_about_once_and_known_from_then_on() {
        let (cache, now) = (cache(9, 9), Instant::now());
        let (one, two) = (waiting(cache.ask("a.test", now)), waiting(cache.ask("a.test", now)));
        assert_eq!(cache.questions().len(), 1);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(cache.alarm.poll_heard(&mut cx).is_ready());
        assert!(one.poll_known(&mut cx).is_pending());
        cache.answer("a.test", at(7));
        assert_eq!(two.poll_known(&mut cx), Poll::Ready(true));
        cache.answer("a.test", Answer::Failed);
        let known = cache.addresses("a.test").unwrap();
        assert_eq!(*known, [IpAddr::from([127, 0, 0, 7])], "stale is better than nothing");
        assert!(matches!(cache.ask("a.test", now), Asked::Known(found) if found == known));
    }

    #[test]
    fn a_host_that_nobody_finds_is_nowhere() {
        let (cache, now) = (cache(9, 9), Instant::now());
        let one = waiting(cache.ask("a.test", now));
        cache.answer("a.test", Answer::Failed);
        assert_eq!(one.poll_known(&mut Context::from_waker(Waker::noop())), Poll::Ready(false));
        assert!(matches!(cache.ask("a.test", now), Asked::Known(none) if none.is_empty()));
    }

    #[test]
    fn hosts_and_requests_that_wait_are_bounded() {
        let (cache, now) = (cache(2, 2), Instant::now());
        let held = waiting(cache.ask("a.test", now));
        let other = waiting(cache.ask("a.test", now));
        assert!(matches!(cache.ask("b.test", now), Asked::TooManyWait), "nobody else may wait");
        assert_eq!(cache.questions().len(), 1, "and nothing is looked up for nobody");
        drop(other);
        drop(waiting(cache.ask("b.test", now)));
        assert!(matches!(cache.ask("c.test", now), Asked::TooManyHosts), "two hosts are enough");
        drop(held);
    }

    #[test]
    fn requests_that_gave_up_leave_nothing_behind() {
        struct Task;
        impl std::task::Wake for Task {
            fn wake(self: Arc<Self>) {}
        }
        let (cache, now) = (cache(9, 3), Instant::now());
        for _ in 0..100 {
            let waker = Waker::from(Arc::new(Task));
            let asked = waiting(cache.ask("a.test", now));
            assert!(asked.poll_known(&mut Context::from_waker(&waker)).is_pending());
        }
        assert!(cache.locked()["a.test"].wakers.len() <= 3);
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let (cache, now) = (cache(9, 9), Instant::now());
        drop(cache.ask("a.test", now));
        drop(cache.ask("b.test", now + Duration::from_secs(5)));
        let before = cache.changes();
        cache.sweep(now + Duration::from_secs(9));
        assert_eq!(cache.changes(), before);
        cache.sweep(now + Duration::from_secs(10));
        assert!(cache.changes() > before);
        let left: Vec<_> = cache.questions().into_iter().map(|it| it.host).collect();
        assert_eq!(left, ["b.test".into()]);
    }
}
