//! Clusters divided by the metadata of their endpoints.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use prost::Message;
use weft_proto::{json::from_yaml, pb::envoy::config::cluster::v3::Cluster as Wire};
use weft_resources::{Cluster, SelectorFallback, SubsetConfig, SubsetFallback, decode};

fn read(config: &str) -> Result<Option<SubsetConfig>, String> {
    cluster(&format!("lb_subset_config: {{{config}}}"))
}

fn cluster(fields: &str) -> Result<Option<SubsetConfig>, String> {
    let wire = from_yaml::<Wire>(&format!("{{name: a, {fields}}}")).unwrap();
    decode::<Cluster>(&wire.encode_to_vec())
        .map(|decoded| decoded.resource.subsets)
        .map_err(|reasons| reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn rules_are_read() {
    let rules = read(
        "fallback_policy: DEFAULT_SUBSET, default_subset: {stage: prod}, list_as_any: true, \
         panic_mode_any: true, locality_weight_aware: true, subset_selectors: [\
         {keys: [b, a], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [a]}, {keys: [a]}, \
         {keys: [c], fallback_policy: ANY_ENDPOINT}]",
    );
    let rules = rules.unwrap().unwrap();
    assert_eq!(rules.fallback, SubsetFallback::Default);
    assert_eq!(&*rules.default_subset["stage"].text, "\"prod\"");
    assert!(rules.list_as_any && rules.panic_mode_any && rules.locality_weight_aware);
    let [both, one, other] = &rules.selectors[..] else { panic!("{:?}", rules.selectors) };
    assert_eq!(both.keys, [Box::from("a"), Box::from("b")]);
    assert_eq!(both.fallback, Some(SelectorFallback::Keys(vec![Box::from("a")])));
    assert_eq!(one.fallback, None);
    assert_eq!(other.fallback, Some(SelectorFallback::To(SubsetFallback::Any)));
}

#[test]
fn without_selectors_there_are_no_subsets() {
    assert_eq!(read("fallback_policy: DEFAULT_SUBSET"), Ok(None));
    assert_eq!(cluster("lb_policy: RANDOM"), Ok(None));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let own = |fields: &str| format!("subset_selectors: [{{keys: [a, b], {fields}}}]");
    for (config, path) in [
        ("subset_selectors: [{}]".to_owned(), "subset_selectors[0].keys"),
        (own("fallback_policy: KEYS_SUBSET"), "subset_selectors[0].fallback_keys_subset"),
        (
            own("fallback_policy: KEYS_SUBSET, fallback_keys_subset: [c]"),
            "subset_selectors[0].fallback_keys_subset",
        ),
        (
            own("fallback_policy: KEYS_SUBSET, fallback_keys_subset: [a, b]"),
            "subset_selectors[0].fallback_keys_subset",
        ),
        (own("fallback_keys_subset: [a]"), "subset_selectors[0].fallback_keys_subset"),
        (own("single_host_per_subset: true"), "subset_selectors[0].single_host_per_subset"),
        ("scale_locality_weight: true".to_owned(), "scale_locality_weight"),
        ("metadata_fallback_policy: FALLBACK_LIST".to_owned(), "metadata_fallback_policy"),
    ] {
        let reasons = read(&config).unwrap_err();
        assert!(reasons.contains(&format!("lb_subset_config.{path}")), "{config}: {reasons}");
    }
    let selector = "lb_subset_config: {subset_selectors: [{keys: [a]}]}";
    let reasons = cluster(&format!("lb_policy: CLUSTER_PROVIDED, {selector}")).unwrap_err();
    assert!(reasons.contains("CLUSTER_PROVIDED"), "{reasons}");
    let typed = "type.googleapis.com/envoy.extensions.load_balancing_policies.random.v3.Random";
    let policy = format!(
        "load_balancing_policy: {{policies: [{{typed_extension_config: {{name: p, typed_config: \
         {{'@type': '{typed}'}}}}}}]}}"
    );
    let reasons = cluster(&format!("{policy}, {selector}")).unwrap_err();
    assert!(reasons.contains("load_balancing_policy"), "{reasons}");
}
