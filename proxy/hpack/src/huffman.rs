//! Strings in Huffman code (RFC 7541 §5.2, Appendix B): decoding.
//!
//! The code is canonical, so the lengths say all; tables are computed from them when this crate is
//! built. Most text is 5 to 7 bits a letter: one look at [`PEEK`] bits yields two letters.

use crate::DecodeError;

/// Length of the code of every byte, and of the symbol that ends a string.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

const LONGEST: usize = 30;
const END: usize = 256;

/// Bits that one look-up sees: two letters of 6 bits each. Fewer are slower, and
/// the table takes 16 KiB, of which text touches a few lines.
const PEEK: u32 = 12;

/// What the next [`PEEK`] bits say.
#[derive(Clone, Copy)]
struct Step {
    symbols: [u8; 2],
    /// Bits of the first symbol; 0 when it needs more than the look-up sees.
    first: u8,
    /// Bits of both, or of the first when the second needs more.
    both: u8,
}

/// The codes of one length.
#[derive(Clone, Copy)]
struct Length {
    /// The first code beyond those of this length and shorter ones, in the highest of 32 bits.
    limit: u64,
    /// The first code.
    code: u32,
    /// Where its symbol is in [`ORDER`].
    place: u16,
}

/// All symbols by length, then value: the order of their codes.
static ORDER: [u16; 257] = order();
static BY_LENGTH: [Length; LONGEST + 1] = by_length();
static STEPS: [Step; 1 << PEEK] = steps();

/// Decodes `input` into `room`, which grows as needed and is used again, and returns the text.
pub(crate) fn decode<'a>(input: &[u8], room: &'a mut Vec<u8>) -> Result<&'a [u8], DecodeError> {
    // No code is shorter than 5 bits, and a step writes two symbols even where it has one.
    let need = input.len() * 8 / 5 + 2;
    if room.len() < need {
        room.resize(need, 0);
    }
    let length = fill(input, room).ok_or(DecodeError::Huffman)?;
    Ok(room.get(..length).unwrap_or_default())
}

/// Decodes into `room` and returns how many bytes; `None` when it is not valid code.
fn fill(input: &[u8], room: &mut [u8]) -> Option<usize> {
    let mut rest = input;
    // Bits to come, the next one highest, and how many there are.
    let (mut window, mut have) = (0u64, 0u32);
    let mut at = 0;
    loop {
        if let Some((four, tail)) = rest.split_first_chunk::<4>() {
            window |= u64::from(u32::from_be_bytes(*four)) << (32 - have);
            have += 32;
            rest = tail;
        } else {
            return finish(rest, window, have, room, at);
        }
        while have >= 32 {
            let (symbols, two, bits) = step(window)?;
            *room.get_mut(at..)?.first_chunk_mut()? = symbols;
            at += 1 + usize::from(two);
            window <<= bits;
            have -= bits;
        }
    }
}

/// The last bits: up to 31 of the window, and up to three bytes.
fn finish(rest: &[u8], window: u64, have: u32, room: &mut [u8], at: usize) -> Option<usize> {
    let (mut window, mut have, mut at) = (window, have, at);
    for byte in rest {
        window |= u64::from(*byte) << (56 - have);
        have += 8;
    }
    while have >= PEEK {
        let (symbols, two, bits) = step(window)?;
        if bits > have {
            break;
        }
        *room.get_mut(at..)?.first_chunk_mut()? = symbols;
        at += 1 + usize::from(two);
        window <<= bits;
        have -= bits;
    }
    loop {
        // No code is as short as padding may be and nothing but ones.
        if have < 8 && window.leading_ones() >= have {
            return Some(at);
        }
        let (symbol, bits) = one(window)?;
        if bits > have {
            return None;
        }
        *room.get_mut(at)? = symbol?;
        at += 1;
        window <<= bits;
        have -= bits;
    }
}

/// The next one or two symbols of at least 32 bits, whether they are two, and their bits.
#[inline]
fn step(window: u64) -> Option<([u8; 2], bool, u32)> {
    let step = peek(window)?;
    if step.first > 0 {
        return Some((step.symbols, step.both > step.first, u32::from(step.both)));
    }
    let (symbol, bits) = long(window)?;
    Some(([symbol?, 0], false, bits))
}

/// The next symbol and its bits; no symbol when it is the one that ends a string.
#[inline]
fn one(window: u64) -> Option<(Option<u8>, u32)> {
    let step = peek(window)?;
    if step.first > 0 {
        return Some((Some(step.symbols[0]), u32::from(step.first)));
    }
    long(window)
}

#[inline]
fn peek(window: u64) -> Option<&'static Step> {
    STEPS.get((window >> (64 - PEEK)) as usize)
}

/// What [`one`] does, for codes of any length.
fn long(window: u64) -> Option<(Option<u8>, u32)> {
    let next = window >> 32;
    let bits = (5..=LONGEST).find(|bits| BY_LENGTH.get(*bits).is_some_and(|it| next < it.limit))?;
    let length = BY_LENGTH.get(bits)?;
    let place = usize::from(length.place) + (next >> (32 - bits)) as usize - length.code as usize;
    let symbol = ORDER.get(place)?;
    Some((u8::try_from(*symbol).ok(), u32::try_from(bits).ok()?))
}

#[expect(clippy::cast_possible_truncation, reason = "symbols end at 256")]
const fn order() -> [u16; 257] {
    let mut order = [0; 257];
    let (mut length, mut place) = (0, 0);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol <= END {
            if LENGTHS[symbol] as usize == length {
                order[place] = symbol as u16;
                place += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    order
}

#[expect(clippy::cast_possible_truncation, reason = "there are 257 symbols")]
const fn by_length() -> [Length; LONGEST + 1] {
    let mut table = [Length { limit: 0, code: 0, place: 0 }; LONGEST + 1];
    let (mut code, mut place) = (0, 0);
    let mut bits = 1;
    while bits <= LONGEST {
        code <<= 1;
        let (first, first_place) = (code, place);
        while place < 257 && LENGTHS[ORDER[place] as usize] as usize == bits {
            code += 1;
            place += 1;
        }
        let limit = (code as u64) << (32 - bits);
        table[bits] = Length { limit, code: first, place: first_place as u16 };
        bits += 1;
    }
    table
}

#[expect(clippy::cast_possible_truncation, reason = "lengths end at 30")]
const fn steps() -> [Step; 1 << PEEK] {
    let mut steps = [Step { symbols: [0; 2], first: 0, both: 0 }; 1 << PEEK];
    let mut peeked = 0;
    while peeked < steps.len() {
        let (first, bits) = short(peeked, PEEK as usize);
        let left = PEEK as usize - bits;
        let (second, more) =
            if bits == 0 { (0, 0) } else { short(peeked & ((1 << left) - 1), left) };
        steps[peeked] =
            Step { symbols: [first, second], first: bits as u8, both: (bits + more) as u8 };
        peeked += 1;
    }
    steps
}

/// The symbol that begins `have` bits and its length; 0 when they do not hold a whole one.
#[expect(clippy::cast_possible_truncation, reason = "codes this short stand for bytes")]
const fn short(peeked: usize, have: usize) -> (u8, usize) {
    let mut bits = 5;
    while bits <= have {
        let next = (peeked as u64) << (32 - have);
        let length = BY_LENGTH[bits];
        if next < length.limit {
            let place = length.place as usize + (peeked >> (have - bits)) - length.code as usize;
            return (ORDER[place] as u8, bits);
        }
        bits += 1;
    }
    (0, 0)
}
