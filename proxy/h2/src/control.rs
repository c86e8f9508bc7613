//! Frames that carry no messages: SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM and PRIORITY.

use crate::{
    connection::{Connection, LAST_CALL, Leaving, Role},
    error::{Code, Violation},
    event::Event,
    frame::{self, FrameHeader, flag},
    receive::Broken,
    settings::{MAX_WINDOW, PeerSettings},
    stream::{Half, Waits},
};

impl Connection {
    pub(crate) fn settings_frame(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, Broken> {
        if header.stream != 0 {
            return Err(Violation::WrongStream.into());
        }
        if header.has(flag::ACK) {
            if !payload.is_empty() {
                return Err(Violation::FrameSize.into());
            }
            self.decoder.settings_acknowledged();
            return Ok(None);
        }
        if !payload.len().is_multiple_of(6) {
            return Err(Violation::FrameSize.into());
        }
        let mut said = self.peer;
        if !std::mem::replace(&mut self.peer_said, true) {
            // A server that says nothing about streams allows any number of them.
            said.max_concurrent_streams = u32::MAX;
        }
        // Only what is said last of each has an effect, so that many changes cost no more than one.
        for parameter in payload.chunks_exact(6) {
            let &[a, b, c, d, e, f] = parameter else { continue };
            let (id, value) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]));
            said.set(id, value, self.role == Role::Client)?;
        }
        self.settings_changed(said)?;
        self.acknowledge_settings();
        Ok(None)
    }

    fn settings_changed(&mut self, said: PeerSettings) -> Result<(), Violation> {
        let before = std::mem::replace(&mut self.peer, said);
        if said.header_table_size != before.header_table_size {
            let most = said.header_table_size.min(self.settings.hpack_table_size);
            self.encoder.set_peer_max_table_size(most as usize);
        }
        let by = i64::from(said.initial_window_size) - i64::from(before.initial_window_size);
        if by == 0 {
            return Ok(());
        }
        let mut opened = Vec::new();
        for (key, stream) in self.streams.iter_mut() {
            stream.send_window.change(by)?;
            if stream.waits == Waits::Window && stream.send_window.room() > 0 {
                opened.push(key);
            }
        }
        for key in opened {
            self.streams.enqueue(key);
        }
        Ok(())
    }

    pub(crate) fn ping_frame(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, Broken> {
        if header.stream != 0 {
            return Err(Violation::WrongStream.into());
        }
        let Ok(payload) = <[u8; 8]>::try_from(payload) else {
            return Err(Violation::FrameSize.into());
        };
        if !header.has(flag::ACK) {
            self.output.put_control(&frame::ping(payload, true));
            return Ok(None);
        }
        if payload == LAST_CALL && self.leaving == Leaving::Announced {
            self.shut_down_now();
            return Ok(None);
        }
        Ok(Some(Event::Pong(u64::from_be_bytes(payload))))
    }

    pub(crate) fn go_away_frame(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, Broken> {
        if header.stream != 0 {
            return Err(Violation::WrongStream.into());
        }
        let last = frame::leading_u32(payload).ok_or(Violation::FrameSize)? & MAX_WINDOW;
        let code = payload.get(4..).and_then(frame::leading_u32).ok_or(Violation::FrameSize)?;
        self.peer_leaves = true;
        if self.role == Role::Client {
            let streams = self.streams.iter_mut();
            let lost = streams.filter(|(_, stream)| stream.id > last && !stream.has_ended());
            let lost: Vec<_> = lost.map(|(key, _)| key).collect();
            for key in lost {
                self.discard(key);
                self.ignored.add(key.id);
                self.lost.push(key);
            }
        }
        Ok(Some(Event::GoAway { code: Code::from_wire(code) }))
    }

    pub(crate) fn window_update(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, Broken> {
        if payload.len() != 4 {
            return Err(Violation::FrameSize.into());
        }
        let increment = frame::leading_u32(payload).ok_or(Violation::FrameSize)? & MAX_WINDOW;
        self.budget.window_update(&self.settings)?;
        if header.stream == 0 {
            if increment == 0 {
                return Err(Violation::ZeroIncrement.into());
            }
            self.send_window.change(i64::from(increment))?;
            return Ok(None);
        }
        let Some(key) = self.streams.key_of(header.stream) else {
            // RFC 9113 §5.1: on a closed stream it may have crossed its end.
            return if self.is_idle(header.stream) {
                Err(Violation::IdleStream.into())
            } else {
                Ok(None)
            };
        };
        let broken = |violation| Broken::Stream(key.id, violation);
        let Some(stream) = self.streams.get_mut(key) else { return Ok(None) };
        if stream.has_ended() {
            return Ok(None);
        }
        if increment == 0 {
            return Err(broken(Violation::ZeroIncrement));
        }
        stream.send_window.change(i64::from(increment)).map_err(broken)?;
        if stream.waits == Waits::Window && stream.send_window.room() > 0 {
            self.streams.enqueue(key);
        }
        Ok(None)
    }

    pub(crate) fn rst_stream(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, Broken> {
        if header.stream == 0 {
            return Err(Violation::WrongStream.into());
        }
        if payload.len() != 4 {
            return Err(Violation::FrameSize.into());
        }
        let code = Code::from_wire(frame::leading_u32(payload).ok_or(Violation::FrameSize)?);
        if self.is_idle(header.stream) {
            return Err(Violation::IdleStream.into());
        }
        let Some(key) = self.streams.key_of(header.stream) else { return Ok(None) };
        let Some(stream) = self.streams.get(key) else { return Ok(None) };
        if stream.has_ended() {
            return Ok(None);
        }
        if self.role == Role::Server && stream.send == Half::Head {
            self.budget.premature_reset(&self.settings)?;
        }
        Ok(Some(self.reset_by_peer(key, code)))
    }

    /// RFC 9113 §5.3.2: priorities are ignored, but not what is wrong with their frames.
    pub(crate) fn priority(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, Broken> {
        if header.stream == 0 {
            return Err(Violation::WrongStream.into());
        }
        self.budget.priority(&self.settings)?;
        let known = self.streams.key_of(header.stream).is_some();
        let broken = |violation| {
            // Only a stream that is there can be reset.
            if known { Broken::Stream(header.stream, violation) } else { violation.into() }
        };
        if payload.len() != 5 {
            return Err(broken(Violation::FrameSize));
        }
        if frame::leading_u32(payload).map(|id| id & MAX_WINDOW) == Some(header.stream) {
            return Err(broken(Violation::SelfDependency));
        }
        Ok(None)
    }
}
