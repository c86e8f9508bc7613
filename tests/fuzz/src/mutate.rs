//! Changing an input a little, in ways that its form suggests.

mod frames;
mod lines;
mod proto;

use fastrand::Rng;

/// What an input is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Bytes of no form that mutations know.
    Bytes,
    /// Text of lines.
    Lines,
    /// HTTP/2 frames behind the preface, if there is one.
    Frames,
    /// An encoded protobuf message.
    Proto,
}

/// The most that an input may grow to, in bytes.
pub(crate) const LONGEST: usize = 64 * 1024;

/// Values at which counts and lengths tip over.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x3fff,
    0x4000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    u64::MAX / 2,
    u64::MAX,
];

/// A mutation of `input`; parts of `other` may go into it.
pub(crate) fn mutate(
    shape: Shape,
    input: &[u8],
    other: &[u8],
    words: &[&[u8]],
    rng: &mut Rng,
) -> Vec<u8> {
    let mut made = input.to_vec();
    for _ in 0..=rng.usize(..3) {
        made = match shape {
            Shape::Lines if rng.u8(..10) < 6 => lines::mutate(&made, other, words, rng),
            Shape::Frames if rng.u8(..10) < 7 => frames::mutate(&made, other, rng),
            Shape::Proto if rng.u8(..10) < 8 => proto::mutate(&made, other, rng),
            _ => bytes(made, other, words, rng),
        };
    }
    made.truncate(LONGEST);
    made
}

/// A mutation that knows nothing of the form.
fn bytes(mut input: Vec<u8>, other: &[u8], words: &[&[u8]], rng: &mut Rng) -> Vec<u8> {
    let at = rng.usize(..=input.len());
    match rng.u8(..9) {
        0 if at < input.len() => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
        1 if at < input.len() => {
            if let Some(byte) = input.get_mut(at) {
                *byte = rng.u8(..);
            }
        }
        2 => drop(input.drain(range(input.len(), rng))),
        3 => insert(&mut input, at, &vec![rng.u8(..); rng.usize(1..=64)]),
        4 => {
            let part = input.get(range(input.len(), rng)).unwrap_or_default().to_vec();
            let times = if rng.u8(..20) == 0 { rng.usize(1..200) } else { 1 };
            insert(&mut input, at, &part.repeat(times));
        }
        5 => insert(&mut input, at, other.get(range(other.len(), rng)).unwrap_or_default()),
        6 if !words.is_empty() => {
            let word = words.get(rng.usize(..words.len())).copied().unwrap_or_default();
            insert(&mut input, at, word);
        }
        7 => {
            let edge = edge(rng).to_be_bytes();
            let width = *rng.choice(&[1, 2, 4, 8]).unwrap_or(&1);
            let part = edge.get(8 - width..).unwrap_or_default();
            let end = (at + width).min(input.len());
            input.splice(at..end, part.iter().copied());
        }
        _ => input.truncate(at),
    }
    input
}

/// A random part, mostly a short one.
fn range(length: usize, rng: &mut Rng) -> std::ops::Range<usize> {
    let from = rng.usize(..=length);
    let most = if rng.bool() { 16 } else { length };
    from..(from + rng.usize(..=most)).min(length)
}

fn insert(into: &mut Vec<u8>, at: usize, part: &[u8]) {
    let room = LONGEST.saturating_sub(into.len());
    let part = part.get(..part.len().min(room)).unwrap_or_default();
    into.splice(at..at, part.iter().copied());
}

fn edge(rng: &mut Rng) -> u64 {
    rng.choice(EDGES).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_grows_beyond_the_limit_and_most_of_it_changes() {
        let seed = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec();
        for shape in [Shape::Lines, Shape::Frames, Shape::Proto] {
            let mut rng = Rng::with_seed(7);
            let mut input = seed.clone();
            let mut changed = 0;
            for _ in 0..5000 {
                let next = mutate(shape, &input, &seed, &[b"chunked"], &mut rng);
                assert!(next.len() <= LONGEST);
                changed += usize::from(next != input);
                input = if rng.u8(..4) == 0 { seed.clone() } else { next };
            }
            assert!(changed > 2000, "{shape:?}: {changed}");
        }
    }
}
