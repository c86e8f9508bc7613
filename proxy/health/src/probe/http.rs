//! `http_health_check`.

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, Uri,
    header::{CONTENT_LENGTH, HOST, USER_AGENT},
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use weft_compile::{AppendAction, HeaderSet, HeaderText, HttpCheck};

use super::{Place, ill, payload, wire::Wire};
use crate::course::{Answer, Illness};

const DEGRADED: HeaderName = HeaderName::from_static("x-envoy-degraded");
const EXCLUDED: HeaderName = HeaderName::from_static("x-envoy-immediate-health-check-fail");
const SERVICE: HeaderName = HeaderName::from_static("x-envoy-upstream-healthchecked-cluster");
/// Who asks.
pub(super) const AGENT: HeaderValue = HeaderValue::from_static("weft-health");
/// A longer answer costs its connection: it is not worth reading.
const DRAINED: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Http {
    check: HttpCheck,
    host: Box<str>,
    keep: bool,
    wire: Option<Wire>,
}

impl Http {
    pub(super) fn new(check: HttpCheck, host: Box<str>, keep: bool) -> Self {
        Self { check, host, keep, wire: None }
    }

    pub(super) fn hang_up(&mut self) {
        self.wire = None;
    }

    pub(super) async fn ask(&mut self, place: &Place) -> Answer {
        let Some(request) = self.request() else { return ill(Illness::Network) };
        if let Some(mut wire) = self.wire.take().filter(Wire::is_open)
            && let Ok(response) = wire.send(request.clone()).await
        {
            return self.judge(wire, response).await;
        }
        // The endpoint may have closed the connection in the meantime, which says nothing.
        let Some(mut wire) = Wire::open(place, self.check.http2).await else {
            return ill(Illness::Network);
        };
        match wire.send(request).await {
            Ok(response) => self.judge(wire, response).await,
            Err(error) => {
                tracing::debug!(%error, "a health check got no answer");
                ill(Illness::Network)
            }
        }
    }

    fn request(&self) -> Option<Request<Full<Bytes>>> {
        let HttpCheck { method, path, send, add, remove, .. } = &self.check;
        let uri: Uri = format!("http://{}{path}", self.host).parse().ok()?;
        let mut request = Request::new(Full::new(send.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        let fields = request.headers_mut();
        fields.insert(USER_AGENT, AGENT);
        if !send.is_empty() {
            fields.insert(CONTENT_LENGTH, HeaderValue::from(send.len()));
        }
        for name in remove {
            fields.remove(name);
        }
        apply(add, fields);
        if let Some(host) = fields.remove(HOST) {
            let authority = host.to_str().ok()?;
            *request.uri_mut() = format!("http://{authority}{path}").parse().ok()?;
        }
        Some(request)
    }

    async fn judge(&mut self, wire: Wire, response: Response<Incoming>) -> Answer {
        let (head, body) = response.into_parts();
        let body = self.read(body).await;
        // Only a body that was read as a whole leaves its connection to the next question.
        if self.keep && matches!(&body, Some((_, true))) {
            self.wire = Some(wire);
        }
        let Some((body, _)) = body else { return ill(Illness::Network) };
        let excluded = head.headers.contains_key(EXCLUDED);
        let status = head.status.as_u16();
        let illness = if !self.check.expected.contains(status) {
            let is_retriable = self.check.retriable.contains(status);
            Some(if is_retriable { Illness::Retriable } else { Illness::Told })
        } else if !payload::holds(&body, &self.check.receive) {
            Some(Illness::Told)
        } else if !self.is_the_service(&head.headers) {
            Some(Illness::OtherService)
        } else {
            None
        };
        match illness {
            Some(illness) => Answer::Ill { illness, excluded },
            None => Answer::Well { degraded: head.headers.contains_key(DEGRADED), excluded },
        }
    }

    fn is_the_service(&self, fields: &HeaderMap) -> bool {
        let Some(expected) = &self.check.service_name else { return true };
        fields.get(SERVICE).is_some_and(|name| expected.matches(name.as_bytes()))
    }

    /// The beginning of a body that is looked at, and whether all of it came; `None` when it broke.
    async fn read(&self, mut body: Incoming) -> Option<(Bytes, bool)> {
        let looked_at = usize::try_from(self.check.response_buffer).unwrap_or(usize::MAX);
        // 0 looks at all of it, which is bounded all the same.
        let looked_at = if looked_at == 0 { DRAINED } else { looked_at };
        let (mut begun, mut total) = (BytesMut::new(), 0usize);
        while !body.is_end_stream() {
            let Some(frame) = body.frame().await else { break };
            let Ok(data) = frame.ok()?.into_data() else { continue };
            total = total.saturating_add(data.len());
            let room = looked_at.saturating_sub(begun.len()).min(data.len());
            begun.extend_from_slice(data.get(..room).unwrap_or_default());
            if total > DRAINED && begun.len() >= looked_at.min(DRAINED) {
                return Some((begun.freeze(), false));
            }
        }
        Some((begun.freeze(), true))
    }
}

/// Sets literal fields.
pub(super) fn apply(sets: &[HeaderSet], fields: &mut HeaderMap) {
    for HeaderSet { name, value, append, .. } in sets {
        let HeaderText::Literal(value) = value else { continue };
        let is_there = fields.contains_key(name);
        match append {
            AppendAction::AppendIfExistsOrAdd => {
                fields.append(name, value.clone());
            }
            AppendAction::AddIfAbsent if is_there => {}
            AppendAction::OverwriteIfExists if !is_there => {}
            _ => {
                fields.insert(name, value.clone());
            }
        }
    }
}
