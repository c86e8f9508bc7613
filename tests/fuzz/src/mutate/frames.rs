//! HTTP/2 by its frames: their lengths stay true unless they are what is changed.

use fastrand::Rng;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;

#[derive(Clone)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: [u8; 4],
    payload: Vec<u8>,
}

pub(super) fn mutate(input: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let (preface, rest) = cut(input);
    let (mut frames, tail) = read(rest);
    let at = rng.usize(..frames.len().max(1));
    match rng.u8(..8) {
        0 if !frames.is_empty() => drop(frames.remove(at)),
        1 => {
            if let Some(frame) = frames.get(at).cloned() {
                let times = if rng.u8(..10) == 0 { rng.usize(1..400) } else { 1 };
                frames.splice(at..at, std::iter::repeat_n(frame, times));
            }
        }
        2 if !frames.is_empty() => {
            let to = rng.usize(..frames.len());
            frames.swap(at, to);
        }
        3 => {
            let (foreign, _) = read(cut(other).1);
            if let Some(frame) = rng.choice(&foreign) {
                frames.insert(at.min(frames.len()), frame.clone());
            }
        }
        choice => {
            if let Some(frame) = frames.get_mut(at) {
                change(frame, choice, other, rng);
            }
        }
    }
    let mut made = preface.to_vec();
    for frame in &frames {
        put(&mut made, frame);
    }
    made.extend_from_slice(tail);
    made
}

fn change(frame: &mut Frame, choice: u8, other: &[u8], rng: &mut Rng) {
    match choice {
        4 => frame.kind = rng.u8(..12),
        5 => frame.flags ^= rng.choice([1, 4, 8, 0x20, 0x40]).unwrap_or(1),
        6 => {
            let near = rng.u32(..12);
            let far = rng.u32(..);
            frame.stream = if rng.u8(..5) == 0 { far } else { near }.to_be_bytes();
        }
        _ => {
            let payload = std::mem::take(&mut frame.payload);
            frame.payload = super::bytes(payload, other, &[], rng);
        }
    }
}

fn cut(input: &[u8]) -> (&[u8], &[u8]) {
    let length = if input.starts_with(PREFACE) { PREFACE.len() } else { 0 };
    input.split_at(length)
}

/// All whole frames, and what is left behind them.
fn read(mut bytes: &[u8]) -> (Vec<Frame>, &[u8]) {
    let mut frames = Vec::new();
    while let Some((&[l0, l1, l2, kind, flags, s0, s1, s2, s3], rest)) =
        bytes.split_first_chunk::<HEAD>()
    {
        let length = usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2);
        let Some((payload, after)) = rest.split_at_checked(length) else {
            break;
        };
        frames.push(Frame { kind, flags, stream: [s0, s1, s2, s3], payload: payload.to_vec() });
        bytes = after;
    }
    (frames, bytes)
}

fn put(out: &mut Vec<u8>, frame: &Frame) {
    let length = u32::try_from(frame.payload.len()).unwrap_or(0).to_be_bytes();
    out.extend_from_slice(length.get(1..).unwrap_or_default());
    out.extend_from_slice(&[frame.kind, frame.flags]);
    out.extend_from_slice(&frame.stream);
    out.extend_from_slice(&frame.payload);
}
