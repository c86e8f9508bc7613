//! Bytes that an answer must hold.

use bytes::Bytes;

/// Whether all parts are there, in this order, with anything between them.
pub(super) fn holds(answer: &[u8], parts: &[Bytes]) -> bool {
    let mut rest = answer;
    parts.iter().all(|part| {
        let found = find(rest, part);
        rest = found.and_then(|end| rest.get(end..)).unwrap_or_default();
        found.is_some()
    })
}

/// Where a part ends for the first time.
fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    let at = text.windows(part.len()).position(|window| window == part)?;
    Some(at + part.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_in_order() {
        let parts = |parts: &[&'static str]| -> Vec<Bytes> {
            parts.iter().map(|part| Bytes::from_static(part.as_bytes())).collect()
        };
        assert!(holds(b"", &[]));
        assert!(holds(b"abcabc", &parts(&["ab", "ca", "bc"])));
        assert!(holds(b"pong!", &parts(&["pong"])));
        assert!(!holds(b"abc", &parts(&["bc", "ab"])));
        assert!(!holds(b"aba", &parts(&["ab", "ba"])));
        assert!(!holds(b"", &parts(&["a"])));
    }
}
