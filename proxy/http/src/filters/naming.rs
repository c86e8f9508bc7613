//! `dynamic_forward_proxy`: a request waits until the host that it names was looked up.

use std::{borrow::Cow, future::poll_fn, time::Instant};

use tokio::time::timeout_at;
use weft_compile::{Action, Asked, HostCache, Tables, Waiting};

use super::Coming;
use crate::{fault::Fault, request::Head, upstream::host_of};

/// How a request stands to the host that it names.
pub(super) enum Looked {
    /// It is known, or is an address, or does not matter.
    Known,
    /// It is being looked up.
    Waits(Naming),
    /// It is nowhere, or cannot be looked up.
    Fails(Fault),
}

/// A request that waits for its host.
pub(crate) struct Naming {
    waiting: Waiting,
    until: Option<Instant>,
}

/// Asks for the host of a request, where the cluster of its route goes by that.
pub(super) fn look(tables: &Tables, coming: &Coming, now: Instant) -> Looked {
    let Some(cache) = cache(tables, coming) else { return Looked::Known };
    let Ok(head) = Head::read(&coming.parts) else { return Looked::Known };
    let (host, _) = host_of(head.authority);
    if host.parse::<std::net::IpAddr>().is_ok() {
        return Looked::Known;
    }
    let host = match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(host.to_ascii_lowercase()),
        false => Cow::Borrowed(host),
    };
    match cache.ask(&host, now) {
        Asked::Known(addresses) if addresses.is_empty() => Looked::Fails(Fault::DnsFailed),
        Asked::Known(_) => Looked::Known,
        Asked::TooManyHosts => Looked::Fails(Fault::DnsCacheOverflow),
        Asked::TooManyWait => Looked::Fails(Fault::DnsPendingOverflow),
        Asked::Waits(waiting) => {
            let until = waiting.settings().patience.and_then(|limit| now.checked_add(limit));
            Looked::Waits(Naming { waiting, until })
        }
    }
}

fn cache<'t>(tables: &'t Tables, coming: &Coming) -> Option<&'t std::sync::Arc<HostCache>> {
    let Action::Forward(to) = &coming.place.entry()?.action else { return None };
    let (id, _) = to.target.choose(tables, &coming.parts.headers, coming.number);
    tables.cluster(id?)?.dynamic_hosts.as_ref()
}

impl Naming {
    /// Ends when the host was looked up, or that took too long.
    pub(super) async fn known(&self) -> Result<(), Fault> {
        let known = poll_fn(|cx| self.waiting.poll_known(cx));
        let found = match self.until {
            Some(until) => timeout_at(until.into(), known).await.unwrap_or(false),
            None => known.await,
        };
        if found { Ok(()) } else { Err(Fault::DnsFailed) }
    }
}
