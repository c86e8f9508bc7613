//! What is left of limits, in the fields `RateLimit` and `RateLimit-Policy`
//! (draft-ietf-httpapi-ratelimit-headers): lists of limits by name, each with the quota and the window
//! in seconds, or with what is left of it and the seconds until all of it is there again.

use std::{fmt::Write as _, time::Duration, time::Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use weft_limit::TokenBucket;
use weft_rls::Left;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Two fields.
pub(super) type Fields = [(HeaderName, HeaderValue); 2];

/// What is left in a bucket of a limit of this name.
pub(super) fn of_bucket(name: &str, tokens: &TokenBucket, now: Instant) -> Option<Fields> {
    let (most, left) = (tokens.most(), tokens.left(now));
    let refill = |tokens_missing: u64| {
        let missing = u32::try_from(tokens_missing).unwrap_or(u32::MAX);
        whole_seconds(tokens.pace().saturating_mul(missing))
    };
    let (mut policy, mut limit) = (String::new(), String::new());
    item(&mut policy, name, &[("q", most), ("w", refill(most))]);
    item(&mut limit, name, &[("r", left), ("t", refill(most.saturating_sub(left)))]);
    fields(limit, policy)
}

/// What a service has said is left of its limits.
pub(super) fn of_service(left: &Left) -> Option<Fields> {
    let (mut all, mut limit) = (String::new(), String::new());
    for (at, policy) in left.policies.iter().enumerate() {
        // Each needs a name to be told apart by.
        let numbered;
        let name = match &*policy.name {
            "" => {
                numbered = (at + 1).to_string();
                &numbered
            }
            name => name,
        };
        item(&mut all, name, &[("q", policy.requests.into()), ("w", policy.window)]);
        if left.nearest == Some(at) {
            item(&mut limit, name, &[("r", left.remaining.into()), ("t", left.reset)]);
        }
    }
    if limit.is_empty() { None } else { fields(limit, all) }
}

fn fields(limit: String, policy: String) -> Option<Fields> {
    let value = |text: String| HeaderValue::from_maybe_shared(Bytes::from(text)).ok();
    Some([(POLICY, value(policy)?), (RATE_LIMIT, value(limit)?)])
}

/// Adds an item to a list of structured fields (RFC 9651): a string with parameters.
fn item(list: &mut String, name: &str, parameters: &[(&str, u64)]) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push('"');
    for character in name.chars() {
        match character {
            '"' | '\\' => list.extend(['\\', character]),
            ' '..='~' => list.push(character),
            _ => list.push('_'),
        }
    }
    list.push('"');
    for (key, value) in parameters {
        let _ = write!(list, ";{key}={value}");
    }
}

fn whole_seconds(time: Duration) -> u64 {
    // An upper bound of fields: integers of RFC 9651 have 15 digits.
    let more = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(more).min(999_999_999_999_999)
}

#[cfg(test)]
mod tests {
    use weft_limit::Fill;
    use weft_rls::Policy;

    use super::*;

    fn shown(fields: Fields) -> String {
        let line = |(name, value): (HeaderName, HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        fields.map(line).join("\n")
    }

    #[test]
    fn a_bucket_says_its_size_and_what_is_left() {
        let now = Instant::now();
        let fill = Fill { most: 100, tokens: 10, interval: Duration::from_secs(6) };
        let tokens = TokenBucket::new(fill);
        assert!(tokens.take_all(now, 41));
        let fields = of_bucket("sh\"op\n", &tokens, now).unwrap();
        assert_eq!(
            shown(fields),
            "ratelimit-policy: \"sh\\\"op_\";q=100;w=60\nratelimit: \"sh\\\"op_\";r=59;t=25"
        );
        let endless = Fill { most: u32::MAX, tokens: 1, interval: Duration::from_secs(u64::MAX) };
        let text = shown(of_bucket("x", &TokenBucket::new(endless), now).unwrap());
        assert!(text.ends_with(";r=4294967295;t=0"), "{text}");
    }

    #[test]
    fn a_service_says_all_limits_and_what_is_left_of_the_nearest() {
        let policy = |name: &str, requests, window| Policy { name: name.into(), requests, window };
        let left = Left {
            limit: String::new(),
            remaining: 3,
            reset: 9,
            policies: vec![policy("all", 100, 3600), policy("", 10, 60)],
            nearest: Some(1),
        };
        let fields = of_service(&left).unwrap();
        assert_eq!(
            shown(fields),
            "ratelimit-policy: \"all\";q=100;w=3600, \"2\";q=10;w=60\nratelimit: \"2\";r=3;t=9"
        );
        assert!(of_service(&Left { nearest: None, ..left }).is_none());
    }
}
