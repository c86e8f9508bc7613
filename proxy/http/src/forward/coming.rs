//! A request that goes on coming while its connection to the upstream is awaited. Whether it is
//! whole in time (`request_timeout`) is known of it alone, however long connecting takes.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Instant,
};

use crate::{
    fault::Fault,
    retry::REPLAYED,
    timer::Timer,
    upstream::{Failure, Upload},
};

/// Waits for `connection`, unless the request should have come by `whole_by` and has not. What comes
/// meanwhile is kept, within the bound of what is kept for another try.
pub(super) async fn meanwhile<T>(
    connection: impl Future<Output = Result<T, Failure>>,
    upload: &mut Upload,
    whole_by: Instant,
    mut timer: Timer,
) -> Result<T, Failure> {
    let mut connection = pin!(connection);
    poll_fn(|cx| {
        if let Poll::Ready(done) = connection.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        match upload.take_ahead(cx, REPLAYED) {
            Ok(true) => Poll::Pending,
            Ok(false) => {
                let late = || Err(Failure::unknown(Fault::RequestNotWhole));
                timer.poll_at(cx, whole_by).map(|()| late())
            }
            Err(broken) => Poll::Ready(Err(Failure::unknown(broken.fault()))),
        }
    })
    .await
}
