//! The hosts of a cluster: its endpoints, with the identities they had before.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use foldhash::fast::RandomState;
use weft_balance::{
    EndpointAddress, EndpointState, FULL_SPEED, Health, Host, Label, Locality, Verdict,
};
use weft_resources::{
    Address, Assignment, Cluster as Resource, Discovery, Dns, DnsKind, Endpoint,
    EndpointAddress as Configured, EndpointCheck, HealthStatus, LocalityEndpoints, LocalityWeights,
    Picker,
};

use crate::{
    checks::{self, CheckTarget},
    names::{Lead, Names, Question},
    subsets,
    tables::Cluster,
};

/// The endpoints of a cluster.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) hosts: Vec<Host>,
    /// Those that are to be checked.
    pub(crate) targets: Vec<CheckTarget>,
}

/// Makes hosts, with the endpoints of the previous version where their addresses are the same, if
/// connections to those may `carry` on.
pub(crate) fn hosts(
    resource: &Resource,
    assignment: &Assignment,
    names: &Names,
    previous: Option<&Cluster>,
    carry: bool,
) -> Made {
    let known = previous
        .into_iter()
        .flat_map(|previous| previous.balancer.hosts())
        .map(|host| (host.endpoint.address(), &host.endpoint))
        .collect();
    let count = assignment.localities.iter().map(|group| group.endpoints.len()).sum();
    let were_checked = previous.is_some_and(|previous| previous.checks.is_some());
    let made = HashSet::default();
    let targets = Vec::new();
    let mut making = Making { resource, names, known, carry, were_checked, made, targets };
    let mut hosts = Vec::with_capacity(count);
    for group in &assignment.localities {
        making.group(group, &mut hosts);
    }
    if carry && let Some(previous) = previous {
        making.keep_healthy(previous, &mut hosts);
    }
    // Weights are in parts of what a host takes as soon as one of them takes less.
    if hosts.iter().any(|host| host.endpoint.speed() < FULL_SPEED) {
        for host in &mut hosts {
            host.speed = Some(host.endpoint.speed());
        }
    }
    Made { hosts, targets: making.targets }
}

struct Making<'a> {
    resource: &'a Resource,
    names: &'a Names,
    known: HashMap<&'a EndpointAddress, &'a Arc<EndpointState>, RandomState>,
    /// Addresses there are already: several names may lead to one.
    made: HashSet<EndpointAddress, RandomState>,
    /// Whether those that are known stay the same endpoints.
    carry: bool,
    /// Whether they were checked.
    were_checked: bool,
    targets: Vec<CheckTarget>,
}

impl Making<'_> {
    fn group(&mut self, group: &LocalityEndpoints, hosts: &mut Vec<Host>) {
        let LocalityEndpoints { locality, priority, weight, endpoints } = group;
        let locality = Arc::new(Locality {
            region: locality.region.clone(),
            zone: locality.zone.clone(),
            sub_zone: locality.sub_zone.clone(),
        });
        let locality_weight = match self.resource.balancing.localities {
            LocalityWeights::Ignored => None,
            LocalityWeights::Followed => *weight,
        };
        for configured in endpoints {
            let labels = subsets::labels(configured.labels.as_deref());
            let template = Template {
                weight: configured.weight,
                health: health(configured.health),
                priority: *priority,
                locality: &locality,
                locality_weight,
                hash_key: self.hash_key(configured),
                labels: &labels,
                hostname: hostname(configured),
                check: configured.check.as_deref(),
            };
            self.endpoint(configured, &template, hosts);
        }
    }

    /// What an endpoint is placed by where requests are hashed, if not by its address.
    fn hash_key<'e>(&self, configured: &'e Endpoint) -> Option<&'e str> {
        let Picker::Hashed(hashing) = self.resource.balancing.picker else { return None };
        let key = configured.hash_key.as_deref();
        key.or_else(|| if hashing.by_hostname { hostname(configured) } else { None })
    }

    fn endpoint(&mut self, configured: &Endpoint, template: &Template<'_>, hosts: &mut Vec<Host>) {
        let dns = match &self.resource.discovery {
            Discovery::Dns(dns) => Some(dns),
            _ => None,
        };
        match (&configured.address, dns) {
            (Configured::Literal(Address::Ip(address)), _) => {
                let mut ways = vec![*address];
                ways.extend(&configured.alternatives);
                let ways = if ways.len() > 1 { ways } else { Vec::new() };
                self.add(EndpointAddress::Ip(*address), &ways, *template, hosts);
            }
            (Configured::Literal(Address::Pipe(path)), _) => {
                self.add(EndpointAddress::Pipe(path.clone()), &[], *template, hosts);
            }
            (Configured::Named { host, port }, Some(dns)) => {
                self.named((host, *port), &configured.address, dns, template, hosts);
            }
            // Names are read in clusters of a DNS type only.
            (Configured::Named { .. }, None) => {}
        }
    }

    fn named(
        &mut self,
        (host, port): (&Arc<str>, u16),
        address: &Configured,
        dns: &Dns,
        template: &Template<'_>,
        hosts: &mut Vec<Host>,
    ) {
        let Some(question) = Question::about(address, &dns.query) else { return };
        let leads = self.names.leads(self.resource.name.as_str(), &question);
        let at = |lead: &Lead| {
            SocketAddr::new(lead.ip, lead.service.map_or(port, |service| service.port))
        };
        match dns.kind {
            DnsKind::Logical if leads.is_empty() => {}
            DnsKind::Logical => {
                let ways: Vec<SocketAddr> = leads.iter().map(at).collect();
                let name = EndpointAddress::Name(Arc::from(format!("{host}:{port}")));
                self.add(name, &ways, *template, hosts);
            }
            DnsKind::Strict => {
                for lead in leads.iter() {
                    let mut made = *template;
                    if let Some(service) = lead.service {
                        made.weight = made.weight.saturating_mul(service.weight.max(1).into());
                        made.priority = made.priority.saturating_add(service.rank.into());
                    }
                    self.add(EndpointAddress::Ip(at(lead)), &[], made, hosts);
                }
            }
        }
    }

    fn add(
        &mut self,
        address: EndpointAddress,
        ways: &[SocketAddr],
        made: Template<'_>,
        hosts: &mut Vec<Host>,
    ) {
        if !self.made.insert(address.clone()) {
            return;
        }
        let endpoint = self.identity(address, made.check);
        endpoint.set_ways(ways);
        endpoint.set_hostname(made.hostname);
        let Template {
            weight, health, priority, locality, locality_weight, hash_key, labels, ..
        } = made;
        let hash_key = hash_key.map(Arc::from);
        let locality = Some(Arc::clone(locality));
        hosts.push(Host {
            standing: endpoint.standing(),
            endpoint,
            speed: None,
            weight,
            health,
            priority,
            locality,
            locality_weight,
            hash_key,
            labels: Arc::clone(labels),
        });
    }
}

