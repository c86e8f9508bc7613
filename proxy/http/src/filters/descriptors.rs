//! Descriptions of requests, which limits tell them apart by (`rate_limits`).

use std::net::IpAddr;

use http::HeaderValue;
use smallvec::SmallVec;
use weft_compile::{
    DescriptorEntry, DescriptorPart, DescriptorRule, HostDescriptors, LocalRateLimit, RouteFilters,
};
use weft_route::{HeaderKey, RequestView};

use super::{Coming, query};
use crate::downstream::Connection;

/// A description: keys and values in order.
pub(super) type Descriptor = Vec<DescriptorEntry>;

/// What a description is made of besides the request.
pub(super) struct Surroundings<'a> {
    /// The cluster of this proxy.
    pub(super) source: Option<&'a HeaderValue>,
    /// The cluster that the request goes to.
    pub(super) destination: Option<&'a str>,
    /// The client.
    pub(super) client: Option<IpAddr>,
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

/// The descriptions of a request as far as a local limit goes by any.
pub(super) fn all(
    limit: &LocalRateLimit,
    said: &RouteFilters,
    request: &RequestView<'_>,
    around: &Surroundings<'_>,
) -> Vec<Descriptor> {
    if limit.by_descriptor.is_empty() {
        return Vec::new();
    }
    let own = limit.descriptors.as_deref();
    let rules = rules(own, said, limit.stage, limit.host_descriptors);
    rules.into_iter().filter_map(|rule| one(rule, request, around)).collect()
}

/// The descriptions of a request to the cluster `to` that a service is asked about.
pub(super) fn questions(
    rules: &Rules<'_>,
    connection: &Connection,
    to: &str,
    coming: &Coming,
) -> Vec<weft_rls::Descriptor> {
    // Mostly there are none, and then nothing has to be known.
    if rules.is_empty() {
        return Vec::new();
    }
    let Some(request) = coming.request_view() else { return Vec::new() };
    let around = Surroundings {
        source: connection.worker.identity().cluster.as_ref(),
        destination: Some(to),
        client: coming.origin.remote.ip().map(|address| address.ip()),
    };
    let describe = |rule: &&DescriptorRule| {
        let entries = one(rule, &request, &around).filter(|entries| !entries.is_empty())?;
        Some(weft_rls::Descriptor { entries, limit: None, hits: None })
    };
    rules.iter().filter_map(describe).collect()
}

/// `None` for a request that lacks a part.
fn one(
    rule: &DescriptorRule,
    request: &RequestView<'_>,
    around: &Surroundings<'_>,
) -> Option<Descriptor> {
    let mut entries = Descriptor::with_capacity(rule.parts.len());
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
) -> Option<DescriptorEntry> {
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
            let query = request.path_and_query.split_once('?').map_or("", |(_, query)| query);
            (key, query::first(query, name)?.into())
        }
        DescriptorPart::HeadersMatch { key, value, headers, expected } => {
            let matches = headers.iter().all(|matcher| matcher.matches(request));
            (key, (matches == *expected).then(|| value.clone())?)
        }
    };
    Some((key.into(), value))
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
        let rule = DescriptorRule { stage: 0, parts: parts.into() };
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
