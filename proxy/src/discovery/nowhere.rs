//! A source that does not exist.

use weft_xds::client::Event;

use super::subscriber::Subscriber;

/// Answers that everything wanted cannot be had, at once: waiting would not help.
pub(crate) async fn refuse(mut subscriber: Subscriber, why: String) {
    tracing::error!(source = %subscriber.id(), "resources cannot be had: {why}");
    while let Some(events) = subscriber.next().await {
        for event in events {
            let of = match &event {
                Event::Want(of, _) => Some(*of),
                _ => None,
            };
            subscriber.step(event, &mut |_| {});
            if let Some(of) = of {
                let unreadable = Event::Unreadable { of, reason: why.clone() };
                subscriber.step(unreadable, &mut |_| {});
            }
        }
    }
}
