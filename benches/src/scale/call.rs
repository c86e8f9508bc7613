//! gRPC streams of a client over one HTTP/2 connection, as bytes.

use anyhow::{Result, bail};
use prost::Message;

use crate::load::frames::{
    self, HEAD, Head, MAX_PAYLOAD, PREFACE, header_block, kind, put_data, put_headers,
    put_settings, put_window_update, setting,
};
use crate::load::hpack::{Field, Name, is_ok, unindexed};

/// The largest window there is, so that windows never matter (RFC 9113 §6.9.1).
const WINDOW: u32 = (1 << 31) - 1;
const DEFAULT_WINDOW: u32 = 65_535;
/// Of the static table (RFC 7541, Appendix A): `:method POST`, `:scheme http`.
const POST_HTTP: [u8; 2] = [0x83, 0x86];
const AUTHORITY: u8 = 1;
const PATH: u8 = 4;
/// The length of a gRPC message stands behind a flag.
const MESSAGE_HEAD: usize = 5;

/// The client's end of a connection.
#[derive(Default)]
pub(crate) struct Calls {
    /// The beginning of a frame whose rest has not come.
    partial: Vec<u8>,
    /// For each stream that is in the middle of a message, what has come of it.
    messages: Vec<(u32, Vec<u8>)>,
}

/// Appends what a connection begins with.
pub(crate) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(PREFACE);
    put_settings(out, &[(setting::ENABLE_PUSH, 0), (setting::INITIAL_WINDOW_SIZE, WINDOW)]);
    put_window_update(out, 0, WINDOW - DEFAULT_WINDOW);
}

/// Appends the opening of a gRPC stream.
pub(crate) fn open(out: &mut Vec<u8>, stream: u32, path: &str) -> Result<()> {
    let fields = [
        Field { name: Name::Static(AUTHORITY), value: "control-plane" },
        Field { name: Name::Static(PATH), value: path },
        Field { name: Name::Plain("content-type"), value: "application/grpc" },
        Field { name: Name::Plain("te"), value: "trailers" },
    ];
    let Some(fields) = unindexed(&fields) else { bail!("the path {path} is too long") };
    put_headers(out, stream, 0, &[&POST_HTTP[..], &fields].concat());
    Ok(())
}

/// Appends a message.
pub(crate) fn say(out: &mut Vec<u8>, stream: u32, message: &impl Message) -> Result<()> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(message.encoded_len())?.to_be_bytes());
    message.encode(&mut bytes)?;
    for chunk in bytes.chunks(MAX_PAYLOAD) {
        put_data(out, stream, 0, chunk);
    }
    Ok(())
}

impl Calls {
    /// Takes bytes from the server. Whole messages go to `heard` with their stream, what must be
    /// answered on any connection is appended to `out`.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut heard: impl FnMut(u32, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut partial = std::mem::take(&mut self.partial);
        let mut rest = if partial.is_empty() {
            bytes
        } else {
            partial.extend_from_slice(bytes);
            &partial
        };
        while let Some((head, payload, behind)) = split(rest) {
            rest = behind;
            self.frame(head, payload, out, &mut heard)?;
        }
        self.partial = rest.to_vec();
        Ok(())
    }

    fn frame(
        &mut self,
        head: Head,
        payload: &[u8],
        out: &mut Vec<u8>,
        heard: &mut impl FnMut(u32, &[u8]) -> Result<()>,
    ) -> Result<()> {
        match head.kind {
            kind::DATA => {
                put_window_update_for(out, head);
                self.data(head.stream, payload, heard)?;
                if head.ends_stream() {
                    bail!("the control plane ended stream {}", head.stream);
                }
            }
            kind::HEADERS if head.ends_stream() => {
                bail!("the control plane ended stream {} with trailers", head.stream)
            }
            kind::HEADERS if !is_ok(header_block(head, payload)) => {
                bail!("the control plane refused stream {}", head.stream)
            }
            kind::RST_STREAM | kind::GOAWAY => {
                bail!("the control plane ended stream {}", head.stream)
            }
            _ => frames::acknowledge(out, head, payload),
        }
        Ok(())
    }

    fn data(
        &mut self,
        stream: u32,
        payload: &[u8],
        heard: &mut impl FnMut(u32, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let begun = self.messages.iter().position(|(of, _)| *of == stream);
        let begun = begun.map(|at| self.messages.swap_remove(at).1);
        let joined = begun.map(|mut begun| {
            begun.extend_from_slice(payload);
            begun
        });
        let mut rest = joined.as_deref().unwrap_or(payload);
        while let Some((message, behind)) = split_message(rest) {
            heard(stream, message)?;
            rest = behind;
        }
        if !rest.is_empty() {
            self.messages.push((stream, rest.to_vec()));
        }
        Ok(())
    }
}

/// Gives back what a frame took of the connection's window. The stream's is large enough for all
/// that one stream is sent in a run.
fn put_window_update_for(out: &mut Vec<u8>, head: Head) {
    if let Ok(length @ 1..) = u32::try_from(head.length) {
        put_window_update(out, 0, length);
    }
}

fn split(bytes: &[u8]) -> Option<(Head, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let head = Head::parse(*head);
    let (payload, rest) = rest.split_at_checked(head.length)?;
    Some((head, payload, rest))
}

fn split_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let ([_flag, length @ ..], rest) = bytes.split_first_chunk::<MESSAGE_HEAD>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_same_however_the_bytes_arrive() {
        let mut bytes = Vec::new();
        let long = "x".repeat(40_000);
        say(&mut bytes, 1, &long).unwrap();
        say(&mut bytes, 3, &"short".to_owned()).unwrap();
        say(&mut bytes, 1, &"last".to_owned()).unwrap();
        for size in [1, 7, 1000, bytes.len()] {
            let (mut calls, mut out, mut heard) = (Calls::default(), Vec::new(), Vec::new());
            for chunk in bytes.chunks(size) {
                calls
                    .take(chunk, &mut out, |stream, message| {
                        heard.push((stream, String::decode(message)?));
                        Ok(())
                    })
                    .unwrap();
            }
            let expected = [(1, long.clone()), (3, "short".into()), (1, "last".into())];
            assert_eq!(heard, expected, "in chunks of {size}");
        }
    }
}
