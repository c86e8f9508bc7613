//! How the request path calls for a decision that is made elsewhere.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// Rung by any thread, heard by one task.
///
/// Ringing takes a lock only when nobody has rung since it was last heard, so a storm of failures
/// costs an atomic load each.
#[derive(Debug, Default)]
pub struct Alarm {
    rung: AtomicBool,
    listener: Mutex<Option<Waker>>,
}

impl Alarm {
    /// Calls for a decision.
    pub fn ring(&self) {
        if self.rung.load(Ordering::Relaxed) || self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let waker = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready once for all the ringing since it was ready last. Of several tasks only the one that
    /// asked last is woken.
    pub fn poll_heard(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.rung.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        // It may have rung before the waker was in its place.
        if self.rung.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicUsize},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn any_number_of_rings_is_heard_once() {
        let (alarm, woken) = (Alarm::default(), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        assert!(alarm.poll_heard(&mut cx).is_pending());
        alarm.ring();
        alarm.ring();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(alarm.poll_heard(&mut cx).is_ready());
        assert!(alarm.poll_heard(&mut cx).is_pending());
        alarm.ring();
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_rang_before_anybody_asked_is_heard() {
        let alarm = Alarm::default();
        alarm.ring();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(alarm.poll_heard(&mut cx).is_ready());
    }
}
