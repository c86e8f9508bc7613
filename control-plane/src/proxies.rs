//! The convergence ledger in the words of the admin API.

use weft_control_admin::api::{Proxy, ProxyType, Quarantined, RefusedVersion, Stamp, Withheld};
use weft_serve::{Ledger, NodeView, TypeView};
use weft_translate::Node;

/// How far every connected proxy is.
pub(crate) fn proxies(ledger: &Ledger) -> Vec<Proxy> {
    let introductions = ledger.introductions();
    let named = |node: &Node, name: &String| format!("{}/{name}", node.namespace);
    let placed = |view: NodeView| {
        let node = introductions.get(&view.node).and_then(|node| Node::from_xds(node).ok());
        let of = |name: fn(&Node) -> Option<&String>| {
            node.as_ref().and_then(|node| name(node).map(|name| named(node, name)))
        };
        let (service, gateway) =
            (of(|node| node.service.as_ref()), of(|node| node.gateway.as_ref()));
        Proxy { service, gateway, ..proxy(view) }
    };
    ledger.nodes().into_iter().map(placed).collect()
}

/// Every connected proxy, by id, as what is translated for it depends on.
pub(crate) fn nodes(ledger: &Ledger) -> Vec<(String, Node)> {
    let introductions = ledger.introductions().into_iter();
    introductions.filter_map(|(id, node)| Some((id, Node::from_xds(&node).ok()?))).collect()
}

fn proxy(view: NodeView) -> Proxy {
    let withheld = view.withheld.into_iter().map(|withheld| Withheld {
        r#type: withheld.r#type.to_owned(),
        name: withheld.name,
        reasons: withheld.reasons,
        sent: withheld.sent,
    });
    let quarantined = view.quarantined.into_iter().map(|each| Quarantined {
        r#type: each.r#type.to_owned(),
        name: each.name,
        version: each.version,
        reason: each.reason,
        sent: each.sent,
    });
    Proxy {
        node: view.node,
        agent: view.agent,
        service: None,
        gateway: None,
        since: view.connected_since,
        // Who has asked for nothing yet has nothing yet.
        converged: view.converged && !view.types.is_empty(),
        types: view.types.into_iter().map(proxy_type).collect(),
        quarantined: quarantined.collect(),
        withheld: withheld.collect(),
    }
}

fn proxy_type(view: TypeView) -> ProxyType {
    let stamp = |stamp: weft_serve::Stamp| Stamp { version: stamp.version, at: stamp.at };
    ProxyType {
        r#type: view.r#type.to_owned(),
        converged: view.converged,
        sent: view.sent.map(stamp),
        acknowledged: view.acknowledged.map(stamp),
        refused: view.refused.map(|refused| RefusedVersion {
            version: refused.version,
            at: refused.at,
            resources: refused.resources,
            reason: refused.reason,
        }),
    }
}
