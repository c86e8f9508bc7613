//! The memory that all h2 connections of a worker read into.

use std::{
    cell::RefCell,
    future::Future as _,
    io,
    pin::pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What one read takes at most.
const BLOCK: usize = 64 * 1024;
/// Below this much room a read is not worth its system call.
const ROOM: usize = 32 * 1024;

/// A block, used again from its start once nothing refers to what was read into it. So an idle
/// connection keeps no memory for reading.
#[derive(Debug, Default)]
pub(crate) struct Blocks(RefCell<BytesMut>);

impl Blocks {
    /// Reads what there is and returns it after `carry`, which is left empty; empty at the end.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        io: &mut (impl AsyncRead + Unpin),
        carry: &mut BytesMut,
    ) -> Poll<io::Result<BytesMut>> {
        let mut block = self.0.borrow_mut();
        if block.capacity() < ROOM + carry.len() {
            block.reserve(BLOCK + carry.len());
        }
        block.extend_from_slice(carry);
        let polled = pin!(io.read_buf(&mut *block)).poll(cx);
        match polled {
            Poll::Ready(Ok(n)) if n > 0 => {
                *carry = BytesMut::new();
                Poll::Ready(Ok(block.split()))
            }
            other => {
                block.clear();
                other.map(|read| read.map(|_| BytesMut::new()))
            }
        }
    }
}
