//! What is answered.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::{
    left::{self, Left},
    wire::{self, Header, Malformed, RateLimitResponse},
};

/// `RateLimitResponse.OVER_LIMIT`.
const OVER_LIMIT: i32 = 2;

/// What a service says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is within the limits. A service that says nothing says this, as with Envoy.
    Within,
    /// It is over one of them.
    Over,
}

/// `RateLimitResponse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `overall_code`.
    pub verdict: Verdict,
    /// What is left of the limit that is nearest to its end; `None` where none was told.
    pub left: Option<Left>,
    /// `response_headers_to_add`, without what no header can be.
    pub for_client: Vec<(HeaderName, HeaderValue)>,
    /// `request_headers_to_add`, the same way.
    pub for_upstream: Vec<(HeaderName, HeaderValue)>,
    /// `raw_body` of a refusal.
    pub body: Bytes,
}

impl Answer {
    /// Reads the whole body of an answer.
    ///
    /// # Errors
    /// When it is not exactly one message of an answer.
    pub fn read(body: Bytes) -> Result<Self, Malformed> {
        let message: RateLimitResponse = wire::unframed(body)?;
        let verdict =
            if message.overall_code == OVER_LIMIT { Verdict::Over } else { Verdict::Within };
        Ok(Self {
            verdict,
            left: left::tightest(&message.statuses),
            for_client: fields(message.response_headers_to_add),
            for_upstream: fields(message.request_headers_to_add),
            body: message.raw_body,
        })
    }
}

fn fields(headers: Vec<Header>) -> Vec<(HeaderName, HeaderValue)> {
    let field = |header: Header| {
        let name = HeaderName::try_from(header.key).ok()?;
        let value = match header.raw_value.is_empty() {
            true => header.value.into_bytes(),
            false => header.raw_value,
        };
        Some((name, HeaderValue::try_from(value).ok()?))
    };
    headers.into_iter().filter_map(field).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{CurrentLimit, DescriptorStatus, framed};

    fn header(key: &str, value: &str) -> Header {
        Header { key: key.to_owned(), value: value.to_owned(), raw_value: Vec::new() }
    }

    #[test]
    fn an_answer_is_read_with_all_it_says() {
        let limit = CurrentLimit { requests_per_unit: 9, unit: 2, name: String::new() };
        let message = RateLimitResponse {
            overall_code: 2,
            statuses: vec![DescriptorStatus {
                code: 2,
                current_limit: Some(limit),
                limit_remaining: 4,
                duration_until_reset: Some(wire::Duration { seconds: 7, nanos: 1 }),
            }],
            response_headers_to_add: vec![header("X-Why", "often"), header("a b", "no name")],
            request_headers_to_add: vec![header("x-by", "rls"), header("x-by", "two\nlines")],
            raw_body: Bytes::from_static(b"too often"),
        };
        let answer = Answer::read(framed(&message)).unwrap();
        assert_eq!(answer.verdict, Verdict::Over);
        let left = answer.left.unwrap();
        assert_eq!((&*left.limit, left.remaining, left.reset), ("9, 9;w=60", 4, 7));
        let of = |text| HeaderValue::from_static(text);
        assert_eq!(answer.for_client, [(HeaderName::from_static("x-why"), of("often"))]);
        assert_eq!(answer.for_upstream, [(HeaderName::from_static("x-by"), of("rls"))]);
        assert_eq!(answer.body, "too often");
    }

    #[test]
    fn what_is_no_answer_is_told_by_why() {
        let read =
            |bytes: &'static [u8]| Answer::read(Bytes::from_static(bytes)).map(|it| it.verdict);
        assert_eq!(read(b"\0\0\0\0\0"), Ok(Verdict::Within));
        assert_eq!(read(b""), Err(Malformed::Short));
        assert_eq!(read(b"\0\0\0\0\x02\x08"), Err(Malformed::Short));
        assert_eq!(read(b"\0\0\0\0\x02\x08\x02\0"), Err(Malformed::More));
        assert_eq!(read(b"\x01\0\0\0\x02\x08\x02"), Err(Malformed::Compressed));
        assert_eq!(read(b"\0\0\0\0\x02\xff\xff"), Err(Malformed::Protobuf));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut whole = vec![0];
            whole.extend(u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
            whole.extend(&bytes);
            let _ = Answer::read(Bytes::from(whole));
            let _ = Answer::read(Bytes::from(bytes));
        }
    }
}
