//! `buffer`: a request is held back until its body is here as a whole, so that an upstream is not
//! kept busy by a slow client, and knows the length.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Instant,
};

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, header::CONTENT_LENGTH};
use weft_compile::{Action, FilterSettings, RouteFilter};

use super::{Coming, most_specific};
use crate::{
    body::Limits,
    downstream::{Connection, RequestBody},
    fault::Fault,
    tunnel::Wanted,
};

/// A body that is being read.
#[derive(Debug)]
pub(crate) struct Buffering {
    max_bytes: usize,
    data: BytesMut,
    trailers: Option<HeaderMap>,
}

/// Begins to hold a request back, if it has to be.
///
/// # Errors
/// When it says itself that it is too long.
pub(super) fn hold(
    max_bytes: usize,
    own: Option<&RouteFilter>,
    coming: &Coming,
) -> Result<Option<Buffering>, Fault> {
    let most_specific = most_specific(own, |settings| match settings {
        FilterSettings::Unbuffered => Some(None),
        FilterSettings::Buffer { max_bytes } => Some(Some(*max_bytes)),
        _ => None,
    });
    let Some(max_bytes) = most_specific.unwrap_or(Some(max_bytes)) else { return Ok(None) };
    // What becomes a tunnel never ends.
    if coming.body.is_end_stream() || !matches!(coming.wanted, Wanted::Answer) {
        return Ok(None);
    }
    let length = coming.parts.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > max_bytes) {
        return Err(Fault::RequestTooLarge);
    }
    Ok(Some(Buffering { max_bytes, data: BytesMut::new(), trailers: None }))
}

impl Buffering {
    /// Reads the whole body, within the time that a request may take.
    pub(super) async fn collect(
        &mut self,
        coming: &mut Coming,
        connection: &Connection,
    ) -> Result<(), Fault> {
        let chain = &connection.chain;
        let own_idle = match coming.place.entry().map(|entry| &entry.action) {
            Some(Action::Forward(to)) => to.idle_timeout,
            _ => None,
        };
        let whole_by = chain.client.request_timeout;
        let whole_by = whole_by.and_then(|limit| coming.record.began().checked_add(limit));
        let limits = Limits {
            deadline: whole_by.map(|at| (at, Fault::RequestNotWhole)),
            idle: own_idle.unwrap_or(chain.client.stream_idle_timeout),
        };
        let mut timer = connection.worker.timer();
        let mut last_moved = Instant::now();
        poll_fn(|cx| {
            let before = self.data.len();
            if let Poll::Ready(read) = self.read(cx, &mut coming.body) {
                return Poll::Ready(read);
            }
            if self.data.len() > before {
                last_moved = Instant::now();
            }
            let Some((at, fault)) = limits.next(last_moved) else { return Poll::Pending };
            timer.poll_at(cx, at).map(|()| match fault {
                Fault::StreamIdle => Err(Fault::RequestIdle),
                fault => Err(fault),
            })
        })
        .await?;
        let data = std::mem::take(&mut self.data).freeze();
        let headers = &mut coming.parts.headers;
        headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(data.len()));
        coming.body = RequestBody::whole(data, self.trailers.take());
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>, body: &mut RequestBody) -> Poll<Result<(), Fault>> {
        while let Poll::Ready(frame) = body.poll_frame(cx) {
            match frame {
                None => return Poll::Ready(Ok(())),
                Some(Err(_)) => return Poll::Ready(Err(Fault::ClientGone)),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        if data.len() > self.max_bytes - self.data.len() {
                            return Poll::Ready(Err(Fault::RequestTooLarge));
                        }
                        self.data.extend_from_slice(data);
                    } else if let Ok(trailers) = frame.into_trailers() {
                        self.trailers = Some(trailers);
                    }
                }
            }
        }
        Poll::Pending
    }
}
