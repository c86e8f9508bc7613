//! One lookup of one name.

use std::{collections::BTreeSet, io, net::IpAddr, time::Duration};

use hickory_resolver::{
    TokioResolver,
    net::NetError,
    proto::rr::{RData, Record, RecordType},
};
use weft_compile::{Lead, Question, ServiceRecord};
use weft_resources::{DnsResolver, LookupFamily};

use crate::resolver;

/// No lookup takes longer, whatever it is made of.
const LIMIT: Duration = Duration::from_secs(15);
/// Answers out of the hosts file say that they hold for this long, which nobody promised.
const FIXED_TTL: Duration = Duration::from_secs(86_400);
/// Targets of an SRV record that are looked up at most.
const MOST_TARGETS: usize = 256;

/// What a lookup found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where the name leads; nowhere if the servers know that there is nothing.
    pub leads: Vec<Lead>,
    /// How long that holds, if somebody says.
    pub ttl: Option<Duration>,
}

/// Why a lookup found nothing out.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// No name server gave a usable answer.
    #[error("{0}")]
    Servers(#[from] NetError),
    /// The system's resolver failed.
    #[error("{0}")]
    System(#[from] io::Error),
    /// It took too long.
    #[error("no answer within {} s", LIMIT.as_secs())]
    Overdue,
}

/// Looks a name up. `turn` says which name server begins where they take turns.
///
/// # Errors
/// [`LookupError`], when nobody knows. That there is nothing is an answer.
pub async fn lookup(question: &Question, turn: u64) -> Result<Found, LookupError> {
    tokio::time::timeout(LIMIT, ask(question, turn)).await.map_err(|_| LookupError::Overdue)?
}

async fn ask(question: &Question, turn: u64) -> Result<Found, LookupError> {
    let family = question.query.family;
    match &question.query.resolver {
        DnsResolver::System => system(&question.host, family).await,
        DnsResolver::Servers(servers) => {
            let resolver = resolver::make(servers, turn)?;
            if question.is_service {
                service(&resolver, &question.host, family).await
            } else {
                addresses(&resolver, &question.host, family).await
            }
        }
    }
}

async fn system(host: &str, family: LookupFamily) -> Result<Found, LookupError> {
    let all: Vec<IpAddr> =
        tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect();
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = all.iter().partition(|ip| ip.is_ipv4());
    let chosen = match family {
        LookupFamily::V4Only => v4,
        LookupFamily::V6Only => v6,
        LookupFamily::All => all,
        LookupFamily::Auto => {
            if v6.is_empty() {
                v4
            } else {
                v6
            }
        }
        LookupFamily::V4Preferred => {
            if v4.is_empty() {
                v6
            } else {
                v4
            }
        }
    };
    // There is one entry for each kind of socket.
    let mut seen = BTreeSet::new();
    let leads = chosen.into_iter().filter(|ip| seen.insert(*ip)).map(lead).collect();
    Ok(Found { leads, ttl: None })
}

fn lead(ip: IpAddr) -> Lead {
    Lead { ip, service: None }
}

/// The addresses of a name in the families wanted.
async fn addresses(
    resolver: &TokioResolver,
    host: &str,
    family: LookupFamily,
) -> Result<Found, LookupError> {
    let (v4, v6) = (RecordType::A, RecordType::AAAA);
    match family {
        LookupFamily::V4Only => of_type(resolver, host, v4).await,
        LookupFamily::V6Only => of_type(resolver, host, v6).await,
        LookupFamily::Auto => preferring(resolver, host, v6, v4).await,
        LookupFamily::V4Preferred => preferring(resolver, host, v4, v6).await,
        LookupFamily::All => {
            let (six, four) =
                tokio::join!(of_type(resolver, host, v6), of_type(resolver, host, v4));
            match (six, four) {
                (Ok(six), Ok(four)) => Ok(six.and(four)),
                // Half an answer is better than none, unless it is that there is nothing.
                (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.leads.is_empty() => Ok(found),
                (Err(error), _) | (_, Err(error)) => Err(error),
            }
        }
    }
}

async fn preferring(
    resolver: &TokioResolver,
    host: &str,
    first: RecordType,
    second: RecordType,
) -> Result<Found, LookupError> {
    let preferred = of_type(resolver, host, first).await;
    match preferred {
        Ok(found) if !found.leads.is_empty() => Ok(found),
        other => match of_type(resolver, host, second).await {
            Ok(found) if found.leads.is_empty() => other.and(Ok(found)),
            found => found,
        },
    }
}

/// The records of one type at the end of the aliases of a name.
async fn of_type(
    resolver: &TokioResolver,
    host: &str,
    kind: RecordType,
) -> Result<Found, LookupError> {
    let Some(records) = records(resolver, host, kind).await? else {
        return Ok(Found { leads: Vec::new(), ttl: None });
    };
    let leads = records.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(lead(IpAddr::V4(address.0))),
        RData::AAAA(address) => Some(lead(IpAddr::V6(address.0))),
        _ => None,
    });
    Ok(Found { leads: leads.collect(), ttl: shortest(&records) })
}

/// `None` when the servers know that there is nothing.
async fn records(
    resolver: &TokioResolver,
    host: &str,
    kind: RecordType,
) -> Result<Option<Vec<Record>>, LookupError> {
    match resolver.lookup(host, kind).await {
        Ok(found) => Ok(Some(found.answers().to_vec())),
        Err(error) if error.is_no_records_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// An answer holds as long as each record it is made of, aliases among them.
fn shortest(records: &[Record]) -> Option<Duration> {
    let ttl = records.iter().map(|record| Duration::from_secs(record.ttl.into())).min()?;
    (ttl < FIXED_TTL).then_some(ttl)
}

impl Found {
    /// Both answers together.
    fn and(mut self, other: Self) -> Self {
        self.leads.extend(other.leads);
        self.ttl = match (self.ttl, other.ttl) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self
    }
}

/// The targets of SRV records, each looked up in turn.
async fn service(
    resolver: &TokioResolver,
    host: &str,
    family: LookupFamily,
) -> Result<Found, LookupError> {
    let nothing = Found { leads: Vec::new(), ttl: None };
    let Some(records) = records(resolver, host, RecordType::SRV).await? else {
        return Ok(nothing);
    };
    let targets: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(target) => Some(target),
            _ => None,
        })
        .take(MOST_TARGETS)
        .collect();
    let priorities: BTreeSet<u16> = targets.iter().map(|target| target.priority).collect();
    let mut found = Found { ttl: shortest(&records), ..nothing };
    let mut failed = None;
    for target in targets {
        let rank = priorities.iter().position(|priority| *priority == target.priority);
        let service = ServiceRecord {
            port: target.port,
            weight: target.weight,
            rank: rank.and_then(|rank| u16::try_from(rank).ok()).unwrap_or(u16::MAX),
        };
        match addresses(resolver, &target.target.to_utf8(), family).await {
            Ok(mut of_target) => {
                for lead in &mut of_target.leads {
                    lead.service = Some(service);
                }
                found = found.and(of_target);
            }
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if found.leads.is_empty() => Err(error),
        _ => Ok(found),
    }
}
