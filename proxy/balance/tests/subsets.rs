//! Subsets by labels: which hosts a request may go to.

use std::{net::SocketAddr, sync::Arc};

use proptest::prelude::*;
use weft_balance::{
    Balancer, Chosen, Criteria, EndpointAddress, EndpointState, Fallback, Group, Host, Label,
    Policy, Selector, SelectorFallback, Settings, SubsetRules, Subsets,
};

fn host(port: u16, labels: &[(&str, &str)]) -> Host {
    let address = EndpointAddress::Ip(SocketAddr::from(([127, 0, 0, 1], port)));
    let label = |(key, value): &(&str, &str)| Label {
        key: Arc::from(*key),
        value: Arc::from(*value),
        items: value.contains('|').then(|| value.split('|').map(Arc::from).collect()),
    };
    Host { labels: labels.iter().map(label).collect(), ..Host::new(EndpointState::new(address)) }
}

fn selector(keys: &[&str], fallback: Option<SelectorFallback>) -> Selector {
    Selector { keys: keys.iter().map(|key| Box::from(*key)).collect(), fallback }
}

fn rules(fallback: Fallback, selectors: Vec<Selector>) -> SubsetRules {
    SubsetRules {
        selectors,
        fallback,
        default_subset: asked(&[("stage", "prod")]),
        keeps_locality_weights: false,
        any_on_panic: false,
        list_as_any: false,
    }
}

fn asked(labels: &[(&str, &str)]) -> Criteria {
    Criteria::new(labels.iter().map(|(key, value)| (Arc::from(*key), Arc::from(*value))))
}

fn divide(rules: &SubsetRules, hosts: Vec<Host>) -> Subsets {
    let group = Group::new(Policy::RoundRobin, 140, hosts);
    Subsets::new(rules, &group, Settings::default())
}

