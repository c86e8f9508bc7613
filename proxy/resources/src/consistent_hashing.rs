//! Policies that send requests of one hash to one endpoint: ring hash and Maglev.

use weft_proto::pb::{
    envoy::{
        config::cluster::v3::cluster as wire,
        extensions::load_balancing_policies::{
            common::v3::ConsistentHashingLbConfig,
            maglev::v3::Maglev,
            ring_hash::v3::{RingHash, ring_hash::HashFunction},
        },
    },
    google::protobuf,
};

use crate::{
    path::At,
    problem::{Notes, Problem},
};

/// `minimum_ring_size` unless set, as in Envoy.
const LEAST: u64 = 1024;
/// `maximum_ring_size` unless set, and the most that it may be.
const MOST: u64 = 8 << 20;
/// `table_size` unless set.
const TABLE: u64 = 65_537;

/// A policy that hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsistentHashing {
    /// What leads from hashes to endpoints.
    pub table: HashTable,
    /// `use_hostname_for_hashing`: endpoints are placed by their hostnames, not their addresses.
    pub by_hostname: bool,
    /// `hash_balance_factor` in percent of the average, 100 and more: an endpoint with so much in
    /// flight is passed over.
    pub bound: Option<u32>,
}

/// What both policies have in common.
#[derive(Clone, Copy, Default)]
pub(crate) struct Common {
    by_hostname: bool,
    bound: Option<u32>,
}

impl Common {
    /// Reads `common_lb_config.consistent_hashing_lb_config`.
    pub(crate) fn by_enum(
        message: Option<&wire::common_lb_config::ConsistentHashingLbConfig>,
        at: &At<'_>,
        notes: &mut Notes,
    ) -> Self {
        let Some(message) = message else { return Self::default() };
        let bound = bound(message.hash_balance_factor.as_ref(), at, notes);
        Self { by_hostname: message.use_hostname_for_hashing, bound }
    }

    fn by_type(
        message: Option<&ConsistentHashingLbConfig>,
        at: &At<'_>,
        notes: &mut Notes,
    ) -> Option<Self> {
        let message = message?;
        let at = at.field("consistent_hashing_lb_config");
        let bound = bound(message.hash_balance_factor.as_ref(), &at, notes);
        Some(Self { by_hostname: message.use_hostname_for_hashing, bound })
    }

    fn with(self, table: HashTable) -> ConsistentHashing {
        let Self { by_hostname, bound } = self;
        ConsistentHashing { table, by_hostname, bound }
    }
}

/// 0 is none, as in Envoy; less than the average cannot be kept.
fn bound(message: Option<&protobuf::UInt32Value>, at: &At<'_>, notes: &mut Notes) -> Option<u32> {
    match message.map(|factor| factor.value) {
        None | Some(0) => None,
        Some(factor @ 100..) => Some(factor),
        Some(fewer) => {
            let at = at.field("hash_balance_factor");
            notes.unsupported(&at, fewer.to_string(), "100 and more are")
        }
    }
}

/// What leads from hashes to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashTable {
    /// `RING_HASH`.
    Ring {
        /// `minimum_ring_size`, 1024 by default.
        least: u64,
        /// `maximum_ring_size`, 8M by default.
        most: u64,
    },
    /// `MAGLEV`.
    Maglev {
        /// `table_size`, a prime number; 65537 by default.
        size: u32,
    },
}

