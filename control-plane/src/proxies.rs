//! The convergence ledger in the words of the admin API.

use weft_control_admin::api::{Proxy, ProxyType, RefusedVersion, Stamp, Withheld};
use weft_serve::{Ledger, NodeView, TypeView};

/// How far every connected proxy is.
pub(crate) fn proxies(ledger: &Ledger) -> Vec<Proxy> {
    ledger.nodes().into_iter().map(proxy).collect()
}

fn proxy(view: NodeView) -> Proxy {
    let withheld = view.withheld.into_iter().map(|withheld| Withheld {
        r#type: withheld.r#type.to_owned(),
        name: withheld.name,
        reasons: withheld.reasons,
        sent: withheld.sent,
    });
    Proxy {
        node: view.node,
        agent: view.agent,
        // Who has asked for nothing yet has nothing yet.
        converged: view.converged && !view.types.is_empty(),
        types: view.types.into_iter().map(proxy_type).collect(),
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
