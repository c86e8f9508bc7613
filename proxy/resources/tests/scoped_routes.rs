//! Reading `scoped_routes`.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use prost::Message;
use weft_proto::{json::from_yaml, pb::envoy::config::listener::v3::Listener as Wire};
use weft_resources::{Listener, decode};

/// The reasons why a listener with these scopes is refused, and what is said against it else.
fn read(builder: &str, scopes: &[&str]) -> (Vec<String>, Vec<String>) {
    let list = scopes.join(", ");
    let text = format!(
        "{{name: a, address: {{socket_address: {{address: 127.0.0.1, port_value: 1}}}}, filter_chains: [{{filters: [{{
          name: http, typed_config: {{
            \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,
            stat_prefix: a, http_filters: [{{name: router, typed_config: {{
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}],
            scoped_routes: {{name: s, scope_key_builder: {builder},
              scoped_route_configurations_list: {{scoped_route_configurations: [{list}]}}}}}}}}]}}]}}"
    );
    let bytes = from_yaml::<Wire>(&text).unwrap().encode_to_vec();
    let last = |path: &str| path.rsplit_once("scoped_routes.").unwrap().1.to_owned();
    match decode::<Listener>(&bytes) {
        Ok(read) => {
            let said = read.warnings.iter().map(|warning| last(&warning.path));
            (Vec::new(), said.collect())
        }
        Err(reasons) => {
            let reasons = reasons.iter();
            let said = reasons.map(|it| format!("{}: {}", last(&it.path), it.problem));
            (said.collect(), Vec::new())
        }
    }
}

const BUILDER: &str =
    "{fragments: [{header_value_extractor: {name: x-a, element_separator: \",\", index: 1}}]}";

fn scope(name: &str, key: &[&str]) -> String {
    let parts = key.iter().map(|part| format!("{{string_key: {part:?}}}"));
    let parts: Vec<String> = parts.collect();
    format!(
        "{{name: {name}, key: {{fragments: [{}]}}, route_configuration: {{name: r}}}}",
        parts.join(", ")
    )
}

#[test]
fn scopes_differ_in_name_and_key() {
    let good = [scope("one", &["a"]), scope("two", &["b"])];
    assert_eq!(read(BUILDER, &good.each_ref().map(String::as_str)), (vec![], vec![]));
    let same = [scope("one", &["a"]), scope("one", &["b"]), scope("three", &["a"])];
    let (refused, _) = read(BUILDER, &same.each_ref().map(String::as_str));
    let list = "scoped_route_configurations_list.scoped_route_configurations";
    let expected = [
        format!("{list}[1].name: \"one\" is there twice"),
        format!("{list}[2].key: \"a\" is there twice"),
    ];
    assert_eq!(refused, expected);
}

#[test]
fn keys_with_another_number_of_parts_never_match() {
    let (refused, said) = read(BUILDER, &[&scope("long", &["a", "b"])]);
    assert_eq!(refused, Vec::<String>::new());
    assert_eq!(said, ["scoped_route_configurations_list.scoped_route_configurations[0].key"]);
}

#[test]
fn what_is_missing_is_named() {
    let builder = "{fragments: [{header_value_extractor: {name: x-a, index: 1}}]}";
    let scopeless = "{name: one, key: {fragments: [{string_key: a}]}}";
    let (refused, _) = read(builder, &[scopeless]);
    let extractor = "scope_key_builder.fragments[0].header_value_extractor";
    let routes =
        "scoped_route_configurations_list.scoped_route_configurations[0].route_configuration";
    let expected =
        [format!("{extractor}.element_separator: is required"), format!("{routes}: is required")];
    assert_eq!(refused, expected);
}
