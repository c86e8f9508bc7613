//! The number that decides where a request goes, for policies that hash.

use xxhash_rust::xxh64::Xxh64;

/// A request's hash, put together from parts in their order.
///
/// Every part is the XXH64 of some bytes. Before the next one comes in, what is there is rotated by
/// one bit, so that equal parts do not cancel each other out. Both are as in Envoy, so that both
/// send the same requests to the same endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestHash(Option<u64>);

impl RequestHash {
    /// Takes in a part: all of `pieces`, one after the other.
    pub fn add<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) {
        let mut part = Xxh64::new(0);
        for piece in pieces {
            part.update(piece);
        }
        let before = self.0.map_or(0, |before| before.rotate_left(1));
        self.0 = Some(before ^ part.digest());
    }

    /// The hash; `None` while no part has come.
    pub fn get(self) -> Option<u64> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[&[u8]]) -> Option<u64> {
        let mut hash = RequestHash::default();
        for part in parts {
            hash.add([*part]);
        }
        hash.get()
    }

    #[test]
    fn parts_are_told_apart_by_their_order() {
        assert_eq!(of(&[]), None);
        // The test vector of XXH64 for no input.
        assert_eq!(of(&[b""]), Some(0xef46_db37_51d8_e999));
        assert_ne!(of(&[b"a", b"b"]), of(&[b"b", b"a"]));
        assert_ne!(of(&[b"a", b"a"]), Some(0));
    }

    #[test]
    fn pieces_of_a_part_are_one_text() {
        let mut hash = RequestHash::default();
        hash.add([&b"ab"[..], b"c"]);
        assert_eq!(hash.get(), of(&[b"abc"]));
    }
}
