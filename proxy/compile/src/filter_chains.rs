//! The filter chains of a listener: which takes which connection, and what it does.

use std::sync::Arc;

use foldhash::quality::FixedState;
use weft_resources::{
    ConnectionQuestion, FilterChain as Resource, Gate as GateResource, Problem, Reason, Terminal,
};
use weft_route::{ChainError, ChainTable};
use weft_telemetry::{Gauge, Stats};

use crate::{
    chain::{self, Names},
    references::Reference,
    tables::{AskedConnections, Chain, Chains, ConnectionLimit, FilterChain, Gate},
};

/// Compiles all chains of a listener. Those that are in `known` under the same identity are taken
/// from there.
pub(crate) fn compile(
    chains: Vec<Resource>,
    default: Option<Resource>,
    known: &[Arc<FilterChain>],
    names: &mut Names<'_>,
    stats: &Arc<Stats>,
) -> Result<Chains, Vec<Reason>> {
    let table = ChainTable::compile(chains.iter().map(|chain| &chain.conditions))
        .map_err(|error| vec![ambiguous(&error, &chains)])?;
    let mut reasons = Vec::new();
    let mut build = |chain: Resource| {
        let built = filter_chain(chain, known, names, stats);
        built.map_err(|reason| reasons.push(reason)).ok()
    };
    let by_number: Vec<_> = chains.into_iter().filter_map(&mut build).collect();
    let default = default.and_then(&mut build);
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let by_number = by_number.into_boxed_slice();
    let only = only(&table, &by_number, default.as_ref());
    Ok(Chains { table, by_number, default, only })
}

/// The chain that takes every connection, if there is nothing to choose.
fn only(
    table: &ChainTable,
    by_number: &[Arc<FilterChain>],
    default: Option<&Arc<FilterChain>>,
) -> Option<Arc<FilterChain>> {
    match by_number {
        [] => default.map(Arc::clone),
        // Two chains without a condition overlap.
        [one] if !table.asks() => Some(Arc::clone(one)),
        _ => None,
    }
}

fn ambiguous(error: &ChainError, chains: &[Resource]) -> Reason {
    let path = |chain: usize| {
        chains.get(chain).map_or_else(String::new, |c| format!("{}.filter_chain_match", c.path))
    };
    let title = |chain: usize| chains.get(chain).map_or("", Resource::title);
    match error {
        ChainError::Overlap { first, second } => {
            let other = format!("filter chain {:?}", title(*first));
            let chain = format!("filter chain {:?}", title(*second));
            let problem = Problem::ChainOverlap { chain, other };
            Reason { path: path(*second), problem }
        }
        ChainError::TooMany { chain } => {
            Reason { path: path(*chain), problem: Problem::Chains(error.to_string()) }
        }
    }
}

fn filter_chain(
    chain: Resource,
    known: &[Arc<FilterChain>],
    names: &mut Names<'_>,
    stats: &Arc<Stats>,
) -> Result<Arc<FilterChain>, Reason> {
    let identity = identity(&chain.identity);
    if let Some(known) = known.iter().find(|known| known.identity == identity) {
        return Ok(Arc::clone(known));
    }
    let name = Arc::from(chain.title());
    let sni_cluster = chain.sni_cluster;
    let gates = chain.gates.iter().map(|gate| self::gate(gate, names, stats)).collect();
    let (chain, routes) = terminal(chain.terminal, names, stats)?;
    Ok(Arc::new(FilterChain { name, gates, sni_cluster, chain, routes, identity }))
}

fn gate(gate: &GateResource, names: &mut Names<'_>, stats: &Stats) -> Gate {
    match gate {
        GateResource::AtOnce(limit) => Gate::AtOnce(Arc::new(ConnectionLimit {
            max: limit.max,
            delay: limit.delay,
            active: Gauge::default(),
            stats: stats.connection_limit(&limit.stat_prefix),
        })),
        GateResource::Rate(rate) => {
            let stats = stats.network_rate(&rate.stat_prefix);
            Gate::Rate(names.buckets.rate(rate, stats))
        }
        GateResource::Asked(question) => Gate::Asked(Arc::new(AskedConnections {
            question: ConnectionQuestion::clone(question),
            stats: stats.connection_question(&question.stat_prefix),
        })),
    }
}

/// Compiles the last filter of a chain. The second value is the route configuration it needs.
pub(crate) fn terminal(
    terminal: Terminal,
    names: &mut Names<'_>,
    stats: &Arc<Stats>,
) -> Result<(Chain, Option<Reference>), Reason> {
    Ok(match terminal {
        Terminal::Http(http) => {
            let (http, reference) = chain::http_chain(*http, names, stats)?;
            (Chain::Http(Arc::new(http)), reference)
        }
        Terminal::Tcp(tcp) => (Chain::Tcp(Arc::new(chain::tcp_chain(&tcp, names, stats))), None),
        Terminal::Direct(bytes) => (Chain::Direct(bytes), None),
        Terminal::Echo => (Chain::Echo, None),
    })
}

/// Two chains of the same text must be told from all others: 128 bits never collide by chance.
fn identity(bytes: &[u8]) -> u128 {
    use std::hash::BuildHasher;
    let half = |seed| u128::from(FixedState::with_seed(seed).hash_one(bytes));
    half(0) << 64 | half(1)
}
