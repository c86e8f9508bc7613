//! What another mesh would mean for the proxies that are connected, in xDS.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_config::Mesh;
use weft_control_admin::api::Effect;
use weft_translate::{Collection, Node, Resources, Translator, Workloads};

/// The difference that `after` in the place of `before` makes to `nodes`.
pub(crate) fn preview(
    before: Mesh,
    after: Mesh,
    workloads: &Workloads,
    nodes: &[(String, Node)],
) -> Vec<Effect> {
    let mut before = Translator::new(Arc::new(before), workloads.clone());
    let mut after = Translator::new(Arc::new(after), workloads.clone());
    let mut effects: BTreeMap<Difference, Vec<String>> = BTreeMap::new();
    for (id, node) in nodes {
        let (before, after) = (before.resources(node), after.resources(node));
        for difference in differences(&before, &after) {
            effects.entry(difference).or_default().push(id.clone());
        }
    }
    let effect = |(difference, nodes): (Difference, Vec<String>)| Effect {
        nodes,
        r#type: difference.of.to_owned(),
        created: difference.created,
        updated: difference.updated,
        deleted: difference.deleted,
    };
    effects.into_iter().map(effect).collect()
}

/// What is different of one type.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Difference {
    of: &'static str,
    created: Vec<String>,
    updated: Vec<String>,
    deleted: Vec<String>,
}

fn differences(before: &Resources, after: &Resources) -> impl Iterator<Item = Difference> {
    let pairs = [
        ("CDS", &before.clusters, &after.clusters),
        ("EDS", &before.endpoints, &after.endpoints),
        ("LDS", &before.listeners, &after.listeners),
        ("RDS", &before.routes, &after.routes),
    ];
    pairs.into_iter().filter_map(|(of, before, after)| difference(of, before, after))
}

fn difference(of: &'static str, before: &Collection, after: &Collection) -> Option<Difference> {
    let (mut created, mut updated, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    for (name, resource) in after.iter() {
        match before.get(name) {
            None => created.push(name.to_string()),
            Some(old) if old != resource => updated.push(name.to_string()),
            Some(_) => {}
        }
    }
    let gone = before.iter().filter(|(name, _)| after.get(name).is_none());
    deleted.extend(gone.map(|(name, _)| name.to_string()));
    let any = !(created.is_empty() && updated.is_empty() && deleted.is_empty());
    any.then_some(Difference { of, created, updated, deleted })
}

#[cfg(test)]
mod tests {
    use weft_config::Source;
    use weft_proto::pb::envoy::config::core::v3 as core;

    use super::*;

    const BEFORE: &str = "
apiVersion: weft.dev/v1
kind: Service
metadata: {name: a}
spec: {ports: [{port: 80, protocol: grpc}], endpoints: [{static: [{address: '127.0.0.1:1'}]}]}
";

    fn mesh(text: &str) -> Mesh {
        Mesh::parse(&[Source::new("x", text)]).unwrap()
    }

    #[test]
    fn nodes_that_would_be_sent_the_same_are_one_effect() {
        let node =
            Node::from_xds(&core::Node { user_agent_name: "gRPC".into(), ..Default::default() });
        let node = node.unwrap();
        let nodes = [("one".to_owned(), node.clone()), ("two".to_owned(), node)];
        let both = format!("{BEFORE}---{}", BEFORE.replace("name: a", "name: b"));
        let effects = preview(mesh(BEFORE), mesh(&both), &Workloads::default(), &nodes);
        let clusters = effects.iter().find(|effect| effect.r#type == "CDS").unwrap();
        assert_eq!(clusters.nodes, ["one", "two"]);
        assert_eq!((clusters.created.len(), clusters.updated.len()), (1, 0));
        assert!(clusters.created[0].contains('b'), "{clusters:?}");
        assert_eq!(preview(mesh(&both), mesh(&both), &Workloads::default(), &nodes), []);
        let gone = preview(mesh(&both), mesh(BEFORE), &Workloads::default(), &nodes);
        assert!(gone.iter().all(|effect| !effect.deleted.is_empty() || !effect.updated.is_empty()));
    }
}
