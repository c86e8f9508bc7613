//! A request's body on its way up.

use std::{
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body::Frame;
use smallvec::SmallVec;

use crate::{
    copied::Copy,
    downstream::{RequestBody, RequestBroken},
};

/// How an HTTP/1.1 message is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body at all.
    None,
    /// `content-length` is among the headers, and the client's connection enforces it.
    Length,
    /// Chunked.
    Chunked,
    /// Bytes as they come, once the upstream has agreed to a tunnel.
    Tunnel,
    /// The payload of a message as it comes, in place of a tunnel's bytes.
    Payload,
}

/// The client's body, and whether any of it was taken.
#[derive(Debug)]
pub(crate) struct Upload {
    body: RequestBody,
    framing: Framing,
    /// `None` for a request without body, which spares it the clock.
    last_moved: Option<Instant>,
    untouched: bool,
    /// What was taken, for another try; only of requests that may be tried again.
    kept: Option<Box<Kept>>,
    /// Where copies of it go; only of requests that are mirrored.
    copies: Option<Box<Copies>>,
}

type Copies = SmallVec<[Copy; 1]>;

/// The part of a body that was taken, within a limit.
#[derive(Clone, Debug, Default)]
struct Kept {
    frames: SmallVec<[Replayed; 1]>,
    /// How many of them this try has taken again.
    taken: usize,
    /// Bytes that may still be kept.
    room: usize,
}

#[derive(Clone, Debug)]
enum Replayed {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

impl Upload {
    pub(crate) fn new(body: RequestBody, headers: &HeaderMap) -> Self {
        if body.is_end_stream() {
            return Self {
                body: RequestBody::None,
                framing: Framing::None,
                last_moved: None,
                untouched: true,
                kept: None,
                copies: None,
            };
        }
        let framing =
            if headers.contains_key(CONTENT_LENGTH) { Framing::Length } else { Framing::Chunked };
        Self {
            body,
            framing,
            last_moved: Some(Instant::now()),
            untouched: true,
            kept: None,
            copies: None,
        }
    }

    /// From here on up to `limit` bytes are kept for another try.
    pub(crate) fn keep(&mut self, limit: usize) {
        if self.framing != Framing::None {
            self.kept = Some(Box::new(Kept { room: limit, ..Kept::default() }));
        }
    }

    /// The same, unless bytes were taken before. A body that says it is longer is not worth the copy.
    pub(crate) fn keep_unless_kept(&mut self, limit: usize, headers: &HeaderMap) {
        if self.kept.is_some() || !self.untouched {
            return;
        }
        if self.framing == Framing::Length {
            let said = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
            let length = said.and_then(|length| length.parse::<usize>().ok());
            if length.is_none_or(|length| length > limit) {
                return;
            }
        }
        self.keep(limit);
    }

    /// There will be no other try: what was sent is not needed any more.
    pub(crate) fn keep_no_more(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        if kept.taken < kept.frames.len() {
            // The rest goes when it has been sent, as there is no room for more.
            kept.room = 0;
        } else {
            self.kept = None;
        }
    }

    /// What is read of it from here on is written to a copy, too.
    pub(crate) fn copy_to(&mut self, copy: Copy) {
        self.copies.get_or_insert_default().push(copy);
    }

    /// Whether it can be sent once more as a whole.
    pub(crate) fn can_restart(&self) -> bool {
        self.untouched || self.kept.is_some()
    }

    /// The whole body once more, if nothing was taken from it or all that was is kept.
    pub(crate) fn restarted(mut self) -> Option<Self> {
        if let Some(kept) = &mut self.kept {
            kept.taken = 0;
            return Some(self);
        }
        self.untouched.then_some(self)
    }

    /// The whole body for someone else, if all of it has come and is kept.
    pub(crate) fn copied(&self) -> Option<Self> {
        if !matches!(self.body, RequestBody::None) {
            return None;
        }
        let kept = match (&self.kept, self.framing) {
            (Some(kept), _) => Some(Box::new(Kept { taken: 0, ..Kept::clone(kept) })),
            (None, Framing::None) => None,
            (None, _) => return None,
        };
        let last_moved = kept.as_ref().map(|_| Instant::now());
        let (framing, body) = (self.framing, RequestBody::None);
        Some(Self { body, framing, last_moved, untouched: self.untouched, kept, copies: None })
    }

