//! Limits by what requests are: a bucket for each description, and one for all.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    bucket::{Fill, TokenBucket},
    wild::Wild,
};

/// A key and a value of a description.
pub type Entry = (Box<str>, Box<str>);

/// How often what may come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Whatever it is; `None` without such a limit.
    pub default: Option<Fill>,
    /// What is described like this.
    pub by_descriptor: Vec<DescriptorRate>,
    /// Whether what has taken a token by its description takes one of all as well.
    pub always_takes_default: bool,
    /// Of a description with any value for a key: so many values have buckets, those that came last.
    pub most_values: usize,
}

/// How often what is described like this may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorRate {
    /// Keys and values in order; `None` is any value, each with a bucket of its own.
    pub entries: Vec<(Box<str>, Option<Box<str>>)>,
    /// So often.
    pub fill: Fill,
    /// Whether more is only noted.
    pub is_shadow: bool,
}

/// Something by one of its descriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Keys and values in order.
    pub entries: Vec<Entry>,
    /// Tokens that it takes.
    pub tokens: u64,
    /// Whether what is left is told; where nothing is said, the limit decides.
    pub tells_what_is_left: Option<bool>,
}

/// Buckets for some rates.
#[derive(Debug)]
pub struct Buckets {
    default: Option<Arc<TokenBucket>>,
    exact: HashMap<Box<[Entry]>, Bucket>,
    wild: Vec<Wild>,
    always_takes_default: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) tokens: Arc<TokenBucket>,
    pub(crate) is_shadow: bool,
}

/// What came of asking for tokens.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Whether there were enough.
    pub enough: bool,
    /// Whether some bucket had too few whose limit is only noted.
    pub noted: bool,
    /// The bucket that had too few, or else the one that fills up slowest of those that were asked.
    pub bucket: Option<Arc<TokenBucket>>,
    /// What the description of that bucket says of telling what is left.
    pub tells_what_is_left: Option<bool>,
}

impl Buckets {
    /// Full ones.
    #[must_use]
    pub fn new(rates: &Rates) -> Self {
        let (mut exact, mut wild) = (HashMap::new(), Vec::new());
        for rate in &rates.by_descriptor {
            let pair = |(key, value): &(Box<str>, Option<Box<str>>)| {
                value.as_ref().map(|value| (key.clone(), value.clone()))
            };
            match rate.entries.iter().map(pair).collect::<Option<Box<[Entry]>>>() {
                Some(entries) => {
                    let tokens = Arc::new(TokenBucket::new(rate.fill));
                    exact.insert(entries, Bucket { tokens, is_shadow: rate.is_shadow });
                }
                None => wild.push(Wild::new(rate.clone(), rates.most_values)),
            }
        }
        Self {
            default: rates.default.map(|fill| Arc::new(TokenBucket::new(fill))),
            exact,
            wild,
            always_takes_default: rates.always_takes_default,
        }
    }

    /// Whether nothing is limited.
    pub fn limit_nothing(&self) -> bool {
        self.default.is_none() && !self.look_at_descriptions()
    }

    /// Whether it matters what things are.
    pub fn look_at_descriptions(&self) -> bool {
        !(self.exact.is_empty() && self.wild.is_empty())
    }

    /// Takes tokens of each bucket that has to do with something, of those that fill up slowest first,
    /// and of none behind one that has too few.
    pub fn take(&self, described: &[Described], now: Instant) -> Taken {
        let mut matched: Vec<(Bucket, &Described)> = Vec::new();
        for one in described {
            matched.extend(self.of(one).map(|bucket| (bucket, one)));
        }
        matched.sort_by_key(|(bucket, _)| Reverse(pace(bucket)));
        let mut noted = false;
        for (bucket, one) in &matched {
            if bucket.tokens.take_all(now, one.tokens) {
                continue;
            }
            if !bucket.is_shadow {
                let tells_what_is_left = one.tells_what_is_left;
                let bucket = Some(Arc::clone(&bucket.tokens));
                return Taken { enough: false, noted, bucket, tells_what_is_left };
            }
            noted = true;
        }
        let asks_all = matched.is_empty() || self.always_takes_default;
        if let Some(default) = self.default.as_ref().filter(|_| asks_all)
            && !default.take(now)
        {
            let bucket = Some(Arc::clone(default));
            return Taken { enough: false, noted, bucket, tells_what_is_left: None };
        }
        let (bucket, tells_what_is_left) = match matched.first() {
            Some((bucket, one)) => (Some(&bucket.tokens), one.tells_what_is_left),
            None => (self.default.as_ref(), None),
        };
        Taken { enough: true, noted, bucket: bucket.map(Arc::clone), tells_what_is_left }
    }

