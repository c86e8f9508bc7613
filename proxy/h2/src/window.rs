//! Flow control (RFC 9113 §5.2 and §6.9), in bytes.

use crate::{error::Violation, settings::MAX_WINDOW};

/// What may still be sent. Negative after the peer has made its initial window smaller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendWindow(i32);

impl SendWindow {
    pub(crate) fn new(size: u32) -> Self {
        Self(i32::try_from(size).unwrap_or(i32::MAX))
    }

    /// How many bytes fit.
    #[inline]
    pub(crate) fn room(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    pub(crate) fn take(&mut self, n: usize) {
        self.0 = self.0.saturating_sub(i32::try_from(n).unwrap_or(i32::MAX));
    }

    /// WINDOW_UPDATE, or a change of the initial window, which may be negative.
    pub(crate) fn change(&mut self, by: i64) -> Result<(), Violation> {
        let size = i64::from(self.0) + by;
        if size > i64::from(MAX_WINDOW) {
            return Err(Violation::WindowOverflow);
        }
        self.0 = i32::try_from(size).unwrap_or(i32::MIN);
        Ok(())
    }
}

/// What the peer may still send, and what it will be granted again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecvWindow {
    size: u32,
    /// Granted and not yet used.
    left: u32,
    /// Received and not yet released.
    held: u32,
    /// Released, and not yet told to the peer.
    owed: u32,
}

impl RecvWindow {
    pub(crate) fn new(size: u32) -> Self {
        let size = size.min(MAX_WINDOW);
        Self { size, left: size, held: 0, owed: 0 }
    }

    /// Data has come.
    #[inline]
    pub(crate) fn receive(&mut self, n: u32) -> Result<(), Violation> {
        self.left = self.left.checked_sub(n).ok_or(Violation::WindowExceeded)?;
        self.held += n;
        Ok(())
    }

    /// The consumer has taken `n` bytes, or as many as there are. Returns how many that were.
    #[inline]
    pub(crate) fn release(&mut self, n: u32) -> u32 {
        let n = n.min(self.held);
        self.held -= n;
        self.owed += n;
        n
    }

    /// Received and not yet released.
    #[inline]
    pub(crate) fn held(&self) -> u32 {
        self.held
    }

    /// The increment to tell the peer: only when it is worth a frame.
    #[inline]
    pub(crate) fn grant(&mut self) -> Option<u32> {
        if self.owed == 0 || self.owed < self.size / 2 {
            return None;
        }
        let increment = std::mem::take(&mut self.owed);
        self.left += increment;
        Some(increment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_window_may_be_negative_but_not_overflow() {
        let mut window = SendWindow::new(10);
        window.take(8);
        window.change(-5).unwrap();
        assert_eq!(window.room(), 0);
        window.change(4).unwrap();
        assert_eq!(window.room(), 1);
        assert_eq!(window.change(i64::from(MAX_WINDOW)), Err(Violation::WindowOverflow));
    }

    #[test]
    fn a_receive_window_grants_only_what_was_released() {
        let mut window = RecvWindow::new(100);
        window.receive(60).unwrap();
        assert_eq!(window.grant(), None);
        assert_eq!(window.receive(41), Err(Violation::WindowExceeded));
        assert_eq!(window.release(49), 49);
        assert_eq!(window.grant(), None, "not worth a frame");
        assert_eq!(window.release(49), 11, "no more than was received");
        assert_eq!(window.grant(), Some(60));
        assert_eq!(window.grant(), None);
        window.receive(100).unwrap();
    }
}
