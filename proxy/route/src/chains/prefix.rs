//! Networks (`core.v3.CidrRange`).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A network: an address of which only the first bits count; the others are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    network: IpAddr,
    length: u8,
}

/// More bits than the address has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix of {length} bits is longer than an address, which has {bits}")]
pub struct PrefixError {
    length: u32,
    bits: u8,
}

impl Prefix {
    /// The network of `length` bits around an address.
    ///
    /// # Errors
    /// When the address has fewer bits.
    pub fn new(address: IpAddr, length: u32) -> Result<Self, PrefixError> {
        let bits = bits_of(address);
        match u8::try_from(length) {
            Ok(length) if length <= bits => Ok(Self::around(address, length)),
            _ => Err(PrefixError { length, bits }),
        }
    }

    /// Whether an address is in this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.network.is_ipv4() && Self::around(address, self.length) == *self
    }

    /// How many bits count.
    pub fn length(&self) -> u8 {
        self.length
    }

    fn around(address: IpAddr, length: u8) -> Self {
        let network = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32u32.saturating_sub(length.into())).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128u32.saturating_sub(length.into())).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Self { network, length }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.length)
    }
}

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Which lengths of prefixes there are, longest first: as many look-ups as there are lengths find
/// the smallest network around an address, however many networks there are.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    v4: Vec<u8>,
    v6: Vec<u8>,
}

impl Lengths {
    pub(super) fn insert(&mut self, prefix: Prefix) {
        let lengths = if prefix.network.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        if let Err(at) = lengths.binary_search_by(|length| prefix.length.cmp(length)) {
            lengths.insert(at, prefix.length);
        }
    }

    /// The networks around an address that there may be, smallest first.
    pub(super) fn around(&self, address: IpAddr) -> impl Iterator<Item = Prefix> {
        let lengths = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().map(move |length| Prefix::around(address, *length))
    }
}