    /// The bucket for a description: one for exactly this, or else the first for any value of it.
    fn of(&self, described: &Described) -> Option<Bucket> {
        let exact = self.exact.get(&*described.entries).cloned();
        exact.or_else(|| self.wild.iter().find_map(|wild| wild.bucket(&described.entries)))
    }
}

fn pace(bucket: &Bucket) -> Duration {
    bucket.tokens.pace()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(most: u32) -> Fill {
        Fill { most, tokens: 1, interval: Duration::from_secs(3600) }
    }

    fn rate(entries: &[(&str, Option<&str>)], most: u32) -> DescriptorRate {
        let entry = |(key, value): &(&str, Option<&str>)| ((*key).into(), value.map(Into::into));
        let entries = entries.iter().map(entry).collect();
        DescriptorRate { entries, fill: fill(most), is_shadow: false }
    }

    fn described(entries: &[(&str, &str)]) -> Described {
        let entries = entries.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Described { entries, tokens: 1, tells_what_is_left: None }
    }

    /// How often something passes of so many times.
    fn passes(buckets: &Buckets, described: &[Described], times: usize) -> usize {
        let now = Instant::now();
        (0..times).filter(|_| buckets.take(described, now).enough).count()
    }

    #[test]
    fn each_value_of_a_key_has_a_bucket_and_one_by_name_comes_first() {
        let by_descriptor = vec![
            rate(&[("user", None)], 2),
            rate(&[("user", Some("ann"))], 5),
            rate(&[("a", None), ("b", Some("c"))], 1),
        ];
        let buckets = Buckets::new(&Rates { by_descriptor, most_values: 2, ..Rates::default() });
        for (user, times) in [("ann", 5), ("bob", 2), ("cid", 2)] {
            assert_eq!(passes(&buckets, &[described(&[("user", user)])], 9), times, "{user}");
        }
        assert_eq!(passes(&buckets, &[described(&[("a", "x"), ("b", "c")])], 9), 1);
        let other = [described(&[("a", "x"), ("b", "d")])];
        assert_eq!(passes(&buckets, &other, 9), 9, "no limit is for these");
    }

    #[test]
    fn only_the_values_that_came_last_have_buckets() {
        let by_descriptor = vec![rate(&[("user", None)], 1)];
        let buckets = Buckets::new(&Rates { by_descriptor, most_values: 2, ..Rates::default() });
        let user = |name: &str| passes(&buckets, &[described(&[("user", name)])], 1);
        assert_eq!([user("ann"), user("bob"), user("ann")], [1, 1, 0]);
        assert_eq!([user("cid"), user("ann"), user("bob")], [1, 0, 1], "bob was forgotten for cid");
    }

    #[test]
    fn what_is_only_noted_stops_nothing() {
        let shadow = DescriptorRate { is_shadow: true, ..rate(&[("k", Some("v"))], 1) };
        let rates = Rates {
            default: Some(fill(3)),
            by_descriptor: vec![shadow],
            always_takes_default: true,
            most_values: 1,
        };
        let buckets = Buckets::new(&rates);
        let it = [described(&[("k", "v")])];
        let now = Instant::now();
        let seen: Vec<_> =
            (0..4).map(|_| buckets.take(&it, now)).map(|it| (it.enough, it.noted)).collect();
        assert_eq!(seen, [(true, false), (true, true), (true, true), (false, true)]);
    }

    #[test]
    fn some_things_take_more_than_one_token() {
        let buckets = Buckets::new(&Rates {
            by_descriptor: vec![rate(&[("k", Some("v"))], 7)],
            ..Rates::default()
        });
        let heavy = Described { tokens: 3, ..described(&[("k", "v")]) };
        assert_eq!(passes(&buckets, &[heavy], 9), 2);
        assert_eq!(passes(&buckets, &[described(&[("k", "v")])], 9), 1);
    }
}
