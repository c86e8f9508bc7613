//! What is asked.

use bytes::Bytes;

use crate::wire::{self, Entry, RateLimitDescriptor, RateLimitOverride, RateLimitRequest};

/// `RateLimitRequest`: may what is described like this go on?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// `domain`.
    pub domain: &'a str,
    /// `descriptors`: each may have a limit of its own.
    pub descriptors: &'a [Descriptor],
}

/// `RateLimitDescriptor`: keys and values in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// `entries`.
    pub entries: Vec<(Box<str>, Box<str>)>,
    /// `limit`: this one holds in place of what the service knows.
    pub limit: Option<Override>,
    /// `hits_addend`: how much it counts; once where nothing is said.
    pub hits: Option<Hits>,
}

/// How much a request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hits {
    /// So many times,
    pub times: u64,
    /// or as if so many had not come.
    pub are_given_back: bool,
}

/// `RateLimitOverride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// `requests_per_unit`.
    pub requests: u32,
    /// `unit`.
    pub unit: Unit,
}

/// `envoy.type.v3.RateLimitUnit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Unit {
    /// The unit of this name, as configurations write it.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "SECOND" => Self::Second,
            "MINUTE" => Self::Minute,
            "HOUR" => Self::Hour,
            "DAY" => Self::Day,
            "MONTH" => Self::Month,
            "YEAR" => Self::Year,
            _ => return None,
        })
    }

    fn number(self) -> i32 {
        match self {
            Self::Second => 1,
            Self::Minute => 2,
            Self::Hour => 3,
            Self::Day => 4,
            Self::Month => 5,
            Self::Year => 6,
        }
    }
}

impl Question<'_> {
    /// The whole body of the call.
    #[must_use]
    pub fn to_body(&self) -> Bytes {
        let descriptors = self.descriptors.iter().map(described).collect();
        let domain = self.domain.to_owned();
        wire::framed(&RateLimitRequest { domain, descriptors, hits_addend: 0 })
    }
}

fn described(descriptor: &Descriptor) -> RateLimitDescriptor {
    let entry = |(key, value): &(Box<str>, Box<str>)| Entry {
        key: key.to_string(),
        value: value.to_string(),
    };
    RateLimitDescriptor {
        entries: descriptor.entries.iter().map(entry).collect(),
        limit: descriptor.limit.map(|limit| RateLimitOverride {
            requests_per_unit: limit.requests,
            unit: limit.unit.number(),
        }),
        hits_addend: descriptor.hits.map(|hits| wire::UInt64Value { value: hits.times }),
        is_negative_hits: descriptor.hits.is_some_and(|hits| hits.are_given_back),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_message_of_grpc() {
        let entries = vec![("k".into(), "v".into())];
        let limit = Some(Override { requests: 3, unit: Unit::Hour });
        let hits = Some(Hits { times: 2, are_given_back: false });
        let descriptors = [Descriptor { entries, limit, hits }];
        let body = Question { domain: "d", descriptors: &descriptors }.to_body();
        let entry = b"\x0a\x06\x0a\x01k\x12\x01v";
        let rest = b"\x12\x04\x08\x03\x10\x03\x1a\x02\x08\x02";
        let mut expected = b"\0\0\0\0\x17\x0a\x01d\x12\x12".to_vec();
        expected.extend(entry);
        expected.extend(rest);
        assert_eq!(body, expected);
    }
}
