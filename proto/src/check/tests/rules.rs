//! Each kind of validation rule at a field of Envoy's that has it; `rule` tests those that
//! no field within reach has.

use super::*;

/// A route configuration of one route.
fn route(route: &str) -> String {
    format!("{{virtual_hosts: [{{name: v, domains: [\"*\"], routes: [{route}]}}]}}")
}

/// The refusal of a part of that route.
fn at(part: &str) -> String {
    format!("! virtual_hosts[0].routes[0].{part}")
}

#[test]
fn what_is_absent_counts_as_its_default() {
    // string.min_len, of a field that is absent
    expect::<ClusterLoadAssignment>("{}", &["! cluster_name: must not be empty"]);
}

#[test]
fn whole_numbers_are_bounded() {
    // uint32.lte, uint32.gte in a wrapper
    expect::<ClusterLoadAssignment>(
        "{cluster_name: c, endpoints: [{priority: 128, load_balancing_weight: 1}]}",
        &[],
    );
    expect::<ClusterLoadAssignment>(
        "{cluster_name: c, endpoints: [{priority: 129, load_balancing_weight: 0}]}",
        &[
            "! endpoints[0].load_balancing_weight: must be at least 1",
            "! endpoints[0].priority: must be at most 128",
        ],
    );
    // uint32.gt
    expect::<ClusterLoadAssignment>(
        "{cluster_name: c, endpoints: [], policy: {overprovisioning_factor: 0}}",
        &["! policy.overprovisioning_factor: must be at least 1"],
    );
    // uint32.lt, uint32.gte of what is absent
    for (status, said) in [(600, "must be at most 599"), (199, "must be at least 200")] {
        expect::<RouteConfiguration>(
            &route(&format!("{{match: {{prefix: /}}, direct_response: {{status: {status}}}}}")),
            &[&at(&format!("direct_response.status: {said}"))],
        );
    }
    expect::<RouteConfiguration>(
        &route("{match: {prefix: /}, direct_response: {}}"),
        &[&at("direct_response.status: must be set")],
    );
}

#[test]
fn durations_are_bounded_and_required() {
    // duration.gt, with and below zero
    expect::<Cluster>("{name: a, connect_timeout: 0.000000001s}", &[]);
    for zero in ["0s", "-1s"] {
        expect::<Cluster>(
            &format!("{{name: a, connect_timeout: {zero}}}"),
            &["! connect_timeout: must be more than 0s"],
        );
    }
    // duration.gte and duration.required
    let wait = |interval: &str| {
        format!(
            "{{match: {{prefix: /}}, route: {{cluster: c, retry_policy: {{retry_back_off: {{{interval}}}}}}}}}"
        )
    };
    expect::<RouteConfiguration>(&route(&wait("base_interval: 0.001s")), &[]);
    expect::<RouteConfiguration>(
        &route(&wait("base_interval: 0s")),
        &[&at("route.retry_policy.retry_back_off.base_interval: must be more than 0s")],
    );
    expect::<RouteConfiguration>(
        &route(&wait("")),
        &[&at("route.retry_policy.retry_back_off.base_interval: is required")],
    );
}

#[test]
fn messages_and_oneofs_are_required() {
    // message.required, oneof.required
    expect::<RouteConfiguration>(
        &route("{match: {prefix: /}, direct_response: {status: 200}}"),
        &[],
    );
    expect::<RouteConfiguration>(
        &route("{}"),
        &[
            &at(
                "action: is required: one of route, redirect, direct_response, filter_action, non_forwarding_action",
            ),
            &at("match: is required"),
        ],
    );
    // any.required
    expect::<Cluster>(
        "{name: a, load_balancing_policy: {policies: [{typed_extension_config: {name: x}}]}}",
        &["! load_balancing_policy.policies[0].typed_extension_config.typed_config: is required"],
    );
}

