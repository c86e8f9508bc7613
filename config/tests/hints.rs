//! Mistakes as people make them lead to a hint that leads out of them.

mod documents;

use documents::{problems, route, service};
use weft_config::{Mesh, Source};

/// Mistakes as people make them: what is said, and that the hint leads out of it.
#[test]
fn hints_lead_out() {
    let policy = "---\napiVersion: weft.dev/v1\nkind: TrafficPolicy\nmetadata: {name: p}\nspec: {targetRef: {kind: Service, name: a}, FIELD}\n";
    let policy = |field: &str| service("{ports: [{port: 80}]}") + &policy.replace("FIELD", field);
    let cases = [
        (
            "apiVersion: weft.dev/v1\nkind: Service\nmetadata:\nname: a\nspec: {ports: [{port: 80}]}\n".to_owned(),
            "metadata: expected an object, found nothing",
            "write an object here, or indent what follows deeper if it belongs here",
        ),
        (
            "kind: Service\nmetadata:\n\tname: a\n".to_owned(),
            "not valid YAML: tabs disallowed within this context (block indentation)",
            "indent with spaces",
        ),
        (
            service("{ports: [*web]}"),
            "the alias names no earlier anchor of its document",
            "put &NAME before a value earlier in the same document, or write the value out",
        ),
        (
            service("{ports: [{<<: {name: x}, port: 80}]}"),
            "spec.ports[0]: merging by << is not supported",
            "write the fields out: YAML 1.2 has no merge keys",
        ),
        (
            service("{ports: [{port: '80'}]}"),
            "spec.ports[0].port: expected a number, found the string \"80\"",
            "remove the quotes",
        ),
        (
            route("{timeouts: {request: 5}}"),
            "spec.rules[0].timeouts.request: \"5\" is not a duration such as 2s, 500ms or 1m30s",
            "write a duration such as 2s, 500ms or 1m30s",
        ),
        (
            service("{ports: [{port: 80}]}").replace("name: a", "name: 1"),
            "metadata.name: expected a string, found the number 1",
            "put it in quotes to make it a string",
        ),
        (
            route("{matches: [{path: {type: RegularExpression, value: '/a(b'}}]}"),
            "spec.rules[0].matches[0].path.value: \"/a(b\" is not a regular expression: unclosed group",
            "the syntax is RE2's, which has no look-around and no back-references; the whole value must match",
        ),
        (
            service("{ports: [{port: 80, targetPort: 8080}]}"),
            "spec.ports[0].targetPort: targetPort is not supported",
            "remove it: each sidecar knows where its application listens (--port)",
        ),
        (
            service("{ports: [{port: 80}], selector: {app: a}}"),
            "spec.selector: selector is not supported",
            "remove it: sidecars join by --service; endpoints can be written as static",
        ),
        (
            service("{ports: [{port: 80}], subsets: []}"),
            "spec.subsets: subsets is not supported",
            "write documents of kind Subset, each with its labels",
        ),
        (
            policy("rateLimit: {}"),
            "spec.rateLimit: rateLimit is not supported",
            "write a RateLimitPolicy for the target",
        ),
        (
            policy("authorization: {}"),
            "spec.authorization: authorization is not supported yet by this version",
            "remove it; a later version will take it",
        ),
        (
            service("{port: 80}") + &route("{}").replacen(&service("{ports: [{port: 80}]}"), "", 1)
                .replace("Service, name: a}", "Service, name: b}"),
            "spec.parentRefs[0].name: no Service \"b\" (there are: a)",
            "add a Service of that name, or fix the reference",
        ),
    ];
    for (text, message, hint) in cases {
        let all = problems(&[("t", &text)]);
        let found = all.iter().any(|problem| {
            problem
                .to_string()
                .split_once("\n  hint: ")
                .is_some_and(|(line, found)| line.ends_with(message) && found == hint)
        });
        assert!(found, "{message}\n{hint}\nis not among\n{all}");
    }
}

#[test]
fn what_tools_print_can_be_read_back() {
    let list = "
apiVersion: v1
kind: List
items:
- apiVersion: weft.dev/v1
  kind: Service
  metadata: {name: a, creationTimestamp: null}
  spec: {ports: [{port: 80}]}
  status: {loadBalancer: {}}
- apiVersion: gateway.networking.k8s.io/v1
  kind: HTTPRoute
  metadata: {name: r}
  spec: {parentRefs: [{kind: Service, name: a}]}
  status: {parents: []}
";
    let mesh = match Mesh::parse(&[Source::new("list", list)]) {
        Ok(mesh) => mesh,
        Err(problems) => panic!("{problems}"),
    };
    assert_eq!(mesh.ids().count(), 2);
    let wrong = list.replace("port: 80", "port: 0");
    let problems = problems(&[("list", &wrong)]).to_string();
    assert!(problems.starts_with("list:8:25: Service/a spec.ports[0].port:"), "{problems}");
}
