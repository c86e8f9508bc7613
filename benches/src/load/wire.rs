//! A non-blocking socket with what is still to be written to it.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;

/// A socket and its unsent bytes.
pub(crate) struct Wire {
    stream: TcpStream,
    out: Vec<u8>,
    sent: usize,
}

/// What one read brought.
pub(crate) enum Input {
    /// Bytes at the front of the buffer; `last` when the socket is known to be empty.
    Bytes { length: usize, last: bool },
    /// The socket is empty.
    Nothing,
    /// The end of the other side's bytes.
    End,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, out: Vec::new(), sent: 0 }
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Reads once. A read shorter than the buffer has emptied the socket: the next
    /// edge will tell of more, so the call that would only say "nothing" is saved.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Input> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(Input::End),
                Ok(length) => {
                    let last = length < buffer.len();
                    return Ok(Input::Bytes { length, last });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Input::Nothing),
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(Input::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The buffer to append to; nothing is written before [`Wire::flush`].
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// How many bytes wait to be written.
    pub(crate) fn pending(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Writes until all is sent or the socket takes no more.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self.out.get(self.sent..)
            && !rest.is_empty()
        {
            match self.stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => self.sent += length,
                // A socket whose handshake is still under way says `NotConnected`.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) =>
                {
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }
}
