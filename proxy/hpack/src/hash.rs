//! Hashes for finding a name or field. Whatever is found is compared whole, so they need not resist
//! anybody; equal ones only cost compression.

const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND: u64 = 0xd6e8_feb8_6659_fd93;

/// Of the length and up to 24 bytes, from both ends and the middle: enough to tell names and most
/// values apart in a few instructions.
#[inline]
pub(crate) const fn ends(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let (head, tail) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => short(bytes),
    };
    let hash = join(head ^ (length as u64).wrapping_mul(SECOND), tail);
    if length <= 16 {
        return hash;
    }
    match bytes.split_at(length / 2 - 4).1.first_chunk::<8>() {
        Some(middle) => join(hash, u64::from_le_bytes(*middle)),
        None => hash,
    }
}

const fn short(bytes: &[u8]) -> (u64, u64) {
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return (u32::from_le_bytes(*head) as u64, u32::from_le_bytes(*tail) as u64);
    }
    match bytes {
        [] => (0, 0),
        [one] => (*one as u64, 0),
        [one, two] => (*one as u64, *two as u64),
        [one, .., last] => (*one as u64 | (bytes[1] as u64) << 8, *last as u64),
    }
}

/// Of every byte, for when a wrong guess would last.
pub(crate) fn whole(seed: u64, bytes: &[u8]) -> u64 {
    let (chunks, _) = bytes.as_chunks::<8>();
    chunks
        .iter()
        .fold(join(seed, ends(bytes)), |hash, chunk| join(hash, u64::from_le_bytes(*chunk)))
}

/// Of two hashes, in this order.
#[inline]
pub(crate) const fn join(one: u64, two: u64) -> u64 {
    let mixed = (one ^ two.rotate_left(29)).wrapping_mul(FIRST);
    mixed ^ (mixed >> 32)
}