    /// What will go through a tunnel.
    pub(crate) fn tunnel(body: RequestBody) -> Self {
        let last_moved = Some(Instant::now());
        Self {
            body,
            framing: Framing::Tunnel,
            last_moved,
            untouched: true,
            kept: None,
            copies: None,
        }
    }

    /// A message whose payload goes on as what goes through a tunnel does.
    pub(crate) fn payload(body: RequestBody) -> Self {
        Self { framing: Framing::Payload, ..Self::tunnel(body) }
    }

    /// The upstream has agreed: from here on the client's bytes are the tunnel's.
    pub(crate) fn begin_tunnel(&mut self) {
        if self.framing == Framing::Tunnel {
            self.body.begin_tunnel();
        }
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether there is nothing (more) to send.
    pub(crate) fn is_finished(&self) -> bool {
        let replays = self.kept.as_ref().is_some_and(|kept| kept.taken < kept.frames.len());
        !replays && matches!(self.body, RequestBody::None)
    }

    pub(crate) fn last_moved(&self) -> Option<Instant> {
        self.last_moved
    }

    /// Takes what comes of the body before it can be sent, and keeps about `limit` bytes of it.
    /// Whether it has come as a whole.
    pub(crate) fn take_ahead(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Result<bool, RequestBroken> {
        while !matches!(self.body, RequestBody::None) {
            let kept =
                self.kept.get_or_insert_with(|| Box::new(Kept { room: limit, ..Kept::default() }));
            if kept.room == 0 {
                return Ok(false);
            }
            let Poll::Ready(frame) = self.body.poll_frame(cx) else { return Ok(false) };
            self.untouched = false;
            self.last_moved = Some(Instant::now());
            if let Some(frame) = frame.transpose()? {
                self.copies.iter().flat_map(|it| it.iter()).for_each(|copy| copy.write(&frame));
                kept.hold(frame);
                if !self.body.is_end_stream() {
                    continue;
                }
            }
            self.body = RequestBody::None;
            self.copies.take().iter().flat_map(|it| it.iter()).for_each(Copy::end);
        }
        Ok(true)
    }

    /// The next frame; `None` at the end, `Err` when the client broke off.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        if self.is_finished() {
            return Poll::Ready(None);
        }
        if let Some(frame) = self.kept.as_mut().and_then(|kept| kept.replay()) {
            self.last_moved = Some(Instant::now());
            return Poll::Ready(Some(Ok(frame)));
        }
        let frame = ready!(self.body.poll_frame(cx));
        self.untouched = false;
        if let (Some(kept), Some(Ok(frame))) = (&mut self.kept, &frame)
            && !kept.take(frame)
        {
            self.kept = None;
        }
        if let Some(Ok(frame)) = &frame {
            self.copies.iter().flat_map(|it| it.iter()).for_each(|copy| copy.write(frame));
        }
        self.last_moved = Some(Instant::now());
        if self.body.is_end_stream() || !matches!(frame, Some(Ok(_))) {
            self.body = RequestBody::None;
            let copies = self.copies.take().filter(|_| !matches!(frame, Some(Err(_))));
            copies.iter().flat_map(|it| it.iter()).for_each(Copy::end);
        }
        Poll::Ready(frame)
    }
}

impl Kept {
    /// The next frame that was taken before.
    fn replay(&mut self) -> Option<Frame<Bytes>> {
        let frame = self.frames.get(self.taken)?.clone();
        self.taken += 1;
        Some(match frame {
            Replayed::Data(data) => Frame::data(data),
            Replayed::Trailers(trailers) => Frame::trailers(*trailers),
        })
    }

    /// Keeps a frame that is still to be sent, of which the last one may need more room than there is.
    fn hold(&mut self, frame: Frame<Bytes>) {
        let frame = match frame.into_data() {
            Ok(data) => {
                self.room = self.room.saturating_sub(data.len());
                Replayed::Data(data)
            }
            Err(frame) => Replayed::Trailers(Box::new(frame.into_trailers().unwrap_or_default())),
        };
        self.frames.push(frame);
    }

    /// Keeps a frame, if there is room.
    fn take(&mut self, frame: &Frame<Bytes>) -> bool {
        let frame = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) if data.len() <= self.room => {
                self.room -= data.len();
                // A copy: what is kept must not hold the block that it was read into.
                Replayed::Data(Bytes::copy_from_slice(data))
            }
            (None, Some(trailers)) => Replayed::Trailers(Box::new(trailers.clone())),
            _ => return false,
        };
        self.frames.push(frame);
        self.taken = self.frames.len();
        true
    }
}
