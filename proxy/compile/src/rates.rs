//! Buckets that connections take tokens from.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Instant,
};

use foldhash::fast::RandomState;
use weft_limit::{Fill, TokenBucket};
use weft_resources::{ConnectionRate as Resource, TokenRate};
use weft_telemetry::RateStats;

/// `local_ratelimit`, with what is left in all workers.
#[derive(Debug)]
pub struct ConnectionRate {
    /// Each connection takes a token.
    pub tokens: Arc<TokenBucket>,
    /// What was refused.
    pub stats: Arc<RateStats>,
}

impl ConnectionRate {
    /// Whether another connection may come now, which is counted.
    pub fn admits(&self, now: Instant) -> bool {
        let admits = self.tokens.take(now);
        if !admits {
            self.stats.rate_limited.inc();
        }
        admits
    }
}

/// Buckets by what filters share them by.
#[derive(Debug, Default)]
pub(crate) struct SharedBuckets(HashMap<Key, Weak<TokenBucket>, RandomState>);

type Key = (Box<str>, TokenRate);

impl SharedBuckets {
    /// The filter's bucket: its own, or that of all with the same key and the same settings.
    pub(crate) fn rate(&mut self, rate: &Resource, stats: Arc<RateStats>) -> ConnectionRate {
        let make = || Arc::new(bucket(rate.tokens));
        let Some(key) = &rate.share_key else { return ConnectionRate { tokens: make(), stats } };
        self.0.retain(|_, bucket| bucket.strong_count() > 0);
        let known = self.0.entry((key.clone(), rate.tokens)).or_default();
        let tokens = known.upgrade().unwrap_or_else(|| {
            let made = make();
            *known = Arc::downgrade(&made);
            made
        });
        ConnectionRate { tokens, stats }
    }
}

/// A full bucket as configured.
fn bucket(rate: TokenRate) -> TokenBucket {
    let TokenRate { most, tokens, interval } = rate;
    TokenBucket::new(Fill { most, tokens, interval })
}
