//! What a peer may make us do for nothing.
//!
//! All limits are proportions, as Envoy's are, so that no clock is needed and a long life does not add
//! up to a flood.

use crate::{error::Violation, settings::Settings};

/// Header-block frames of one block.
const MAX_BLOCK_FRAMES: u32 = 32;
/// WINDOW_UPDATE frames that need no reason.
const FREE_WINDOW_UPDATES: u64 = 32;

/// Counts of what came and of what it was for.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    opened: u64,
    premature: u64,
    empty: u32,
    priority: u64,
    window_updates: u64,
    data_sent: u64,
    block_frames: u32,
}

impl Budget {
    pub(crate) fn stream_opened(&mut self) {
        self.opened += 1;
    }

    /// Streams opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    pub(crate) fn data_sent(&mut self) {
        self.data_sent += 1;
    }

    /// A frame that carries something ends a row of empty ones.
    #[inline]
    pub(crate) fn payload(&mut self) {
        self.empty = 0;
    }

    pub(crate) fn empty_frame(&mut self, settings: &Settings) -> Result<(), Violation> {
        self.empty += 1;
        within(
            self.empty <= settings.max_consecutive_inbound_frames_with_empty_payload,
            Violation::EmptyFrameFlood,
        )
    }

    /// The peer opened a stream and took it back before it was answered. Envoy's rule: many, and
    /// more than half of all.
    pub(crate) fn premature_reset(&mut self, settings: &Settings) -> Result<(), Violation> {
        self.premature += 1;
        let many = self.premature > u64::from(settings.max_premature_resets);
        within(!(many && self.premature * 2 > self.opened), Violation::ResetFlood)
    }

    pub(crate) fn priority(&mut self, settings: &Settings) -> Result<(), Violation> {
        self.priority += 1;
        let each = u64::from(settings.max_inbound_priority_frames_per_stream);
        within(self.priority <= each.saturating_mul(1 + self.opened), Violation::PriorityFlood)
    }

    pub(crate) fn window_update(&mut self, settings: &Settings) -> Result<(), Violation> {
        self.window_updates += 1;
        let each = u64::from(settings.max_inbound_window_update_frames_per_data_frame_sent);
        let most = FREE_WINDOW_UPDATES
            + 2 * (self.opened.saturating_add(each.saturating_mul(self.data_sent)));
        within(self.window_updates <= most, Violation::WindowUpdateFlood)
    }

    pub(crate) fn block_begins(&mut self) {
        self.block_frames = 1;
    }

    pub(crate) fn block_goes_on(&mut self) -> Result<(), Violation> {
        self.block_frames += 1;
        within(self.block_frames <= MAX_BLOCK_FRAMES, Violation::ContinuationFlood)
    }
}

fn within(holds: bool, otherwise: Violation) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_are_a_flood_only_when_most_streams_are() {
        let settings = Settings { max_premature_resets: 10, ..Settings::default() };
        let mut mixed = Budget::default();
        for _ in 0..1000 {
            mixed.stream_opened();
            mixed.stream_opened();
            mixed.premature_reset(&settings).unwrap();
        }
        let mut flood = Budget::default();
        let mut reset = || {
            flood.stream_opened();
            flood.premature_reset(&settings)
        };
        assert!((0..10).all(|_| reset().is_ok()));
        assert_eq!(reset(), Err(Violation::ResetFlood));
    }

    #[test]
    fn window_updates_are_paid_by_data() {
        let settings = Settings::default();
        let mut budget = Budget::default();
        for _ in 0..FREE_WINDOW_UPDATES {
            budget.window_update(&settings).unwrap();
        }
        assert_eq!(budget.window_update(&settings), Err(Violation::WindowUpdateFlood));
        budget.data_sent();
        assert_eq!(budget.window_update(&settings), Ok(()));
    }
}
