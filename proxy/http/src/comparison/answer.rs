//! What is kept of an answer, and in what two of them differ.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, StatusCode};
use smallvec::SmallVec;
use weft_compile::{AnswerComparison, ComparedHeader};
use xxhash_rust::xxh64::Xxh64;

/// Where the status of a gRPC call stands.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Bytes of a field's values that are shown at most.
const SHOWN: usize = 128;

/// An answer, as far as it has come.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) grpc_status: Option<u32>,
    /// From when the request was sent on until this began.
    pub(super) took: Duration,
    /// Of each field that is compared.
    fields: Box<[Field]>,
    body: Digest,
}

/// What is kept of a field that is compared.
#[derive(Debug)]
struct Field {
    /// Of all its values in their order; `None` where there are none.
    hash: Option<u64>,
    /// The beginning of its values, where they may be shown.
    shown: Option<Box<str>>,
}

impl Answer {
    /// An answer that begins.
    pub(super) fn begin(
        status: StatusCode,
        headers: &HeaderMap,
        took: Duration,
        comparison: &AnswerComparison,
    ) -> Self {
        let fields = comparison.headers.iter().map(|compared| Field::read(compared, headers));
        Self {
            status,
            grpc_status: grpc_status(headers),
            took,
            fields: fields.collect(),
            body: Digest::new(comparison.max_body_bytes),
        }
    }

    /// More of the body.
    pub(super) fn data(&mut self, data: &[u8]) {
        self.body.take(data);
    }

    /// Trailers.
    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        self.grpc_status = grpc_status(trailers).or(self.grpc_status);
    }

    /// In what the answer to the copy differs from this one.
    pub(super) fn differs_from<'a>(
        &'a self,
        copy: &'a Self,
        comparison: &'a AnswerComparison,
    ) -> Differences<'a> {
        let fields = comparison.headers.iter().zip(self.fields.iter().zip(&copy.fields));
        let fields = fields.filter(|(_, (original, copy))| original.hash != copy.hash).map(
            |(compared, (original, copy))| Differing {
                name: &compared.name,
                shown: original.shown.as_deref().zip(copy.shown.as_deref()),
            },
        );
        Differences {
            status: self.status != copy.status,
            grpc_status: self.grpc_status != copy.grpc_status,
            fields: fields.collect(),
            body: comparison.max_body_bytes > 0 && self.body.value() != copy.body.value(),
        }
    }
}

impl Field {
    fn read(compared: &ComparedHeader, headers: &HeaderMap) -> Self {
        let mut hash: Option<Xxh64> = None;
        let mut shown = compared.is_shown.then(String::new);
        for value in headers.get_all(&compared.name) {
            let hash = hash.get_or_insert_with(|| Xxh64::new(0));
            // Two values are not one that is as long as both.
            hash.update(&value.len().to_le_bytes());
            hash.update(value.as_bytes());
            if let Some(shown) = &mut shown {
                let separator = if shown.is_empty() { "" } else { ", " };
                let value = String::from_utf8_lossy(value.as_bytes());
                shown.push_str(separator);
                shown.extend(value.chars().take(SHOWN.saturating_sub(shown.len())));
            }
        }
        Self { hash: hash.map(|hash| hash.digest()), shown: shown.map(String::into_boxed_str) }
    }
}

fn grpc_status(fields: &HeaderMap) -> Option<u32> {
    let said = fields.get(&GRPC_STATUS)?;
    // What is no number is no status that any other answer has.
    Some(said.to_str().ok().and_then(|said| said.parse().ok()).unwrap_or(u32::MAX))
}

/// The hash of the beginning of a body, and its length.
struct Digest {
    hash: Xxh64,
    /// Bytes that may still go into it.
    room: u64,
    length: u64,
}

impl Digest {
    fn new(room: u64) -> Self {
        Self { hash: Xxh64::new(0), room, length: 0 }
    }

    fn take(&mut self, data: &[u8]) {
        self.length = self.length.saturating_add(data.len() as u64);
        let most = usize::try_from(self.room).unwrap_or(usize::MAX).min(data.len());
        if let Some(hashed) = data.get(..most) {
            self.hash.update(hashed);
            self.room = self.room.saturating_sub(hashed.len() as u64);
        }
    }

    fn value(&self) -> (u64, u64) {
        (self.hash.digest(), self.length)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest").field("length", &self.length).finish_non_exhaustive()
    }
}

/// In what two answers differ.
#[derive(Debug)]
pub(super) struct Differences<'a> {
    pub(super) status: bool,
    pub(super) grpc_status: bool,
    pub(super) fields: SmallVec<[Differing<'a>; 2]>,
    pub(super) body: bool,
}

/// A field that differs.
#[derive(Debug)]
pub(super) struct Differing<'a> {
    name: &'a HeaderName,
    /// The values of the original and of the copy, where they may be shown.
    shown: Option<(&'a str, &'a str)>,
}

impl Differences<'_> {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        !(self.status || self.grpc_status || self.body) && self.fields.is_empty()
    }
}

