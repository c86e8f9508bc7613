//! Text by its lines: they go, come twice, change places, and their parts change.

use fastrand::Rng;

pub(super) fn mutate(input: &[u8], other: &[u8], words: &[&[u8]], rng: &mut Rng) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = split(input);
    let at = rng.usize(..lines.len().max(1));
    match rng.u8(..6) {
        0 if !lines.is_empty() => drop(lines.remove(at)),
        1 if !lines.is_empty() => {
            if let Some(line) = lines.get(at).cloned() {
                let times = if rng.u8(..20) == 0 { rng.usize(1..300) } else { 1 };
                lines.splice(at..at, std::iter::repeat_n(line, times));
            }
        }
        2 if !lines.is_empty() => {
            let to = rng.usize(..lines.len());
            lines.swap(at, to);
        }
        3 => {
            let foreign = split(other);
            if let Some(line) = rng.choice(&foreign) {
                lines.insert(at.min(lines.len()), line.clone());
            }
        }
        _ => {
            if let Some(line) = lines.get_mut(at) {
                *line = super::bytes(std::mem::take(line), other, words, rng);
            }
        }
    }
    lines.concat()
}

/// Lines with their ends.
fn split(text: &[u8]) -> Vec<Vec<u8>> {
    text.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
}
