//! Descriptions of requests, which limits tell them apart by (`rate_limits`).

use std::net::IpAddr;

use http::HeaderValue;
use smallvec::SmallVec;
use weft_compile::{
    DescriptorPart, DescriptorRule, HitsSource, HostDescriptors, MOST_HITS, RouteFilters,
};
use weft_limit::Entry;
use weft_route::{HeaderKey, RequestView};

use super::{Coming, query, view};
use crate::downstream::Connection;

/// What a description is made of besides the request.
struct Surroundings<'a> {
    /// The cluster of this proxy.
    source: Option<&'a HeaderValue>,
    /// The cluster that the request goes to.
    destination: Option<&'a str>,
    /// The client.
    client: Option<IpAddr>,
}

/// The rules by which a request is described.
pub(super) type Rules<'a> = SmallVec<[&'a DescriptorRule; 8]>;

/// The limit's own rules if it has any, or else those of the route of a request and of its host that
/// are of this stage.
pub(super) fn rules<'a>(
    own: Option<&'a [DescriptorRule]>,
    said: &'a RouteFilters,
    stage: u32,
    of_host: HostDescriptors,
) -> Rules<'a> {
    if let Some(own) = own {
        return own.iter().collect();
    }
    let Some(of_route) = said.descriptors() else { return Rules::new() };
    let from_host = match of_host {
        _ if of_route.include_host => true,
        HostDescriptors::Include => true,
        HostDescriptors::Ignore => false,
        HostDescriptors::WithoutOwn => of_route.of_route.is_empty(),
    };
    let of_host = of_route.of_host.iter().filter(|_| from_host);
    let rules = of_route.of_route.iter().chain(of_host);
    rules.filter(|rule| rule.stage == stage).collect()
}

/// A description of a request, and the rule that it comes from.
pub(super) struct Described<'a> {
    pub(super) entries: Vec<Entry>,
    pub(super) rule: &'a DescriptorRule,
    /// How much it counts, if that is said.
    pub(super) hits: Option<u64>,
}

/// The descriptions of a request to the cluster `to`.
pub(super) fn described<'a>(
    rules: &Rules<'a>,
    to: Option<&str>,
    connection: &Connection,
    coming: &Coming,
) -> Vec<Described<'a>> {
    // Mostly there are none, and then nothing has to be known.
    if rules.is_empty() {
        return Vec::new();
    }
    let Some(request) = coming.request_view() else { return Vec::new() };
    let around = Surroundings {
        source: connection.worker.identity().cluster.as_ref(),
        destination: to,
        client: coming.origin.remote.ip().map(|address| address.ip()),
    };
    let describe = |rule: &&'a DescriptorRule| {
        let entries = one(rule, &request, &around).filter(|entries| !entries.is_empty())?;
        let hits = match &rule.hits {
            None => None,
            Some(hits) => Some(counted(&hits.times, connection, coming)?),
        };
        Some(Described { entries, rule, hits })
    };
    rules.iter().filter_map(describe).collect()
}

/// How much a request counts; `None` where what should say so is no number.
fn counted(times: &HitsSource, connection: &Connection, coming: &Coming) -> Option<u64> {
    match times {
        HitsSource::Number(number) => Some(*number),
        HitsSource::Format(format) => {
            let mut text = Vec::new();
            format.render(&view(connection, coming), "", &mut text);
            let number = std::str::from_utf8(&text).ok()?.parse().ok()?;
            (number <= MOST_HITS).then_some(number)
        }
    }
}

/// `None` for a request that lacks a part.
fn one(
    rule: &DescriptorRule,
    request: &RequestView<'_>,
    around: &Surroundings<'_>,
) -> Option<Vec<Entry>> {
    let mut entries = Vec::with_capacity(rule.parts.len());
    for part in &rule.parts {
        match entry(part, request, around) {
            Some(entry) => entries.push(entry),
            None if may_lack(part) => {}
            None => return None,
        }
    }
    Some(entries)
}

fn may_lack(part: &DescriptorPart) -> bool {
    matches!(
        part,
        DescriptorPart::Header { skip_if_absent: true, .. }
            | DescriptorPart::Query { skip_if_absent: true, .. }
    )
}

