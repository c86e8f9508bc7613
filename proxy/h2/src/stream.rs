//! One stream's state (RFC 9113 §5.1), and all streams of a connection.

use std::collections::{HashMap, VecDeque};

use slab::Slab;

use crate::{
    event::StreamKey,
    window::{RecvWindow, SendWindow},
};

/// How far the message of one direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// Its head is to come.
    Head,
    /// Its body, or the end, is to come.
    Body,
    /// It has ended.
    Ended,
}

/// Why a stream that has more to send does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Nothing waits.
    Not,
    /// For its own window.
    Window,
    /// It stands in the queue for the connection's window and the output.
    Turn,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: u32,
    pub(crate) recv: Half,
    pub(crate) send: Half,
    pub(crate) waits: Waits,
    /// Whether the response has no body whatever its content-length says.
    pub(crate) bodiless: bool,
    /// Whether CONNECT was asked for: what follows a 2xx is no message, and has no length
    /// (RFC 9110 §9.3.6).
    pub(crate) is_connect: bool,
    pub(crate) informational: u8,
    pub(crate) send_window: SendWindow,
    pub(crate) recv_window: RecvWindow,
    /// What content-length says is still to come.
    pub(crate) length_left: Option<u64>,
}

impl Stream {
    pub(crate) fn has_ended(&self) -> bool {
        self.recv == Half::Ended && self.send == Half::Ended
    }
}

/// All streams that are open, and those whose data is not released yet.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    slots: Slab<Stream>,
    by_id: HashMap<u32, u32, foldhash::fast::RandomState>,
    queue: VecDeque<StreamKey>,
    /// Streams that have ended and are kept for their data.
    lingering: usize,
}

impl Streams {
    /// Streams that count as open.
    pub(crate) fn open(&self) -> usize {
        self.slots.len() - self.lingering
    }

    pub(crate) fn insert(&mut self, stream: Stream) -> StreamKey {
        let id = stream.id;
        let index = u32::try_from(self.slots.insert(stream)).unwrap_or(u32::MAX);
        self.by_id.insert(id, index);
        StreamKey { index, id }
    }

    #[inline]
    pub(crate) fn key_of(&self, id: u32) -> Option<StreamKey> {
        self.by_id.get(&id).map(|index| StreamKey { index: *index, id })
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.slots.get_mut(key.index()).filter(|stream| stream.id == key.id)
    }

    pub(crate) fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.slots.get(key.index()).filter(|stream| stream.id == key.id)
    }

    /// Lets go of a stream that has ended, unless its data is still held. Returns whether the stream
    /// is over for the protocol.
    pub(crate) fn end(&mut self, key: StreamKey) -> bool {
        let Some(stream) = self.get(key) else { return false };
        if !stream.has_ended() {
            return false;
        }
        if stream.recv_window.held() == 0 {
            self.remove(key);
        } else {
            self.lingering += 1;
        }
        true
    }

    /// Lets go of a lingering stream once all of its data was released.
    pub(crate) fn settle(&mut self, key: StreamKey) {
        let settled = |stream: &Stream| stream.has_ended() && stream.recv_window.held() == 0;
        if self.get(key).is_some_and(settled) {
            self.lingering -= 1;
            self.remove(key);
        }
    }

    /// Takes a stream out, whatever its state.
    pub(crate) fn discard(&mut self, key: StreamKey) -> Option<Stream> {
        let lingers = self.get(key)?.has_ended();
        if lingers {
            self.lingering -= 1;
        }
        self.remove(key)
    }

    fn remove(&mut self, key: StreamKey) -> Option<Stream> {
        self.by_id.remove(&key.id);
        self.slots.try_remove(key.index())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (StreamKey, &mut Stream)> {
        self.slots.iter_mut().map(|(index, stream)| {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            (StreamKey { index, id: stream.id }, stream)
        })
    }

    /// Puts a stream at the end of those that wait for their turn.
    pub(crate) fn enqueue(&mut self, key: StreamKey) {
        if let Some(stream) = self.get_mut(key)
            && stream.waits != Waits::Turn
        {
            stream.waits = Waits::Turn;
            self.queue.push_back(key);
        }
    }

    /// The next in the queue that is still there.
    pub(crate) fn dequeue(&mut self) -> Option<StreamKey> {
        while let Some(key) = self.queue.pop_front() {
            if let Some(stream) = self.get_mut(key)
                && stream.waits == Waits::Turn
            {
                stream.waits = Waits::Not;
                return Some(key);
            }
        }
        None
    }

    /// Gives memory back that only a busy connection needs.
    pub(crate) fn let_go(&mut self) {
        if self.slots.is_empty() {
            *self = Self::default();
        }
    }
}
