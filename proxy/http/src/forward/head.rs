//! Waiting for the head of a response.

use std::{
    future::poll_fn,
    task::Poll,
    time::{Duration, Instant},
};

use http::{Response, StatusCode, Version};

use super::behind::Behind;
use crate::{
    body::Limits,
    downstream::Interim,
    fault::Fault,
    headers,
    timer::Timer,
    upstream::{Answer, Exchange, Failure},
};

/// What few requests are held to until the head of their response has come.
pub(crate) struct Times {
    /// When the request must have come as a whole.
    pub(super) whole_by: Option<Instant>,
    /// How long nothing may come once it has.
    pub(super) try_idle: Option<Duration>,
    /// What comes behind the head may call for another try.
    pub(super) behind: Option<Behind>,
}

/// Waits for the response's head while the request's body goes up.
pub(crate) async fn await_head(
    exchange: &mut Exchange,
    (limits, times): (&Limits, &mut Option<Box<Times>>),
    mut timer: Timer,
    (client, wants_continue): (&Interim, bool),
) -> Result<Response<()>, Failure> {
    let began = Instant::now();
    poll_fn(|cx| {
        let mut behind = times.as_mut().and_then(|times| times.behind.as_mut());
        if let Some(kept) = behind.as_mut().and_then(|it| it.poll(cx, exchange, &mut timer)) {
            return kept;
        }
        while let Poll::Ready(answer) = exchange.poll_head(cx) {
            match answer {
                Ok(Answer::Final(head)) => {
                    let Some(behind) = &mut behind else { return Poll::Ready(Ok(head)) };
                    if let Some(head) = behind.keep(head, exchange, limits.ends_at()) {
                        return Poll::Ready(Ok(head));
                    }
                    return behind.poll(cx, exchange, &mut timer).unwrap_or(Poll::Pending);
                }
                // The client's 100 came from us, when its body was first asked for.
                Ok(Answer::Interim(hint))
                    if hint.status() == StatusCode::CONTINUE && !wants_continue => {}
                Ok(Answer::Interim(mut hint)) => {
                    headers::remove_hop_by_hop(hint.headers_mut(), Version::HTTP_11);
                    client.send(cx, &hint);
                }
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
        let last_moved = exchange.upload_moved().unwrap_or(began);
        let own = times.as_ref().and_then(|times| match exchange.takes_more() {
            true => times.whole_by.map(|at| (at, Fault::RequestNotWhole)),
            false => times.try_idle.map(|limit| (last_moved + limit, Fault::PerTryIdle)),
        });
        let next = limits.next(last_moved).into_iter().chain(own).min_by_key(|(at, _)| *at);
        let Some((at, fault)) = next else { return Poll::Pending };
        timer.poll_at(cx, at).map(|()| {
            let fault = match fault {
                Fault::StreamDuration(by) if exchange.takes_more() => Fault::SlowRequest(by),
                Fault::UpstreamDuration if exchange.takes_more() => Fault::SlowForUpstream,
                Fault::StreamIdle if exchange.takes_more() => Fault::RequestIdle,
                fault => fault,
            };
            Err(Failure::unknown(fault))
        })
    })
    .await
}
