//! A resolver as a cluster wants it.

use hickory_resolver::{
    Resolver, TokioResolver,
    config::{
        ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
    },
    net::{NetError, runtime::TokioRuntimeProvider},
    system_conf::read_system_conf,
};
use weft_resources::DnsServers;

/// Makes one for a single lookup: what the system says may have changed since the last one. `turn`
/// says which server begins where they take turns.
pub(crate) fn make(servers: &DnsServers, turn: u64) -> Result<TokioResolver, NetError> {
    let system = match read_system_conf() {
        Ok(found) => found,
        // Only whoever relies on the system needs to know.
        Err(_) if !servers.addresses.is_empty() => Default::default(),
        Err(error) => return Err(error),
    };
    let (config, options) = configured(system, servers, turn);
    build(config, options)
}

/// What the system says, with what the cluster says in its place.
fn configured(
    (config, mut options): (ResolverConfig, ResolverOpts),
    servers: &DnsServers,
    turn: u64,
) -> (ResolverConfig, ResolverOpts) {
    let (domain, search, from_system) = config.into_parts();
    let mut chosen = match servers.addresses.as_slice() {
        [] => from_system,
        addresses => addresses.iter().map(|address| at(address.ip(), address.port())).collect(),
    };
    if servers.tcp_only {
        for server in &mut chosen {
            server.connections.retain(|connection| {
                connection.protocol == hickory_resolver::config::ProtocolConfig::Tcp
            });
        }
    }
    if servers.rotate && !chosen.is_empty() {
        let first = turn % chosen.len() as u64;
        chosen.rotate_left(usize::try_from(first).unwrap_or(0));
    }
    adjust(&mut options, servers);
    let (domain, search) = if servers.no_search { (None, Vec::new()) } else { (domain, search) };
    (ResolverConfig::from_parts(domain, search, chosen), options)
}

fn at(ip: std::net::IpAddr, port: u16) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = port;
    }
    NameServerConfig::new(ip, true, connections)
}

fn adjust(options: &mut ResolverOpts, servers: &DnsServers) {
    options.cache_size = 0;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    if let Some(timeout) = servers.timeout {
        options.timeout = timeout;
    }
    if let Some(tries) = servers.tries {
        options.attempts = tries.saturating_sub(1) as usize;
    }
}

fn build(config: ResolverConfig, options: ResolverOpts) -> Result<TokioResolver, NetError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = Resolver::builder_with_config(config, provider);
    *builder.options_mut() = options;
    builder.build()
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::Name;

    use super::*;

    #[test]
    fn names_are_completed_as_the_system_says_unless_told_not_to() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let system = || {
            let search = vec![name("svc.test."), name("test.")];
            let config = ResolverConfig::from_parts(Some(name("test.")), search, Vec::new());
            (config, ResolverOpts::default())
        };
        let (usual, _) = configured(system(), &DnsServers::default(), 0);
        assert_eq!(usual.search(), [name("svc.test."), name("test.")]);
        let alone = DnsServers { no_search: true, ..DnsServers::default() };
        let (alone, _) = configured(system(), &alone, 0);
        assert_eq!((alone.domain(), alone.search()), (None, &[][..]));
    }
}
