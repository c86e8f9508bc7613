//! Documents to make mistakes in.

use weft_config::{Mesh, Problems, Source};

/// What is wrong with sources that must be refused.
pub(crate) fn problems(sources: &[(&str, &str)]) -> Problems {
    let sources: Vec<Source> =
        sources.iter().map(|(name, text)| Source::new(*name, *text)).collect();
    match Mesh::parse(&sources) {
        Ok(_) => panic!("must be refused"),
        Err(problems) => problems,
    }
}

/// A Service `a`.
pub(crate) fn service(spec: &str) -> String {
    format!("apiVersion: weft.dev/v1\nkind: Service\nmetadata: {{name: a}}\nspec: {spec}\n")
}

/// The Service `a`, and a route of it with one rule.
pub(crate) fn route(rule: &str) -> String {
    format!(
        "{}---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\n\
         spec:\n  parentRefs: [{{kind: Service, name: a}}]\n  rules: [{rule}]\n",
        service("{ports: [{port: 80}]}")
    )
}
