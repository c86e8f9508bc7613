//! Names that clusters are found by, and where they lead.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use weft_resources::{Dns, DnsQuery, DnsRefresh, EndpointAddress};

/// What is to be looked up for a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// The name.
    pub host: Arc<str>,
    /// Whether it stands for SRV records.
    pub is_service: bool,
    /// How it is looked up.
    pub query: Arc<DnsQuery>,
}

impl Question {
    /// What to ask to find this endpoint; `None` for one that has an address.
    pub(crate) fn about(address: &EndpointAddress, query: &Arc<DnsQuery>) -> Option<Self> {
        let EndpointAddress::Named { host, .. } = address else { return None };
        let is_service = address.is_service();
        Some(Self { host: Arc::clone(host), is_service, query: Arc::clone(query) })
    }
}

/// Where a name leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The address.
    pub ip: IpAddr,
    /// What an SRV record said beside it.
    pub service: Option<ServiceRecord>,
}

/// What an SRV record says of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    /// The port.
    pub port: u16,
    /// How often it is used in comparison to others of its rank.
    pub weight: u16,
    /// Counts up from 0, the rank to be used first.
    pub rank: u16,
}

/// The outcome of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These leads; none if there are none.
    Leads(Vec<Lead>),
    /// Nobody could say. What was known before still holds.
    Failed,
}

/// What is to be looked up, by cluster, and what is known.
#[derive(Debug, Default)]
pub struct Names {
    by_cluster: BTreeMap<Arc<str>, OfCluster>,
    changes: u64,
}

#[derive(Debug)]
struct OfCluster {
    refresh: DnsRefresh,
    /// `None` until there was a first outcome.
    leads: BTreeMap<Question, Option<Arc<[Lead]>>>,
}

impl Names {
    /// Everything to be looked up: cluster, what, and when again.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Question, DnsRefresh)> {
        self.by_cluster.iter().flat_map(|(cluster, of)| {
            of.leads.keys().map(move |question| (cluster, question, of.refresh))
        })
    }

    /// Grows whenever something else is to be looked up than before.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Says what a cluster's good versions, the newest last, are found by from now on.
    pub(crate) fn replace<'d>(
        &mut self,
        cluster: &Arc<str>,
        versions: impl Iterator<Item = &'d Dns>,
    ) {
        let mut wanted = BTreeSet::new();
        let mut refresh = None;
        for dns in versions {
            let endpoints = dns.assignment.localities.iter().flat_map(|group| &group.endpoints);
            wanted.extend(endpoints.filter_map(|e| Question::about(&e.address, &dns.query)));
            refresh = Some(dns.refresh);
        }
        let Some(refresh) = refresh.filter(|_| !wanted.is_empty()) else {
            if self.by_cluster.remove(cluster).is_some() {
                self.changes += 1;
            }
            return;
        };
        let of = self
            .by_cluster
            .entry(Arc::clone(cluster))
            .or_insert_with(|| OfCluster { refresh, leads: BTreeMap::new() });
        if of.refresh != refresh || !of.leads.keys().eq(&wanted) {
            self.changes += 1;
        }
        of.refresh = refresh;
        of.leads.retain(|question, _| wanted.contains(question));
        for question in wanted {
            of.leads.entry(question).or_default();
        }
    }

    /// Whether there was an outcome for each name of a cluster, or none is waited for.
    pub(crate) fn are_settled(&self, cluster: &str, dns: &Dns) -> bool {
        let endpoints = dns.assignment.localities.iter().flat_map(|group| &group.endpoints);
        let mut questions = endpoints.filter_map(|e| Question::about(&e.address, &dns.query));
        !dns.waits_for_names || questions.all(|question| self.known(cluster, &question).is_some())
    }

    /// Takes an outcome in. Returns whether there is news.
    pub(crate) fn answer(&mut self, cluster: &str, question: &Question, answer: Answer) -> bool {
        let of = self.by_cluster.get_mut(cluster);
        let Some(held) = of.and_then(|of| of.leads.get_mut(question)) else { return false };
        let leads: Arc<[Lead]> = match (answer, &held) {
            (Answer::Leads(leads), _) => leads.into(),
            (Answer::Failed, None) => Arc::default(),
            (Answer::Failed, Some(_)) => return false,
        };
        if held.as_deref() == Some(&*leads) {
            return false;
        }
        *held = Some(leads);
        true
    }

    /// Where a name leads, as far as that is known.
    pub(crate) fn leads(&self, cluster: &str, question: &Question) -> Arc<[Lead]> {
        self.known(cluster, question).cloned().unwrap_or_default()
    }

    fn known(&self, cluster: &str, question: &Question) -> Option<&Arc<[Lead]>> {
        self.by_cluster.get(cluster)?.leads.get(question)?.as_ref()
    }
}