fn entry(
    part: &DescriptorPart,
    request: &RequestView<'_>,
    around: &Surroundings<'_>,
) -> Option<Entry> {
    let (key, value): (&str, Box<str>) = match part {
        DescriptorPart::Generic { key, value } => (key, value.clone()),
        DescriptorPart::SourceCluster => {
            let source = around.source.and_then(|source| source.to_str().ok());
            ("source_cluster", source.unwrap_or_default().into())
        }
        DescriptorPart::DestinationCluster => ("destination_cluster", around.destination?.into()),
        DescriptorPart::RemoteAddress => ("remote_address", around.client?.to_string().into()),
        DescriptorPart::MaskedRemoteAddress { v4, v6 } => {
            ("masked_remote_address", network(around.client?, *v4, *v6).into())
        }
        DescriptorPart::Header { name, key, .. } => {
            let value = match name {
                HeaderKey::Method => request.method.into(),
                HeaderKey::Path => request.path_and_query.into(),
                HeaderKey::Authority => request.authority.into(),
                HeaderKey::Scheme => request.scheme.into(),
                HeaderKey::Field(name) => {
                    String::from_utf8_lossy(request.headers.get(name)?.as_bytes()).into()
                }
            };
            (key, value)
        }
        DescriptorPart::Query { name, key, .. } => {
            (key, query::first(query_of(request), name)?.into())
        }
        DescriptorPart::HeadersMatch { key, value, headers, expected } => {
            let matches = headers.iter().all(|matcher| matcher.matches(request));
            (key, (matches == *expected).then(|| value.clone())?)
        }
        DescriptorPart::QueryMatch { key, value, parameters, expected } => {
            let matches = parameters.iter().all(|matcher| matcher.matches(query_of(request)));
            (key, (matches == *expected).then(|| value.clone())?)
        }
        DescriptorPart::RemoteMatch { key, value, networks, expected } => {
            let client = around.client?;
            let matches = networks.iter().any(|network| network.contains(client));
            (key, (matches == *expected).then(|| value.clone())?)
        }
    };
    Some((key.into(), value))
}

fn query_of<'a>(request: &RequestView<'a>) -> &'a str {
    request.path_and_query.split_once('?').map_or("", |(_, query)| query)
}

/// A network by one of its addresses.
fn network(address: IpAddr, v4: u8, v6: u8) -> String {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(v4.min(32))).unwrap_or(0);
            format!("{}/{v4}", std::net::Ipv4Addr::from(u32::from(address) & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(v6.min(128))).unwrap_or(0);
            format!("{}/{v6}", std::net::Ipv6Addr::from(u128::from(address) & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn described(
        parts: Vec<DescriptorPart>,
        headers: &[(&'static str, &'static str)],
    ) -> Option<String> {
        let of = |text| HeaderValue::from_static(text);
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), of(value)))
            .collect();
        let request = RequestView {
            authority: "shop.test",
            path_and_query: "/a?user=an%6E&user=bob",
            method: "GET",
            scheme: "http",
            is_internal: false,
            headers: &headers,
            random: 0,
        };
        let source = of("front");
        let around = Surroundings {
            source: Some(&source),
            destination: Some("back"),
            client: "10.1.2.3".parse().ok(),
        };
        let rule = DescriptorRule {
            stage: 0,
            parts: parts.into(),
            limit: None,
            hits: None,
            tells_what_is_left: None,
        };
        let entries = one(&rule, &request, &around)?;
        let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key}={value}")).collect();
        Some(entries.join(","))
    }

    #[test]
    fn every_part_says_something() {
        let header = |name: &str, skip_if_absent| DescriptorPart::Header {
            name: name.parse().unwrap(),
            key: "k".into(),
            skip_if_absent,
        };
        let query = |name: &str| DescriptorPart::Query {
            name: name.into(),
            key: "q".into(),
            skip_if_absent: false,
        };
        let shown = described(
            vec![
                DescriptorPart::SourceCluster,
                DescriptorPart::DestinationCluster,
                DescriptorPart::RemoteAddress,
                DescriptorPart::MaskedRemoteAddress { v4: 16, v6: 64 },
                header("x-user", false),
                header(":path", false),
                query("user"),
            ],
            &[("x-user", "ann")],
        );
        assert_eq!(
            shown.unwrap(),
            "source_cluster=front,destination_cluster=back,remote_address=10.1.2.3,\
             masked_remote_address=10.1.0.0/16,k=ann,k=/a?user=an%6E&user=bob,q=ann"
        );
        assert_eq!(described(vec![header("x-user", false)], &[]), None);
        assert_eq!(described(vec![header("x-user", true)], &[]).unwrap(), "");
        assert_eq!(described(vec![query("none")], &[]), None);
    }

    #[test]
    fn networks_have_any_length() {
        let v4 = "10.1.2.3".parse().unwrap();
        assert_eq!(network(v4, 0, 0), "0.0.0.0/0");
        assert_eq!(network(v4, 32, 0), "10.1.2.3/32");
        let v6 = "2001:db8::1".parse().unwrap();
        assert_eq!(network(v6, 0, 32), "2001:db8::/32");
        assert_eq!(network(v6, 0, 0), "::/0");
    }
}
