//! Which endpoint the next try of a request goes to.

use std::{num::NonZeroU64, sync::Arc, time::Instant};

use smallvec::SmallVec;
use weft_balance::{EndpointId, EndpointState};
use weft_compile::{Avoided, HostCache};

use super::{Journey, attempts::ATTEMPTS};
use crate::{downstream::Connection, ticks, upstream, wish::Granted};

/// Endpoints that a request was meant for.
#[derive(Default)]
pub(super) struct Tried {
    pub(super) all: SmallVec<[EndpointId; ATTEMPTS]>,
    /// Which of them there was no connection to, bit by bit.
    unreachable: u64,
}

impl Tried {
    pub(super) fn last_was_unreachable(&mut self) {
        self.unreachable |= 1_u64.checked_shl(self.last()).unwrap_or(0);
    }

    fn last(&self) -> u32 {
        u32::try_from(self.all.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Those that there was no connection to. They come last when all were tried: any other may
    /// have failed by a connection that happened to be old.
    fn unreachable(&self) -> SmallVec<[EndpointId; ATTEMPTS]> {
        let marked = self.all.iter().zip(0_u32..);
        let marked = marked
            .filter(|(_, at)| self.unreachable.checked_shr(*at).is_some_and(|bits| bits & 1 == 1));
        marked.map(|(id, _)| *id).collect()
    }
}

impl Journey {
    /// The endpoint of the next try.
    pub(super) fn pick(
        &mut self,
        connection: &Connection,
        tried: &Tried,
    ) -> Option<Arc<EndpointState>> {
        if self.cluster.original_destination.is_some() {
            // There is no other place to try.
            return if tried.all.is_empty() { self.original(connection) } else { None };
        }
        if let Some(hosts) = &self.cluster.dynamic_hosts {
            return if tried.all.is_empty() { self.named(connection, hosts) } else { None };
        }
        if tried.all.is_empty()
            && let Some(sticky) = &mut self.sticky
            && let Some(wish) = &sticky.wish
        {
            match wish.grant(&self.cluster) {
                Granted::Yes(picked) => {
                    self.member = self.cluster.members.get(picked.group).cloned();
                    return Some(Arc::clone(picked.endpoint));
                }
                Granted::No => {}
                Granted::Never(fault) => {
                    sticky.refused = Some(fault);
                    return None;
                }
            }
        }
        let (cluster, balancer) = (&self.cluster, &self.cluster.balancer);
        let asked = self.sticky.as_ref().and_then(|sticky| sticky.asked.as_deref());
        let hash = self.hash.map(NonZeroU64::get);
        let picked = if tried.all.is_empty() {
            cluster.pick(asked, ticks::chance(balancer, self.random), hash, &[])?
        } else {
            let random = ticks::chance(balancer, connection.worker.random_u64());
            let omitted = self.retries.as_ref().and_then(|retries| retries.omitted());
            let every = self.retries.as_ref().and_then(|retries| retries.priorities_every());
            let other = |tried: &[EndpointId], priorities_every| {
                let avoided = Avoided { tried, omitted, priorities_every };
                cluster.pick_other(asked, random, hash, avoided)
            };
            other(&tried.all, every)
                .or_else(|| other(&tried.unreachable(), None))
                .or_else(|| cluster.pick(asked, random, hash, &tried.unreachable()))?
        };
        self.cluster.count_pick(&picked);
        self.member = self.cluster.members.get(picked.group).cloned();
        Some(Arc::clone(picked.endpoint))
    }

    /// Where the request or its connection was meant to go.
    fn original(&self, connection: &Connection) -> Option<Arc<EndpointState>> {
        let rule = self.cluster.original_destination.as_ref()?;
        match upstream::destination(rule, &self.outgoing.headers, connection.meant_for) {
            Ok(address) => {
                let known = connection.worker.pools().original();
                known.at(&self.cluster, address?, Instant::now())
            }
            Err(()) => {
                self.cluster.stats.original_dst_host_invalid.inc();
                None
            }
        }
    }

    /// The host that the request names.
    fn named(&self, connection: &Connection, hosts: &HostCache) -> Option<Arc<EndpointState>> {
        let authority = std::str::from_utf8(self.outgoing.authority.as_bytes()).ok()?;
        let ways = upstream::named(hosts, authority)?;
        let first = *ways.first()?;
        // A request that names the listener it came by would come again and again.
        if connection.local == Some(first) {
            return None;
        }
        let known = connection.worker.pools().original();
        let endpoint = known.at(&self.cluster, first, Instant::now())?;
        endpoint.set_ways(if ways.len() > 1 { &ways } else { &[] });
        Some(endpoint)
    }
}
