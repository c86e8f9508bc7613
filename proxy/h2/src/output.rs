//! Bytes that wait to be written.
//!
//! Frame headers, heads and small bodies stand in one buffer; a large body stays where it is, and only
//! its place in that buffer is kept. So a turn's output is one write of few pieces.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf as _, Bytes, BytesMut};

use crate::frame::{FrameHeader, HEADER, flag, kind};

/// Bodies up to this size are copied: a piece of its own costs more than the copy.
const COPIED: usize = 2 * 1024;
/// What a buffer may keep for the next turn.
const KEPT: usize = 32 * 1024;
/// Bytes of a typical frame that answers the peer.
const SMALL_FRAME: usize = HEADER + 4;

/// The bytes that a connection wants written, in order.
#[derive(Debug, Default)]
pub struct Output {
    small: BytesMut,
    /// How much of all that was ever put into `small` has been written.
    small_written: u64,
    /// How much has been written of everything.
    written: u64,
    large: VecDeque<Large>,
    large_len: usize,
    frames: u32,
    control_frames: u32,
}

/// A body's bytes, and which byte of `small`, counted from its beginning, follows them.
#[derive(Debug)]
struct Large {
    at: u64,
    data: Bytes,
}

impl Output {
    /// Whether everything has been written.
    pub fn is_empty(&self) -> bool {
        self.small.is_empty() && self.large.is_empty()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.small.len() + self.large_len
    }

    /// Where in `small` a place among all bytes is now.
    fn position(&self, at: u64) -> usize {
        usize::try_from(at - self.small_written).unwrap_or(usize::MAX)
    }

