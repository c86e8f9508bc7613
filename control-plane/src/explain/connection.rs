//! Connections to ports that are not HTTP.

use weft_compile::{Chain, Listener};
use weft_config::model::service::{Protocol, Service, ServicePort};
use weft_config::{DocumentId, Key, Kind, Mesh, Places};
use weft_explain::carried;
use weft_route::ConnectionView;
use weft_translate::{Workloads, names::cluster_name};

use super::{ExplainError, Explanation, OUTBOUND, Other, RuleName, table};

/// A connection that might be opened.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The Service that calls.
    pub from: Key,
    /// The name of the Service that is called, as dialled from there.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What the client's TLS hello names, in lower case; empty when there is none.
    pub server_name: String,
}

/// What becomes of a connection in this mesh, with these workloads.
///
/// # Errors
/// When the mesh cannot be brought into force.
pub fn explain_connection(
    mesh: &Mesh,
    places: &Places,
    workloads: &Workloads,
    dial: &Dial,
) -> Result<Explanation, ExplainError> {
    let Dial { from, host, port, server_name } = dial;
    let named = if server_name.is_empty() { "" } else { " as " };
    let asked = format!("connection to {host}:{port}{named}{server_name} from {from}");
    let mut explanation = Explanation::of(asked);
    let (key, port) = match find(mesh, dial) {
        Ok(found) => found,
        Err(why) => {
            explanation.verdict = why;
            return Ok(explanation);
        }
    };
    let tables = table::tables(mesh, workloads, from, OUTBOUND)?;
    let Some(listener) = tables.listener(&cluster_name(key, port.port)) else {
        explanation.verdict = if key == from {
            "refused: a sidecar does not listen for its own Service".to_owned()
        } else {
            format!("refused: {from} does not name {key} among its dependencies")
        };
        return Ok(explanation);
    };
    explanation.listener = Some(at(listener));
    let connection = ConnectionView {
        destination: None,
        source: None,
        direct_source: None,
        server_name,
        transport_protocol: if server_name.is_empty() { "raw_buffer" } else { "tls" },
        application_protocols: &[],
    };
    let chain = listener.chains.find(&connection);
    routes(&mut explanation, mesh, places, (key, port), chain.map(|chain| &*chain.name));
    match chain.map(|chain| &chain.chain) {
        Some(Chain::Tcp(tcp)) => explanation.send(carried(&tables, &tcp.target), "closed"),
        Some(_) => "not looked into here".clone_into(&mut explanation.verdict),
        None if server_name.is_empty() => {
            "closed: it names no server, and routes ask for one (hint: say which with --server-name)"
                .clone_into(&mut explanation.verdict);
        }
        None => {
            explanation.verdict =
                format!("closed: no route is for the server name {server_name:?}");
        }
    }
    Ok(explanation)
}

/// The port that is dialled, or what becomes of a connection that nobody listens for.
fn find<'m>(mesh: &'m Mesh, dial: &Dial) -> Result<(&'m Key, &'m ServicePort), String> {
    let Dial { from, host, port, .. } = dial;
    let is_dialled = |(key, service): &(&Key, &Service)| {
        (*host == key.name && from.namespace == key.namespace)
            || *host == format!("{}.{}", key.name, key.namespace)
            || service.hostnames.contains(host)
    };
    let mut services = mesh.services().iter().map(|(key, service)| (key, &**service));
    let (key, service) = services
        .find(is_dialled)
        .ok_or_else(|| format!("refused: no Service is called {host:?} as dialled from {from}"))?;
    let found = service.ports.iter().find(|known| known.port == *port).ok_or_else(|| {
        let ports: Vec<_> = service.ports.iter().map(|port| port.port.to_string()).collect();
        format!("refused: {key} has no port {port} (there are: {})", ports.join(", "))
    })?;
    if found.protocol.is_http() {
        return Err(format!(
            "not explained as a connection: port {port} of {key} is HTTP (hint: weft explain request)"
        ));
    }
    if found.listen.is_none() {
        return Err(format!(
            "refused: sidecars have no listener for port {port} of {key} (hint: give it a `listen` address)"
        ));
    }
    Ok((key, found))
}

fn at(listener: &Listener) -> String {
    let addresses: Vec<_> = listener.addresses.iter().map(|it| it.address.to_string()).collect();
    format!("{} ({})", listener.name, addresses.join(", "))
}

/// Fills in the document whose rule takes the connection, and those whose rules do not.
fn routes(
    explanation: &mut Explanation,
    mesh: &Mesh,
    places: &Places,
    (key, port): (&Key, &ServicePort),
    taken_by: Option<&str>,
) {
    let written = |kind, route: &Key, conditions| {
        let id = DocumentId::new(kind, route.clone());
        RuleName::written(&route.to_string(), &id, 0, places, conditions)
    };
    if port.protocol == Protocol::Tcp {
        let route = mesh.bound_tcp_route(key, port.port);
        explanation.route = route.map(|route| written(Kind::TcpRoute, &route.key, Vec::new()));
        return;
    }
    for route in mesh.bound_tls_routes(key, port.port) {
        let names = route.hostnames.join(" or ");
        let asks = format!("the server name is {names}");
        let rule = written(Kind::TlsRoute, &route.key, vec![asks]);
        if taken_by == Some(route.key.to_string().as_str()) {
            explanation.route = Some(rule);
        } else {
            let why = format!("it is for the server name {names}");
            explanation.others.push(Other { rule, why: vec![why] });
        }
    }
}