impl Making<'_> {
    /// The endpoint that is at this address, with what is known of its health.
    fn identity(
        &mut self,
        address: EndpointAddress,
        check: Option<&EndpointCheck>,
    ) -> Arc<EndpointState> {
        let known = self.known.get(&address).copied();
        let endpoint = match known {
            Some(known) if self.carry => Arc::clone(known),
            _ => {
                let fresh = EndpointState::new(address);
                if let Some(slow_start) = &self.resource.balancing.slow_start {
                    fresh.set_speed(speed(slow_start.share(Duration::ZERO)));
                }
                fresh
            }
        };
        if self.resource.balancing.slow_start.is_none() {
            endpoint.set_speed(FULL_SPEED);
        }
        let is_checked =
            self.resource.health_check.is_some() && !check.is_some_and(|check| check.is_disabled);
        if !is_checked {
            checks::release(&endpoint);
            return endpoint;
        }
        match known.filter(|_| self.were_checked) {
            Some(known) => checks::inherit(&endpoint, known),
            None => checks::await_check(&endpoint, self.resource.ignore_new_until_checked),
        }
        endpoint.judge(Verdict::Leaving, false);
        self.targets.push(CheckTarget::new(Arc::clone(&endpoint), check));
        endpoint
    }

    /// Endpoints that are not listed any more stay while their checks pass.
    fn keep_healthy(&mut self, previous: &Cluster, hosts: &mut Vec<Host>) {
        let is_followed =
            matches!(self.resource.discovery, Discovery::Eds { .. } | Discovery::Dns(_));
        let Some(before) = previous.checks.as_ref() else { return };
        if !is_followed
            || self.resource.ignore_health_on_removal
            || self.resource.health_check.is_none()
        {
            return;
        }
        for host in previous.balancer.hosts() {
            let endpoint = &host.endpoint;
            let standing = endpoint.standing();
            let is_well = !standing.has(Verdict::FailedCheck)
                && !matches!(host.health, Health::Unhealthy | Health::Timeout | Health::Draining);
            let target = || before.targets.iter().find(|it| it.endpoint.id() == endpoint.id());
            if is_well
                && !self.made.contains(endpoint.address())
                && let Some(target) = target()
            {
                endpoint.judge(Verdict::Leaving, true);
                self.targets.push(target.clone());
                hosts.push(Host { standing: endpoint.standing(), ..host.clone() });
            }
        }
    }
}

/// A share of all that an endpoint could take, in the unit of [`EndpointState::speed`].
pub fn speed(share: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10,000")]
    let speed = (share.clamp(0.0, 1.0) * f64::from(FULL_SPEED)) as u32;
    speed
}

/// What the hosts of one configured endpoint have in common.
#[derive(Clone, Copy)]
struct Template<'a> {
    weight: u32,
    health: Health,
    priority: u32,
    locality: &'a Arc<Locality>,
    locality_weight: Option<u32>,
    hash_key: Option<&'a str>,
    labels: &'a Arc<[Label]>,
    hostname: Option<&'a str>,
    check: Option<&'a EndpointCheck>,
}

fn hostname(configured: &Endpoint) -> Option<&str> {
    match &configured.address {
        _ if !configured.hostname.is_empty() => Some(&configured.hostname),
        Configured::Named { host, .. } => Some(host),
        Configured::Literal(_) => None,
    }
}

pub(crate) fn health(status: HealthStatus) -> Health {
    match status {
        HealthStatus::Unknown => Health::Unknown,
        HealthStatus::Healthy => Health::Healthy,
        HealthStatus::Unhealthy => Health::Unhealthy,
        HealthStatus::Draining => Health::Draining,
        HealthStatus::Timeout => Health::Timeout,
        HealthStatus::Degraded => Health::Degraded,
    }
}