    /// Fills `slices` with what comes next, and returns how many it filled.
    pub fn chunks<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut places = slices.iter_mut();
        let mut filled = 0;
        let mut from = 0;
        for large in &self.large {
            let at = self.position(large.at);
            for piece in [self.small.get(from..at).unwrap_or_default(), &large.data] {
                if !piece.is_empty() {
                    let Some(place) = places.next() else { return filled };
                    *place = IoSlice::new(piece);
                    filled += 1;
                }
            }
            from = at;
        }
        let rest = self.small.get(from..).unwrap_or_default();
        if !rest.is_empty()
            && let Some(place) = places.next()
        {
            *place = IoSlice::new(rest);
            filled += 1;
        }
        filled
    }

    /// How many bytes have ever been written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// `n` bytes have been written.
    pub fn advance(&mut self, mut n: usize) {
        self.written += n as u64;
        while let Some(large) = self.large.front() {
            let before = self.position(large.at);
            if n < before {
                break;
            }
            self.skip(before);
            n -= before;
            let Some(large) = self.large.front_mut() else { break };
            let taken = n.min(large.data.len());
            large.data.advance(taken);
            self.large_len -= taken;
            n -= taken;
            if !large.data.is_empty() {
                return;
            }
            self.large.pop_front();
        }
        self.skip(n);
        if self.is_empty() {
            self.frames = 0;
            self.control_frames = 0;
            if self.small.capacity() > KEPT {
                self.small = BytesMut::new();
            }
        }
    }

    fn skip(&mut self, n: usize) {
        let n = n.min(self.small.len());
        self.small.advance(n);
        self.small_written += n as u64;
        // A peer that reads is no flood, even if it never catches up.
        let frames = u32::try_from(n / SMALL_FRAME).unwrap_or(u32::MAX);
        self.frames = self.frames.saturating_sub(frames);
        self.control_frames = self.control_frames.saturating_sub(frames);
    }

    /// Gives memory back that only a busy connection needs.
    pub fn let_go(&mut self) {
        if self.is_empty() {
            *self = Self { written: self.written, ..Self::default() };
        }
    }

    /// Frames that wait, or some more: large ones count until all is written.
    pub(crate) fn frames(&self) -> u32 {
        self.frames
    }

    /// The same for those that answer the peer.
    pub(crate) fn control_frames(&self) -> u32 {
        self.control_frames
    }

    /// A small frame that answers the peer.
    pub(crate) fn put_control(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.control_frames += 1;
        self.small.extend_from_slice(frame);
    }

    /// A small frame that answers nothing.
    pub(crate) fn put_frame(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.small.extend_from_slice(frame);
    }

    /// A frame of a body.
    #[inline]
    pub(crate) fn put_data(&mut self, header: FrameHeader, data: Bytes) {
        self.frames += 1;
        self.small.extend_from_slice(&header.to_wire());
        if data.len() <= COPIED {
            self.small.extend_from_slice(&data);
        } else {
            self.large_len += data.len();
            let at = self.small_written + self.small.len() as u64;
            self.large.push_back(Large { at, data });
        }
    }

    /// A header block of any length, written by `encode`, in as many frames as it takes.
    pub(crate) fn put_block(
        &mut self,
        header: FrameHeader,
        max_frame: usize,
        encode: impl FnOnce(&mut BytesMut),
    ) {
        self.frames += 1;
        let start = self.small.len();
        self.small.extend_from_slice(&[0; HEADER]);
        encode(&mut self.small);
        let length = self.small.len() - start - HEADER;
        if length > max_frame {
            self.split_block(header, start, max_frame);
            return;
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let header = FrameHeader { length, flags: header.flags | flag::END_HEADERS, ..header };
        if let Some(place) = self.small.get_mut(start..start + HEADER) {
            place.copy_from_slice(&header.to_wire());
        }
    }

    /// RFC 9113 §6.10: what does not fit one frame goes on in CONTINUATION frames.
    #[cold]
    fn split_block(&mut self, first: FrameHeader, start: usize, max_frame: usize) {
        let block = self.small.split_off(start + HEADER);
        self.small.truncate(start);
        let mut pieces = block.chunks(max_frame).peekable();
        let mut header = first;
        while let Some(piece) = pieces.next() {
            header.length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            if pieces.peek().is_none() {
                header.flags |= flag::END_HEADERS;
            }
            self.frames += 1;
            self.small.extend_from_slice(&header.to_wire());
            self.small.extend_from_slice(piece);
            header = FrameHeader { kind: kind::CONTINUATION, flags: 0, ..first };
        }
    }

    /// Bytes as they are.
    pub(crate) fn put_raw(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(length: usize) -> FrameHeader {
        FrameHeader {
            length: u32::try_from(length).unwrap(),
            kind: kind::DATA,
            flags: 0,
            stream: 1,
        }
    }

    fn drain(output: &mut Output, most: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 3];
        let filled = output.chunks(&mut slices);
        let mut all: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
        all.truncate(most);
        output.advance(all.len());
        all
    }

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(
            sizes in prop::collection::vec((0usize..6_000, 1usize..9_000), 1..40),
        ) {
            let (mut output, mut expected, mut got) = (Output::default(), Vec::new(), Vec::new());
            for (n, (size, written)) in sizes.into_iter().enumerate() {
                let body = vec![u8::try_from(n).unwrap(); size];
                expected.extend_from_slice(&header(size).to_wire());
                expected.extend_from_slice(&body);
                output.put_data(header(size), body.into());
                prop_assert_eq!(output.len() + got.len(), expected.len());
                got.extend(drain(&mut output, written));
            }
            while !output.is_empty() {
                got.extend(drain(&mut output, 777));
            }
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_long_block_goes_on_in_continuation_frames() {
        let mut output = Output::default();
        let first = FrameHeader { kind: kind::HEADERS, flags: flag::END_STREAM, ..header(0) };
        output.put_block(first, 10, |out| out.extend_from_slice(&[7; 25]));
        let wire = drain(&mut output, usize::MAX);
        let frames =
            [(kind::HEADERS, 1, 10), (kind::CONTINUATION, 0, 10), (kind::CONTINUATION, 4, 5)];
        let mut rest = &wire[..];
        for (kind, flags, length) in frames {
            let header = FrameHeader::parse(rest).unwrap();
            assert_eq!((header.kind, header.flags, header.length), (kind, flags, length));
            rest = &rest[HEADER + length as usize..];
        }
        assert!(rest.is_empty());
    }
}
