//! Writing a body as it is made, in pieces that wait for the client.

use std::{
    io::{self, Write},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{runtime::Handle, sync::mpsc, time::timeout};

use crate::reply::Piece;

const PIECE: usize = 64 * 1024;

/// How long a client may take to read a piece before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends what is written to a response. For threads that may block.
pub(crate) struct PieceWriter {
    runtime: Handle,
    pieces: mpsc::Sender<Piece>,
    buffer: BytesMut,
}

impl PieceWriter {
    /// A writer with the body that it fills.
    pub(crate) fn new(runtime: Handle) -> (Self, mpsc::Receiver<Piece>) {
        let (pieces, body) = mpsc::channel(2);
        (Self { runtime, pieces, buffer: BytesMut::with_capacity(PIECE) }, body)
    }

    /// Marks the body as complete.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.send(Piece::End)
    }

    fn send(&self, piece: Piece) -> io::Result<()> {
        match self.runtime.block_on(timeout(PATIENCE, self.pieces.send(piece))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece: Bytes = self.buffer.split().freeze();
        if piece.is_empty() { Ok(()) } else { self.send(Piece::Bytes(piece)) }
    }
}
