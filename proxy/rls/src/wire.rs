//! The protobuf of both sides, and what gRPC puts around it.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message;

/// Where the call goes.
pub const PATH: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// Flag and length before a message.
const PREFIX: usize = 5;

/// Why bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There is no whole message.
    #[error("the answer breaks off")]
    Short,
    /// Nobody has agreed to compress.
    #[error("the answer is compressed, which was not offered")]
    Compressed,
    /// Behind the message comes another one.
    #[error("the answer has more than one message")]
    More,
    /// The message is not that of an answer.
    #[error("the answer is not a RateLimitResponse")]
    Protobuf,
}

/// A message with its prefix.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A buffer that grows takes every message.
    let _ = message.encode(&mut bytes);
    bytes.freeze()
}

/// The one message of an answer.
pub(crate) fn unframed<M: Message + Default>(mut bytes: Bytes) -> Result<M, Malformed> {
    let flag = bytes.try_get_u8().map_err(|_| Malformed::Short)?;
    let length = bytes.try_get_u32().map_err(|_| Malformed::Short)?;
    if flag != 0 {
        return Err(Malformed::Compressed);
    }
    match usize::try_from(length).map(|length| bytes.len().cmp(&length)) {
        Ok(std::cmp::Ordering::Equal) => M::decode(bytes).map_err(|_| Malformed::Protobuf),
        Ok(std::cmp::Ordering::Greater) => Err(Malformed::More),
        Ok(std::cmp::Ordering::Less) | Err(_) => Err(Malformed::Short),
    }
}

/// `RateLimitRequest`.
#[derive(Message)]
pub(crate) struct RateLimitRequest {
    #[prost(string, tag = "1")]
    pub(crate) domain: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) descriptors: Vec<RateLimitDescriptor>,
    #[prost(uint32, tag = "3")]
    pub(crate) hits_addend: u32,
}

/// `RateLimitDescriptor`.
#[derive(Message)]
pub(crate) struct RateLimitDescriptor {
    #[prost(message, repeated, tag = "1")]
    pub(crate) entries: Vec<Entry>,
    #[prost(message, optional, tag = "2")]
    pub(crate) limit: Option<RateLimitOverride>,
    #[prost(message, optional, tag = "3")]
    pub(crate) hits_addend: Option<UInt64Value>,
    #[prost(bool, tag = "4")]
    pub(crate) is_negative_hits: bool,
}

/// `RateLimitDescriptor.Entry`, and any other pair of texts.
#[derive(Message)]
pub(crate) struct Entry {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// `RateLimitDescriptor.RateLimitOverride`.
#[derive(Clone, Copy, Message)]
pub(crate) struct RateLimitOverride {
    #[prost(uint32, tag = "1")]
    pub(crate) requests_per_unit: u32,
    #[prost(int32, tag = "2")]
    pub(crate) unit: i32,
}

/// `google.protobuf.UInt64Value`.
#[derive(Clone, Copy, Message)]
pub(crate) struct UInt64Value {
    #[prost(uint64, tag = "1")]
    pub(crate) value: u64,
}

/// `RateLimitResponse`, as far as the filter goes by it.
#[derive(Message)]
pub(crate) struct RateLimitResponse {
    #[prost(int32, tag = "1")]
    pub(crate) overall_code: i32,
    #[prost(message, repeated, tag = "2")]
    pub(crate) statuses: Vec<DescriptorStatus>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) response_headers_to_add: Vec<Header>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) request_headers_to_add: Vec<Header>,
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) raw_body: Bytes,
}

/// `core.v3.HeaderValue`.
#[derive(Message)]
pub(crate) struct Header {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) raw_value: Vec<u8>,
}

/// `RateLimitResponse.DescriptorStatus`.
#[derive(Message)]
pub(crate) struct DescriptorStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) current_limit: Option<CurrentLimit>,
    #[prost(uint32, tag = "3")]
    pub(crate) limit_remaining: u32,
    #[prost(message, optional, tag = "4")]
    pub(crate) duration_until_reset: Option<Duration>,
}

/// `RateLimitResponse.RateLimit`.
#[derive(Message)]
pub(crate) struct CurrentLimit {
    #[prost(uint32, tag = "1")]
    pub(crate) requests_per_unit: u32,
    #[prost(int32, tag = "2")]
    pub(crate) unit: i32,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, Message)]
pub(crate) struct Duration {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}
