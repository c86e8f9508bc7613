//! `tcp_health_check`.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weft_compile::TcpCheck;
use weft_net::Stream;

use super::{Place, ill, payload};
use crate::course::{Answer, Illness};

/// What must come has come within as many bytes, or is not looked for any further.
const LONGEST: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Tcp {
    check: TcpCheck,
    keep: bool,
    stream: Option<Stream>,
}

impl Tcp {
    pub(super) fn new(check: TcpCheck, keep: bool) -> Self {
        Self { check, keep, stream: None }
    }

    pub(super) fn hang_up(&mut self) {
        self.stream = None;
    }

    pub(super) async fn ask(&mut self, place: &Place) -> Answer {
        // Without a question only a new connection tells anything.
        let kept = self.stream.take().filter(|_| !self.check.receive.is_empty());
        if let Some(mut stream) = kept
            && self.exchange(&mut stream).await.is_some()
        {
            self.stream = Some(stream);
            return WELL;
        }
        let Some(mut stream) = place.connect().await else { return ill(Illness::Network) };
        if self.exchange(&mut stream).await.is_none() {
            return ill(Illness::Network);
        }
        if self.keep {
            self.stream = Some(stream);
        }
        WELL
    }

    /// Sends, and reads until all is there that must come; `None` when it does not.
    async fn exchange(&self, stream: &mut Stream) -> Option<()> {
        if !self.check.send.is_empty() {
            stream.write_all(&self.check.send).await.ok()?;
            stream.flush().await.ok()?;
        }
        let mut answer = BytesMut::new();
        while !payload::holds(&answer, &self.check.receive) {
            let read = stream.read_buf(&mut answer).await.ok()?;
            if read == 0 || answer.len() > LONGEST {
                return None;
            }
        }
        Some(())
    }
}

const WELL: Answer = Answer::Well { degraded: false, excluded: false };
