//! What nodes refused, for as long as they may come back.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use weft_xds::server::{Refusals, Stream};

/// So many nodes may be remembered to refuse something. A change that all of them refuse is one that
/// is taken back soon; who is forgotten is sent it once more, and no harm is done.
const NODES: usize = 10_000;

/// What nodes refused. Clones are the same memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    nodes: Arc<Mutex<BTreeMap<String, Remembered>>>,
    noted: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Remembered {
    /// What the node said it is: another build may take what this one refused.
    agent: String,
    refusals: Refusals,
    /// Grows from note to note.
    noted: u64,
}

impl Memory {
    /// The stream that a node opens, with what it refused before.
    pub(crate) fn recall(&self, node: &str, agent: &str, stream: Stream) -> Stream {
        match self.lock().get(node) {
            Some(known) if known.agent == agent => stream.remembering(&known.refusals),
            _ => stream,
        }
    }

    /// Takes what a node refuses by now.
    pub(crate) fn note(&self, node: &str, agent: &str, stream: &Stream) {
        let mut nodes = self.lock();
        let is_news = nodes.contains_key(node) || stream.quarantined().next().is_some();
        if !is_news {
            return;
        }
        let known = nodes.entry(node.to_owned()).or_insert_with(|| Remembered {
            agent: agent.to_owned(),
            refusals: Refusals::default(),
            noted: 0,
        });
        if known.agent != agent {
            known.refusals = Refusals::default();
            agent.clone_into(&mut known.agent);
        }
        known.refusals.update(stream.refusals());
        known.noted = self.noted.fetch_add(1, Ordering::Relaxed);
        if known.refusals.is_empty() {
            nodes.remove(node);
        } else if nodes.len() > NODES {
            let oldest = nodes.iter().min_by_key(|(_, known)| known.noted);
            if let Some(oldest) = oldest.map(|(node, _)| node.clone()) {
                nodes.remove(&oldest);
            }
        }
    }

    /// What is remembered is only ever replaced by complete values, so it is sound even after a
    /// panic.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Remembered>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
