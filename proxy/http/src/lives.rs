//! Filter chains and their connections: those of a chain drain together when it ends.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use foldhash::fast::RandomState;
use weft_compile::{FilterChain, Listener, Tables};

use crate::phase::{Phase, PhaseCell};

/// What all connections of a filter chain in this worker have in common.
#[derive(Debug)]
pub(crate) struct Life {
    phase: PhaseCell,
    /// Keeps the chain's address its own for as long as it is a key.
    chain: Arc<FilterChain>,
}

impl Life {
    /// Where it is, for those who ask now.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// For those who want to be told.
    pub(crate) fn phase_cell(&self) -> &PhaseCell {
        &self.phase
    }
}

/// The chains that have had connections, by address.
#[derive(Debug)]
pub(crate) struct Lives {
    by_chain: RefCell<HashMap<*const FilterChain, Rc<Life>, RandomState>>,
    /// Lives that are ending, for as long as they have connections.
    ending: RefCell<Vec<Rc<Life>>>,
    drain_time: Duration,
}

impl Lives {
    /// Connections of a chain that ends may last for `drain_time`.
    pub(crate) fn new(drain_time: Duration) -> Self {
        Self { by_chain: RefCell::default(), ending: RefCell::default(), drain_time }
    }

    /// The life of a chain's connections; a new one starts in the worker's own phase.
    pub(crate) fn of(&self, chain: &Arc<FilterChain>, worker: Phase) -> Rc<Life> {
        let mut lives = self.by_chain.borrow_mut();
        let life = lives.entry(Arc::as_ptr(chain)).or_insert_with(|| {
            let life = Life { phase: PhaseCell::new(), chain: Arc::clone(chain) };
            life.phase.advance(worker);
            Rc::new(life)
        });
        Rc::clone(life)
    }

    /// The whole worker moves on.
    pub(crate) fn advance(&self, phase: Phase) {
        for life in self.by_chain.borrow().values().chain(self.ending.borrow().iter()) {
            life.phase.advance(phase);
        }
    }

    /// Begins to drain the connections of every chain that `next` serves no more, or at other
    /// addresses. Everything else stays as it is.
    pub(crate) fn follow(&self, before: &Tables, next: &Tables) {
        let mut lives = self.by_chain.borrow_mut();
        // What nobody uses is not worth a drain.
        lives.retain(|_, life| Rc::strong_count(life) > 1);
        self.ending.borrow_mut().retain(|life| Rc::strong_count(life) > 1);
        if lives.is_empty() {
            return;
        }
        for listener in &before.listeners {
            let after = next.listener(&listener.name);
            if after.is_some_and(|after| Arc::ptr_eq(after, listener)) {
                continue;
            }
            let kept = kept(listener, after.map(|after| &**after));
            for chain in listener.chains.iter().map(Arc::as_ptr) {
                if !kept.contains(&chain) {
                    lives.remove(&chain).into_iter().for_each(|life| self.drain(life));
                }
            }
        }
    }

    /// The chain is served no more.
    pub(crate) fn end(&self, chain: &Arc<FilterChain>) {
        let life = self.by_chain.borrow_mut().remove(&Arc::as_ptr(chain));
        life.into_iter().for_each(|life| self.drain(life));
    }

    /// Drains, and closes what is left after the drain time.
    fn drain(&self, life: Rc<Life>) {
        tracing::debug!(chain = %life.chain.name, "its connections drain");
        life.phase.advance(Phase::Draining);
        let last = Rc::downgrade(&life);
        self.ending.borrow_mut().push(life);
        let drain_time = self.drain_time;
        tokio::task::spawn_local(async move {
            tokio::time::sleep(drain_time).await;
            if let Some(life) = last.upgrade() {
                life.phase.advance(Phase::Closing);
            }
        });
    }
}

/// The chains of a listener that its next version goes on with.
fn kept(before: &Listener, after: Option<&Listener>) -> HashSet<*const FilterChain, RandomState> {
    after
        .filter(|after| after.is_where(before))
        .into_iter()
        .flat_map(|after| after.chains.iter().map(Arc::as_ptr))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weft_compile::{Compiler, ResourceType, Update, Upsert};
    use weft_telemetry::Stats;

    use super::*;

    /// Tables of one listener: chains that echo, told apart by source ports.
    fn tables(compiler: &mut Compiler, port: u16, chains: &[(u32, u32)]) -> Arc<Tables> {
        let text: String = chains
            .iter()
            .map(|(name, source)| {
                format!(
                    "{{name: c{name}, filter_chain_match: {{source_ports: [{source}]}}, filters: \
                     [{{name: e, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.\
                     filters.network.echo.v3.Echo}}}}]}}, "
                )
            })
            .collect();
        let listener: weft_proto::pb::envoy::config::listener::v3::Listener =
            weft_proto::json::from_yaml(&format!(
                "{{name: in, address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}, \
                 filter_chains: [{text}]}}"
            ))
            .unwrap();
        let upsert = Upsert {
            name: Arc::from("in"),
            version: Arc::from("1"),
            value: prost::Message::encode_to_vec(&listener).into(),
        };
        let mut update = Update::fixed(ResourceType::Listener, vec![upsert]);
        update.source = weft_compile::Source::Dynamic;
        let report = compiler.apply(&update, std::time::SystemTime::now());
        assert!(report.is_accepted(), "{:?}", report.rejected);
        compiler.tables()
    }

    fn chain(tables: &Tables, name: &str) -> Arc<FilterChain> {
        let listener = tables.listener("in").unwrap();
        Arc::clone(listener.chains.iter().find(|chain| &*chain.name == name).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn only_chains_that_end_drain_and_then_close() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let mut compiler = Compiler::new(Stats::new(std::time::Instant::now()));
                let lives = Lives::new(Duration::from_secs(9));
                let first = tables(&mut compiler, 1000, &[(1, 1), (2, 2), (3, 3)]);
                let of = |name| lives.of(&chain(&first, name), Phase::Serving);
                let held = [of("c1"), of("c2"), of("c3")];
                // One stays, one changes, one goes.
                let second = tables(&mut compiler, 1000, &[(1, 1), (2, 4)]);
                lives.follow(&first, &second);
                let phases = || held.each_ref().map(|life| life.phase());
                assert_eq!(phases(), [Phase::Serving, Phase::Draining, Phase::Draining]);
                assert!(Rc::ptr_eq(&lives.of(&chain(&second, "c1"), Phase::Serving), &held[0]));
                tokio::time::sleep(Duration::from_secs(10)).await;
                assert_eq!(phases(), [Phase::Serving, Phase::Closing, Phase::Closing]);
                // At another address it is another place, whatever the chains.
                let third = tables(&mut compiler, 1001, &[(1, 1), (2, 4)]);
                lives.follow(&second, &third);
                assert_eq!(held[0].phase(), Phase::Draining);
                let fresh = lives.of(&chain(&third, "c1"), Phase::Serving);
                assert_eq!(fresh.phase(), Phase::Serving);
                lives.advance(Phase::Closing);
                assert_eq!((fresh.phase(), held[0].phase()), (Phase::Closing, Phase::Closing));
            })
            .await;
    }

    #[test]
    fn lives_without_connections_are_forgotten() {
        let mut compiler = Compiler::new(Stats::new(std::time::Instant::now()));
        let lives = Lives::new(Duration::ZERO);
        let first = tables(&mut compiler, 1000, &[(1, 1)]);
        drop(lives.of(&chain(&first, "c1"), Phase::Serving));
        lives.follow(&first, &first);
        assert!(lives.by_chain.borrow().is_empty());
    }
}