/// Reads `ring_hash_lb_config`.
pub(crate) fn ring_by_enum(
    message: Option<&wire::RingHashLbConfig>,
    common: Common,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ConsistentHashing> {
    use wire::ring_hash_lb_config::HashFunction as Legacy;
    let function = message.map_or(0, |message| message.hash_function);
    match Legacy::try_from(function) {
        Ok(Legacy::XxHash) => {}
        Ok(other) => return refuse_function(other.as_str_name(), at, notes),
        Err(_) => return notes.refuse(&at.field("hash_function"), Problem::UnknownEnum(function)),
    }
    let least = message.and_then(|message| message.minimum_ring_size.as_ref());
    let most = message.and_then(|message| message.maximum_ring_size.as_ref());
    Some(common.with(ring(least, most, at, notes)?))
}

/// Reads the policy `ring_hash`.
pub(crate) fn ring_by_type(
    message: &RingHash,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ConsistentHashing> {
    match HashFunction::try_from(message.hash_function) {
        Ok(HashFunction::XxHash | HashFunction::DefaultHash) => {}
        Ok(other) => return refuse_function(other.as_str_name(), at, notes),
        Err(_) => {
            let problem = Problem::UnknownEnum(message.hash_function);
            return notes.refuse(&at.field("hash_function"), problem);
        }
    }
    let table =
        ring(message.minimum_ring_size.as_ref(), message.maximum_ring_size.as_ref(), at, notes)?;
    let newer = message.consistent_hashing_lb_config.as_ref();
    let common = match Common::by_type(newer, at, notes) {
        Some(common) => common,
        None => {
            #[expect(deprecated, reason = "their successor wins where both are set")]
            let (by_hostname, factor) =
                (message.use_hostname_for_hashing, message.hash_balance_factor.as_ref());
            Common { by_hostname, bound: bound(factor, at, notes) }
        }
    };
    Some(common.with(table))
}

/// Reads `maglev_lb_config`.
pub(crate) fn maglev_by_enum(
    message: Option<&wire::MaglevLbConfig>,
    common: Common,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ConsistentHashing> {
    let size = message.and_then(|message| message.table_size.as_ref());
    Some(common.with(maglev(size, at, notes)?))
}

/// Reads the policy `maglev`.
pub(crate) fn maglev_by_type(
    message: &Maglev,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ConsistentHashing> {
    let table = maglev(message.table_size.as_ref(), at, notes)?;
    let common = Common::by_type(message.consistent_hashing_lb_config.as_ref(), at, notes);
    Some(common.unwrap_or_default().with(table))
}

fn refuse_function<T>(name: &str, at: &At<'_>, notes: &mut Notes) -> Option<T> {
    notes.unsupported(&at.field("hash_function"), name, "XX_HASH is")
}

fn ring(
    least: Option<&protobuf::UInt64Value>,
    most: Option<&protobuf::UInt64Value>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HashTable> {
    let most_at = at.field("maximum_ring_size");
    let most = most.map_or(MOST, |most| most.value);
    if most > MOST {
        return notes.unsupported(&most_at, most.to_string(), "up to 8388608 are");
    }
    let least_at = at.field("minimum_ring_size");
    let least = least.map_or(LEAST, |least| least.value);
    if least > most {
        let supported = "what maximum_ring_size allows is";
        return notes.unsupported(&least_at, least.to_string(), supported);
    }
    Some(HashTable::Ring { least, most })
}

fn maglev(
    size: Option<&protobuf::UInt64Value>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HashTable> {
    /// The most that Envoy takes.
    const MOST: u64 = 5_000_011;
    let size = size.map_or(TABLE, |size| size.value);
    match u32::try_from(size) {
        Ok(size) if u64::from(size) <= MOST && is_prime(size) => Some(HashTable::Maglev { size }),
        _ => {
            let at = at.field("table_size");
            notes.unsupported(&at, size.to_string(), "prime numbers up to 5000011 are")
        }
    }
}

fn is_prime(number: u32) -> bool {
    let roots = (2..number).take_while(|root| root.saturating_mul(*root) <= number);
    number > 1 && roots.into_iter().all(|root| !number.is_multiple_of(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_known() {
        let primes: Vec<u32> = (0..30).filter(|number| is_prime(*number)).collect();
        assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
        assert!(is_prime(65_537) && is_prime(5_000_011) && !is_prime(65_539 * 3));
    }
}
