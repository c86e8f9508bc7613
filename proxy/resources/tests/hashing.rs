//! Policies that hash, as they come by enum and by extension.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use prost::Message;
use weft_proto::{json::from_yaml, pb::envoy::config::cluster::v3::Cluster as Wire};
use weft_resources::{
    Balancing, Cluster, ConsistentHashing, HashTable, LocalityWeights, Picker, decode,
};

fn read(fields: &str) -> Result<Balancing, String> {
    let wire = from_yaml::<Wire>(&format!("{{name: a, {fields}}}")).unwrap();
    decode::<Cluster>(&wire.encode_to_vec())
        .map(|decoded| decoded.resource.balancing)
        .map_err(|reasons| reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn typed(policy: &str, fields: &str) -> Result<Balancing, String> {
    let name = if policy == "Maglev" { "maglev" } else { "ring_hash" };
    let type_url =
        format!("type.googleapis.com/envoy.extensions.load_balancing_policies.{name}.v3.{policy}");
    read(&format!(
        "load_balancing_policy: {{policies: [{{typed_extension_config: {{name: p, \
         typed_config: {{'@type': '{type_url}', {fields}}}}}}}]}}"
    ))
}

fn hashing(balancing: Result<Balancing, String>) -> ConsistentHashing {
    match balancing.unwrap().picker {
        Picker::Hashed(hashing) => hashing,
        other => panic!("{other:?} does not hash"),
    }
}

#[test]
fn rings_and_tables_are_read() {
    let ring = |least, most| HashTable::Ring { least, most };
    let maglev = |size| HashTable::Maglev { size };
    assert_eq!(hashing(read("lb_policy: RING_HASH")).table, ring(1024, 8 << 20));
    assert_eq!(hashing(typed("RingHash", "")).table, ring(1024, 8 << 20));
    let sizes = "minimum_ring_size: 7, maximum_ring_size: 9, hash_function: XX_HASH";
    let by_enum = read(&format!("lb_policy: RING_HASH, ring_hash_lb_config: {{{sizes}}}"));
    assert_eq!(hashing(by_enum).table, ring(7, 9));
    assert_eq!(hashing(typed("RingHash", sizes)).table, ring(7, 9));
    assert_eq!(hashing(read("lb_policy: MAGLEV")).table, maglev(65_537));
    let by_enum = read("lb_policy: MAGLEV, maglev_lb_config: {table_size: 11}");
    assert_eq!(hashing(by_enum).table, maglev(11));
    assert_eq!(hashing(typed("Maglev", "table_size: 11")).table, maglev(11));

    let by_name = "consistent_hashing_lb_config: {use_hostname_for_hashing: true}";
    for policy in ["RING_HASH", "MAGLEV"] {
        let common = format!("lb_policy: {policy}, common_lb_config: {{{by_name}}}");
        assert!(hashing(read(&common)).by_hostname);
        assert!(!hashing(read(&format!("lb_policy: {policy}"))).by_hostname);
    }
    for policy in ["RingHash", "Maglev"] {
        assert!(hashing(typed(policy, by_name)).by_hostname);
        let weighted = typed(policy, "locality_weighted_lb_config: {}").unwrap();
        assert_eq!(weighted.localities, LocalityWeights::Followed);
        assert_eq!(typed(policy, "").unwrap().localities, LocalityWeights::Ignored);
    }
    assert!(hashing(typed("RingHash", "use_hostname_for_hashing: true")).by_hostname);
}

#[test]
fn what_cannot_be_built_is_refused() {
    let refused = [
        ("RING_HASH, ring_hash_lb_config: {minimum_ring_size: 9, maximum_ring_size: 7}", "minimum"),
        ("RING_HASH, ring_hash_lb_config: {maximum_ring_size: 9000000}", "maximum_ring_size"),
        ("RING_HASH, ring_hash_lb_config: {hash_function: MURMUR_HASH_2}", "MURMUR_HASH_2"),
        ("MAGLEV, maglev_lb_config: {table_size: 10}", "prime numbers"),
        ("MAGLEV, maglev_lb_config: {table_size: 5000017}", "table_size"),
    ];
    for (fields, told) in refused {
        let reasons = read(&format!("lb_policy: {fields}")).unwrap_err();
        assert!(reasons.contains(told), "{fields}: {reasons}");
    }
    let policy = "consistent_hashing_lb_config: {hash_policy: [{query_parameter: {name: q}}]}";
    assert!(typed("Maglev", policy).unwrap_err().contains("hash_policy"));
}