impl fmt::Display for Differences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (differs, what) in
            [(self.status, "status"), (self.grpc_status, "grpc-status"), (self.body, "body")]
        {
            if differs {
                write!(f, "{separator}{what}")?;
                separator = ", ";
            }
        }
        for Differing { name, shown } in &self.fields {
            write!(f, "{separator}header {name}")?;
            separator = ", ";
            if let Some((original, copy)) = shown {
                // As literals, so that no value can look like another line.
                write!(f, " ({original:?} and {copy:?})")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::SERVER};
    use proptest::prelude::*;

    use super::*;

    fn comparison(max_body_bytes: u64) -> AnswerComparison {
        let header = |name, is_shown| ComparedHeader { name, is_shown };
        let headers = [header(SERVER, true), header(HeaderName::from_static("x-own"), false)];
        AnswerComparison { headers: headers.into(), max_body_bytes, logs: None }
    }

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &[&[u8]]) -> Answer {
        limited(status, headers, body, 1 << 20)
    }

    fn limited(
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: &[&[u8]],
        room: u64,
    ) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let status = StatusCode::from_u16(status).unwrap();
        let mut answer = Answer::begin(status, &map, Duration::from_millis(3), &comparison(room));
        body.iter().for_each(|part| answer.data(part));
        answer
    }

    fn said(original: &Answer, copy: &Answer) -> String {
        original.differs_from(copy, &comparison(1 << 20)).to_string()
    }

    #[test]
    fn what_is_alike_does_not_differ() {
        let one = answer(200, &[("server", "a"), ("date", "1")], &[b"abc", b"def"]);
        let other = answer(200, &[("server", "a"), ("date", "2")], &[b"abcd", b"", b"ef"]);
        assert!(one.differs_from(&other, &comparison(1 << 20)).is_empty());
        assert_eq!(said(&one, &other), "");
    }

    #[test]
    fn each_difference_has_its_name() {
        let one = answer(200, &[("server", "a"), ("x-own", "secret")], &[b"abc"]);
        for (other, expected) in [
            (answer(201, &[("server", "a"), ("x-own", "secret")], &[b"abc"]), "status"),
            (answer(200, &[("server", "a"), ("x-own", "secret")], &[b"abx"]), "body"),
            (answer(200, &[("server", "a"), ("x-own", "secret")], &[b"abcd"]), "body"),
            (answer(200, &[("server", "a")], &[b"abc"]), "header x-own"),
            (answer(200, &[("server", "a"), ("x-own", "other")], &[b"abc"]), "header x-own"),
        ] {
            assert_eq!(said(&one, &other), expected);
        }
        let other = answer(500, &[("server", "b"), ("x-own", "secret")], &[]);
        assert_eq!(said(&one, &other), "status, body, header server (\"a\" and \"b\")");
    }

    #[test]
    fn values_of_a_field_are_not_one_value() {
        let one = answer(200, &[("x-own", "a"), ("x-own", "b")], &[]);
        assert_eq!(said(&one, &answer(200, &[("x-own", "ab")], &[])), "header x-own");
        assert_eq!(
            said(&one, &answer(200, &[("x-own", "b"), ("x-own", "a")], &[])),
            "header x-own"
        );
    }

    #[test]
    fn shown_values_are_cut_and_quoted() {
        let long: &'static str = Box::leak("é".repeat(900).into_boxed_str());
        let mut map = HeaderMap::new();
        map.insert(SERVER, HeaderValue::from_bytes(long.as_bytes()).unwrap());
        map.append(SERVER, HeaderValue::from_static("more"));
        let field = Field::read(&ComparedHeader { name: SERVER, is_shown: true }, &map);
        assert!(field.shown.unwrap().len() <= 2 * SHOWN + 2);
    }

    #[test]
    fn calls_differ_in_their_own_status() {
        let one = answer(200, &[("grpc-status", "0")], &[]);
        let mut other = answer(200, &[], &[]);
        assert_eq!(said(&one, &other), "grpc-status");
        let trailers = |text| HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static(text))]);
        other.trailers(&trailers("0"));
        assert_eq!(said(&one, &other), "", "wherever it stands");
        other.trailers(&trailers("14"));
        assert_eq!(said(&one, &other), "grpc-status");
        other.trailers(&trailers("nonsense"));
        assert_eq!(said(&one, &other), "grpc-status");
    }

    #[test]
    fn as_much_of_a_body_is_hashed_as_is_said() {
        let one = limited(200, &[], &[b"abcdef"], 3);
        let at = |copy: &Answer, most| one.differs_from(copy, &comparison(most)).body;
        assert!(
            !at(&limited(200, &[], &[b"ab", b"cxyz"], 3), 3),
            "what is behind is not looked at"
        );
        assert!(at(&limited(200, &[], &[b"abxdef"], 3), 3));
        assert!(at(&limited(200, &[], &[b"abcdefg"], 3), 3), "but its length is");
        assert!(
            !at(&limited(200, &[], &[b"other"], 0), 0),
            "and nothing where nothing is asked for"
        );
    }

    proptest! {
        #[test]
        fn how_a_body_comes_in_parts_does_not_matter(
            body in proptest::collection::vec(any::<u8>(), 0..600),
            cuts in proptest::collection::vec(0usize..600, 0..6),
            room in 0u64..700,
        ) {
            let mut whole = Digest::new(room);
            whole.take(&body);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
            cuts.sort_unstable();
            let mut parts = Digest::new(room);
            let mut from = 0;
            for cut in cuts.into_iter().chain([body.len()]) {
                parts.take(&body[from..cut]);
                from = cut;
            }
            prop_assert_eq!(parts.value(), whole.value());
        }
    }
}