/// Ports of the hosts that picks reach.
fn ports(balancer: Option<&Balancer>) -> Vec<u16> {
    let Some(balancer) = balancer else { return Vec::new() };
    let mut ports: Vec<u16> = (0..200)
        .filter_map(|random| match balancer.pick(random)?.endpoint.address() {
            EndpointAddress::Ip(address) => Some(address.port()),
            _ => None,
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The hosts of the example in Envoy's documentation of subsets.
fn seven() -> Vec<Host> {
    vec![
        host(1, &[("stage", "prod"), ("version", "1.0"), ("type", "std"), ("xlarge", "true")]),
        host(2, &[("stage", "prod"), ("version", "1.0"), ("type", "std")]),
        host(3, &[("stage", "prod"), ("version", "1.1"), ("type", "std")]),
        host(4, &[("stage", "prod"), ("version", "1.1"), ("type", "std")]),
        host(5, &[("stage", "prod"), ("version", "1.0"), ("type", "bigmem")]),
        host(6, &[("stage", "prod"), ("version", "1.1"), ("type", "bigmem")]),
        host(7, &[("stage", "dev"), ("version", "1.2-pre"), ("type", "std")]),
    ]
}

#[test]
fn the_documented_example() {
    let selectors = vec![
        selector(&["stage", "type"], None),
        selector(&["stage", "version"], None),
        selector(&["version"], None),
        selector(&["version", "xlarge"], None),
    ];
    let subsets = divide(&rules(Fallback::Default, selectors), seven());
    assert_eq!(subsets.count(), 10);
    for (labels, expected) in [
        (&[("stage", "prod"), ("type", "std")][..], &[1, 2, 3, 4][..]),
        (&[("type", "bigmem"), ("stage", "prod")], &[5, 6]),
        (&[("stage", "dev"), ("version", "1.2-pre")], &[7]),
        (&[("version", "1.0")], &[1, 2, 5]),
        (&[("version", "1.0"), ("xlarge", "true")], &[1]),
    ] {
        let chosen = subsets.choose(Some(&asked(labels)));
        assert!(matches!(chosen, Chosen::Subset(_)), "{labels:?}");
        assert_eq!(ports(chosen.balancer()), expected, "{labels:?}");
    }
    // No selector is for these names, or no host has these values: the default subset.
    for labels in [&[("type", "std")][..], &[("version", "9")], &[]] {
        let chosen = subsets.choose(Some(&asked(labels)));
        assert!(matches!(chosen, Chosen::Fallback(_)), "{labels:?}");
        assert_eq!(ports(chosen.balancer()), [1, 2, 3, 4, 5, 6]);
    }
    assert_eq!(ports(subsets.choose(None).balancer()), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn each_fallback_of_a_cluster() {
    let by_version = || vec![selector(&["version"], None)];
    let reached = |fallback| {
        let subsets = divide(&rules(fallback, by_version()), seven());
        ports(subsets.choose(Some(&asked(&[("version", "9")]))).balancer())
    };
    assert_eq!(reached(Fallback::None), []);
    assert_eq!(reached(Fallback::Any), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(reached(Fallback::Default), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_selector_has_a_fallback_of_its_own() {
    let fewer = SelectorFallback::Fewer(Box::new([Box::from("stage")]));
    let selectors = vec![
        selector(&["stage"], Some(SelectorFallback::To(Fallback::None))),
        selector(&["stage", "version"], Some(fewer)),
        selector(&["type"], Some(SelectorFallback::To(Fallback::Any))),
        selector(&["version"], Some(SelectorFallback::To(Fallback::Default))),
    ];
    let subsets = divide(&rules(Fallback::None, selectors), seven());
    let reached = |labels: &[_]| ports(subsets.choose(Some(&asked(labels))).balancer());
    assert_eq!(reached(&[("stage", "dev"), ("version", "1.0")]), [7], "its stage alone");
    assert_eq!(reached(&[("stage", "none"), ("version", "1.0")]), [], "no such stage either");
    assert_eq!(reached(&[("type", "none")]), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(reached(&[("version", "none")]), [1, 2, 3, 4, 5, 6]);
    assert_eq!(reached(&[("xlarge", "true")]), [], "no selector: the cluster's");
}

#[test]
fn any_host_is_better_than_an_empty_fallback() {
    let hosts = || vec![host(1, &[("stage", "dev")]), host(2, &[])];
    let without = rules(Fallback::Default, vec![selector(&["stage"], None)]);
    assert_eq!(ports(divide(&without, hosts()).choose(None).balancer()), []);
    let with = SubsetRules { any_on_panic: true, ..without };
    let subsets = divide(&with, hosts());
    assert!(matches!(subsets.choose(None), Chosen::Panic(_)));
    assert_eq!(ports(subsets.choose(None).balancer()), [1, 2]);
}

#[test]
fn lists_are_one_value_or_several() {
    let hosts = || vec![host(1, &[("version", "a|b")]), host(2, &[("version", "b")])];
    let whole = rules(Fallback::None, vec![selector(&["version"], None)]);
    let each = SubsetRules { list_as_any: true, ..whole.clone() };
    let reached = |rules: &_, value| {
        ports(divide(rules, hosts()).choose(Some(&asked(&[("version", value)]))).balancer())
    };
    assert_eq!(reached(&whole, "a|b"), [1]);
    assert_eq!(reached(&whole, "b"), [2]);
    assert_eq!(reached(&each, "a"), [1]);
    assert_eq!(reached(&each, "b"), [1, 2]);
    assert_eq!(reached(&each, "a|b"), []);
}

#[test]
fn weights_of_localities_hold_in_subsets_where_that_is_said() {
    let weighted = |port, weight| Host { locality_weight: weight, ..host(port, &[("v", "1")]) };
    let hosts = || vec![weighted(1, Some(1)), weighted(2, None)];
    let without = rules(Fallback::None, vec![selector(&["v"], None)]);
    let with = SubsetRules { keeps_locality_weights: true, ..without.clone() };
    let reached =
        |rules: &_| ports(divide(rules, hosts()).choose(Some(&asked(&[("v", "1")]))).balancer());
    assert_eq!(reached(&without), [1, 2]);
    assert_eq!(reached(&with), [1], "a locality without a weight takes nothing");
}

#[test]
fn looking_up_a_subset_does_not_allocate() {
    let fewer = SelectorFallback::Fewer(Box::new([Box::from("stage")]));
    let selectors = vec![selector(&["stage"], None), selector(&["stage", "version"], Some(fewer))];
    let subsets = divide(&rules(Fallback::Default, selectors), seven());
    let found = asked(&[("stage", "prod"), ("version", "1.0")]);
    let fewer = asked(&[("stage", "dev"), ("version", "1.0")]);
    let other = asked(&[("shape", "round")]);
    let counted = allocation_counter::measure(|| {
        for random in 0..1_000 {
            for asked in [Some(&found), Some(&fewer), Some(&other), None] {
                let balancer = subsets.choose(asked).balancer().unwrap();
                assert!(balancer.pick(random).is_some());
            }
        }
    });
    assert_eq!(counted.count_total, 0);
}

proptest! {
    /// Whatever hosts say and requests ask: a subset has exactly the hosts with what is asked for.
    #[test]
    fn subsets_are_the_hosts_with_these_labels(
        hosts in prop::collection::vec((0u8..3, 0u8..3), 0..12),
        (a, b) in (0u8..3, 0u8..3),
    ) {
        let text = |value: u8| value.to_string();
        let made = (1..).zip(&hosts).map(|(port, (a, b))| {
            host(port, &[("a", &text(*a)), ("b", &text(*b))])
        });
        let rules = rules(Fallback::None, vec![selector(&["a", "b"], None)]);
        let subsets = divide(&rules, made.collect());
        let expected: Vec<u16> =
            (1..).zip(&hosts).filter(|(_, host)| **host == (a, b)).map(|(port, _)| port).collect();
        let asked = asked(&[("b", &text(b)), ("a", &text(a))]);
        prop_assert_eq!(ports(subsets.choose(Some(&asked)).balancer()), expected);
    }
}