#[test]
fn texts_have_their_shape() {
    // string.pattern
    expect::<RouteConfiguration>(
        &route("{match: {path_separated_prefix: /a/}, direct_response: {status: 200}}"),
        &[&at(
            "match.path_separated_prefix: must have at least 2 characters, no `?` or `#`, and not end with `/`",
        )],
    );
    // string.well_known_regex, repeated.items
    expect::<RouteConfiguration>(
        &route(
            "{match: {prefix: /}, direct_response: {status: 200}, request_headers_to_remove: [ok, \"\", \"a\\nb\"]}",
        ),
        &[
            &at("request_headers_to_remove[1]: must not be empty"),
            &at("request_headers_to_remove[2]: must not contain NUL, CR or LF"),
        ],
    );
    // string.max_bytes and bytes.max_len
    let (long, more) = ("a".repeat(16_385), "aaaa".repeat(5_462));
    expect::<RouteConfiguration>(
        &format!("{{request_headers_to_add: [{{header: {{key: {long}, raw_value: {more}}}}}]}}"),
        &[
            "! request_headers_to_add[0].header.key: must have at most 16384 bytes",
            "! request_headers_to_add[0].header.raw_value: must have at most 16384 bytes",
        ],
    );
}

#[test]
fn one_value_only_few_elements_and_shares() {
    // bool.const, repeated.min_items, double.gte and lte, map.keys
    expect::<Bootstrap>("{stats_flush_on_admin: true}", &[]);
    expect::<Bootstrap>("{stats_flush_on_admin: false}", &["! stats_flush_on_admin: must be true"]);
    expect::<VirtualHost>("{name: v}", &["! domains: must not be empty"]);
    for (value, said) in [(101, "must be at most 100"), (-1, "must be at least 0")] {
        expect::<Cluster>(
            &format!(
                "{{name: a, common_lb_config: {{healthy_panic_threshold: {{value: {value}}}}}}}"
            ),
            &[&format!("! common_lb_config.healthy_panic_threshold.value: {said}")],
        );
    }
    expect::<Cluster>("{name: a, metadata: {filter_metadata: {k: {}}}}", &[]);
    expect::<Cluster>(
        "{name: a, metadata: {filter_metadata: {\"\": {}}}}",
        &["! metadata.filter_metadata[\"\"]: its key must not be empty"],
    );
    // repeated.max_items
    let headers = vec!["{header: {key: a, value: b}}"; 1001].join(", ");
    expect::<RouteConfiguration>(
        &format!("{{request_headers_to_add: [{headers}]}}"),
        &["! request_headers_to_add: must have at most 1000 elements, has 1001"],
    );
}

#[test]
fn what_is_only_warned_about_must_be_sound_too() {
    // enum.defined_only and message.required below a field that is only warned about
    expect::<Cluster>(
        "{name: a, health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, \
         tcp_health_check: {}, event_service: {}}]}",
        &[
            "? health_checks[0].event_service: not supported: events that are sent to a service",
            "! health_checks[0].event_service.config_source_specifier: is required: one of grpc_service",
        ],
    );
    expect::<Cluster>(
        "{name: a, circuit_breakers: {thresholds: [{priority: 7}]}}",
        &[
            "! circuit_breakers.thresholds[0].priority: 7 is not supported; supported: DEFAULT, HIGH",
            "! circuit_breakers.thresholds[0].priority: must be a value that is defined",
        ],
    );
}

#[test]
fn lists_have_no_element_twice() {
    // repeated.unique, repeated.items.double.gt, in a packed list
    expect::<Bootstrap>(
        "{stats_config: {histogram_bucket_settings: [{match: {prefix: a}, buckets: [1, 2]}]}}",
        &["? stats_config: not supported: tags and a choice of statistics"],
    );
    expect::<Bootstrap>(
        "{stats_config: {histogram_bucket_settings: [{match: {prefix: a}, buckets: [1, 2, 1, 0]}]}}",
        &[
            "? stats_config: not supported: tags and a choice of statistics",
            "! stats_config.histogram_bucket_settings[0].buckets: must not have an element twice",
            "! stats_config.histogram_bucket_settings[0].buckets[3]: must be more than 0",
        ],
    );
    // The same in one packed occurrence, as other encoders write it.
    let doubles: Vec<u8> =
        [1.0_f64, 0.0, 1.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut bytes = Vec::new();
    for (number, within) in [(2, doubles), (4, Vec::new()), (13, Vec::new())] {
        let content = if bytes.is_empty() { within } else { std::mem::take(&mut bytes) };
        wire::put(&mut bytes, number, wire::Value::Bytes(&content));
    }
    let lines: Vec<_> = check(type_url::BOOTSTRAP, &bytes).iter().map(line).collect();
    assert_eq!(
        lines[1..],
        [
            "! stats_config.histogram_bucket_settings[0].buckets: must not have an element twice",
            "! stats_config.histogram_bucket_settings[0].buckets[1]: must be more than 0",
            "! stats_config.histogram_bucket_settings[0].match: is required",
        ]
    );
}
