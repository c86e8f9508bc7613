//! One particular host, for requests that ask for it.

use std::sync::OnceLock;

use crate::{
    balancer::{Balancer, Picked},
    endpoint::EndpointAddress,
    host::{Health, Host},
    zone::ZoneRouting,
};

/// Some of the states that an endpoint may be in (`core.v3.HealthStatusSet`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses(u8);

impl Statuses {
    /// Whether this is one of them.
    pub fn has(self, health: Health) -> bool {
        self.0 & Self::bit(health) != 0
    }

    fn bit(health: Health) -> u8 {
        match health {
            Health::Unknown => 1,
            Health::Healthy => 1 << 1,
            Health::Unhealthy => 1 << 2,
            Health::Draining => 1 << 3,
            Health::Timeout => 1 << 4,
            Health::Degraded => 1 << 5,
        }
    }
}

impl FromIterator<Health> for Statuses {
    fn from_iter<T: IntoIterator<Item = Health>>(healths: T) -> Self {
        Self(healths.into_iter().fold(0, |bits, health| bits | Self::bit(health)))
    }
}

impl Default for Statuses {
    /// Those of a host that may take requests (`override_host_status`, where that is not set).
    fn default() -> Self {
        [Health::Unknown, Health::Healthy, Health::Degraded].into_iter().collect()
    }
}

/// What there is where a request asks for one host.
#[derive(Clone, Copy, Debug)]
pub enum Sought<'a> {
    /// This is it.
    Found(Picked<'a>),
    /// It is in a state in which it is not to be used.
    Unfit,
    /// No host has this address.
    Missing,
}

/// Which host has which address. Made when the first request asks: nearly no cluster needs it.
#[derive(Debug, Default)]
pub(crate) struct Directory(OnceLock<Box<[u32]>>);

impl Directory {
    /// The first host that has this address.
    fn find(&self, hosts: &[Host], address: &EndpointAddress) -> Option<usize> {
        let at = |index: u32| hosts.get(index as usize).map(|host| host.endpoint.address());
        let sorted = self.0.get_or_init(|| {
            let mut all: Vec<u32> = (0..u32::try_from(hosts.len()).unwrap_or(u32::MAX)).collect();
            all.sort_by_key(|index| (at(*index), *index));
            all.into_boxed_slice()
        });
        let first = sorted.partition_point(|index| at(*index) < Some(address));
        let found = *sorted.get(first)?;
        (at(found) == Some(address)).then_some(found as usize)
    }
}

impl Balancer {
    /// The host at this address, where its state is one of `usable` now: whatever balancing would
    /// have chosen.
    pub fn seek(&self, address: &EndpointAddress, usable: Statuses) -> Sought<'_> {
        let Some(index) = self.directory.find(&self.hosts, address) else { return Sought::Missing };
        let Some(host) = self.hosts.get(index) else { return Sought::Missing };
        if !usable.has(host.health_now()) {
            return Sought::Unfit;
        }
        let group = self.group_ends.partition_point(|end| *end as usize <= index);
        Sought::Found(Picked {
            endpoint: &host.endpoint,
            group,
            panicking: false,
            routing: ZoneRouting::Off,
            is_near: self.near.get(index).copied().unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{EndpointState, Group, Policy, Settings, standing::Verdict};

    fn address(port: u16) -> EndpointAddress {
        EndpointAddress::Ip(([127, 0, 0, 1], port).into())
    }

    fn host(port: u16) -> Host {
        Host::new(EndpointState::new(address(port)))
    }

    fn port_of(sought: Sought<'_>) -> Option<(u16, usize)> {
        match sought {
            Sought::Found(picked) => match picked.endpoint.address() {
                EndpointAddress::Ip(at) => Some((at.port(), picked.group)),
                _ => None,
            },
            _ => None,
        }
    }

    #[test]
    fn every_host_is_found_with_its_group() {
        let group = |ports: &[u16]| {
            Group::new(Policy::Random, 140, ports.iter().map(|port| host(*port)).collect())
        };
        let groups = vec![group(&[9, 3]), group(&[]), group(&[7, 3, 1])];
        let balancer = Balancer::of_groups(groups, Settings::default());
        let of = |port| port_of(balancer.seek(&address(port), Statuses::default()));
        assert_eq!(of(9), Some((9, 0)));
        assert_eq!(of(3), Some((3, 0)), "the first of those that have it");
        assert_eq!(of(7), Some((7, 2)));
        assert_eq!(of(1), Some((1, 2)));
        assert!(matches!(balancer.seek(&address(2), Statuses::default()), Sought::Missing));
        let nobody = Balancer::new(Policy::Random, Vec::new());
        assert!(matches!(nobody.seek(&address(1), Statuses::default()), Sought::Missing));
    }

    #[test]
    fn the_state_of_the_moment_decides() {
        let seen = host(1);
        let endpoint = Arc::clone(&seen.endpoint);
        let sick = Host { health: Health::Draining, ..host(2) };
        let balancer = Balancer::new(Policy::RoundRobin, vec![seen, sick]);
        let of = |port, usable| port_of(balancer.seek(&address(port), usable)).is_some();
        assert!(of(1, Statuses::default()));
        // The balancer was made before; what is asked for is a live host.
        endpoint.judge(Verdict::Ejected, true);
        assert!(!of(1, Statuses::default()));
        assert!(of(1, [Health::Unhealthy].into_iter().collect()));
        assert!(!of(2, Statuses::default()));
        assert!(of(2, [Health::Draining].into_iter().collect()));
        assert!(!of(2, [].into_iter().collect()));
    }
}
