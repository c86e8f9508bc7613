//! A radix trie from byte strings to lists of route indices, frozen into a few flat arrays.

use std::{collections::VecDeque, ops::Range};

/// What must follow a key for its entry to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Anchor {
    /// Anything.
    Prefix,
    /// The end, or a `/`.
    Segment,
    /// The end.
    End,
}

/// One key with the index it stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) anchor: Anchor,
    pub(crate) index: u32,
}

/// The frozen trie. Children of a node lie side by side, so that finding one is a search in a few
/// neighbouring bytes.
#[derive(Debug, Default)]
pub(crate) struct Trie {
    nodes: Box<[Node]>,
    /// The first byte of every node's label, in a row of its own for the search among children.
    heads: Box<[u8]>,
    labels: Box<[u8]>,
    indices: Box<[u32]>,
    /// The most lists that one walk can meet.
    deepest: usize,
}

#[derive(Debug)]
struct Node {
    label: Range<u32>,
    children: Range<u32>,
    /// Start of each anchor's indices, in the order of [`Anchor`], and the end of the last.
    lists: [u32; 4],
}

/// Text as a trie reads it: folded or backwards, without a copy.
pub(crate) trait Text {
    /// The byte at a position, if there is one.
    fn at(&self, position: usize) -> Option<u8>;
    /// Whether a key's part follows at a position.
    fn continues_with(&self, position: usize, label: &[u8]) -> bool {
        label.iter().enumerate().all(|(nth, byte)| self.at(position + nth) == Some(*byte))
    }
}

/// Bytes as they are.
pub(crate) struct Plain<'a>(pub(crate) &'a [u8]);

impl Text for Plain<'_> {
    #[inline]
    fn at(&self, position: usize) -> Option<u8> {
        self.0.get(position).copied()
    }
    #[inline]
    fn continues_with(&self, position: usize, label: &[u8]) -> bool {
        self.0.get(position..position + label.len()) == Some(label)
    }
}

/// Bytes with ASCII letters in lower case.
pub(crate) struct Lowercase<'a>(pub(crate) &'a [u8]);

impl Text for Lowercase<'_> {
    #[inline]
    fn at(&self, position: usize) -> Option<u8> {
        self.0.get(position).map(u8::to_ascii_lowercase)
    }
}

/// Lower-case bytes from the last to the first.
pub(crate) struct LowercaseReversed<'a>(pub(crate) &'a [u8]);

impl Text for LowercaseReversed<'_> {
    #[inline]
    fn at(&self, position: usize) -> Option<u8> {
        let from_start = self.0.len().checked_sub(position + 1)?;
        self.0.get(from_start).map(u8::to_ascii_lowercase)
    }
}

impl Trie {
    /// Builds a trie. The number of entries and the total length of keys must fit `u32`.
    pub(crate) fn build(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable();
        Builder::default().run(&entries)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// An upper bound of how many lists one walk shows.
    pub(crate) fn deepest(&self) -> usize {
        self.deepest
    }

    /// Shows every list whose key is a beginning of `text` and whose anchor holds, shortest key
    /// first, with the length of the key. Lists are sorted.
    #[inline]
    pub(crate) fn walk<'a>(&'a self, text: &impl Text, mut see: impl FnMut(usize, &'a [u32])) {
        let mut at = 0;
        let mut next = self.nodes.first();
        while let Some(node) = next {
            let Some(label) = self.labels.get(span(&node.label)) else { return };
            if !text.continues_with(at, label) {
                return;
            }
            at += label.len();
            let following = text.at(at);
            self.show(node, following, at, &mut see);
            let Some(byte) = following else { return };
            next = self.child(node, byte);
        }
    }

    #[inline]
    fn show<'a>(
        &'a self,
        node: &Node,
        following: Option<u8>,
        at: usize,
        see: &mut impl FnMut(usize, &'a [u32]),
    ) {
        let [prefix, segment, end, stop] = node.lists;
        let reach = match following {
            None => stop,
            Some(b'/') => end,
            Some(_) => segment,
        };
        // The lists of one node lie one after the other: which anchors hold decides how many of
        // them are shown, each on its own because each is sorted on its own.
        for (from, to) in [(prefix, segment), (segment, end), (end, stop)] {
            if to <= reach
                && to > from
                && let Some(list) = self.indices.get(span(&(from..to)))
            {
                see(at, list);
            }
        }
    }

    #[inline]
    fn child(&self, node: &Node, byte: u8) -> Option<&Node> {
        let heads = self.heads.get(span(&node.children))?;
        let nth = heads.binary_search(&byte).ok()?;
        self.nodes.get(node.children.start as usize + nth)
    }
}

fn span(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    heads: Vec<u8>,
    labels: Vec<u8>,
    indices: Vec<u32>,
    deepest: usize,
}

/// Sorted entries that share their first `depth` bytes, to become one node.
struct Pending<'a> {
    entries: &'a [Entry],
    depth: usize,
    lists_above: usize,
}

impl Builder {
    /// Breadth first, with a queue in place of recursion: a hostile configuration may nest keys
    /// as deeply as it likes. A node's number is its place in the queue.
    fn run(mut self, entries: &[Entry]) -> Trie {
        let mut queue = VecDeque::new();
        if !entries.is_empty() {
            queue.push_back(Pending { entries, depth: 0, lists_above: 0 });
        }
        let mut numbered = queue.len();
        while let Some(pending) = queue.pop_front() {
            let first_child = numbered;
            let lists = self.push_node(&pending, &mut queue);
            numbered = self.nodes.len() + queue.len();
            self.deepest = self.deepest.max(lists);
            if let Some(node) = self.nodes.last_mut() {
                node.children = as_u32(first_child)..as_u32(numbered);
            }
        }
        Trie {
            nodes: self.nodes.into_boxed_slice(),
            heads: self.heads.into_boxed_slice(),
            labels: self.labels.into_boxed_slice(),
            indices: self.indices.into_boxed_slice(),
            deepest: self.deepest,
        }
    }

    /// Writes one node and queues its children. Returns how many lists lie on the way to it.
    fn push_node<'a>(&mut self, pending: &Pending<'a>, queue: &mut VecDeque<Pending<'a>>) -> usize {
        let depth = common_length(pending.entries);
        let label_start = self.labels.len();
        let label =
            pending.entries.first().and_then(|e| e.key.get(pending.depth..depth)).unwrap_or(&[]);
        self.labels.extend_from_slice(label);
        self.heads.push(label.first().copied().unwrap_or(0));

        let ends_here = pending.entries.partition_point(|entry| entry.key.len() == depth);
        let (own, below) = pending.entries.split_at(ends_here);
        let mut lists = [as_u32(self.indices.len()); 4];
        let mut own_lists = 0;
        for (nth, anchor) in [Anchor::Prefix, Anchor::Segment, Anchor::End].into_iter().enumerate()
        {
            let before = self.indices.len();
            self.indices.extend(own.iter().filter(|e| e.anchor == anchor).map(|e| e.index));
            own_lists += usize::from(self.indices.len() > before);
            if let Some(end) = lists.get_mut(nth + 1) {
                *end = as_u32(self.indices.len());
            }
        }
        self.nodes.push(Node {
            label: as_u32(label_start)..as_u32(self.labels.len()),
            children: 0..0,
            lists,
        });

        let lists_above = pending.lists_above + own_lists;
        let children = below.chunk_by(|a, b| a.key.get(depth) == b.key.get(depth));
        queue.extend(children.map(|entries| Pending { entries, depth, lists_above }));
        lists_above
    }
}

/// How many leading bytes all of the sorted entries share: those of the first and the last.
fn common_length(entries: &[Entry]) -> usize {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return 0 };
    first.key.iter().zip(&last.key).take_while(|(a, b)| a == b).count()
}

/// Sizes were checked before building (see [`Trie::build`]).
fn as_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, anchor: Anchor, index: u32) -> Entry {
        Entry { key: key.into(), anchor, index }
    }

    fn seen(trie: &Trie, text: &impl Text) -> Vec<(usize, Vec<u32>)> {
        let mut seen = Vec::new();
        trie.walk(text, |at, list| seen.push((at, list.to_vec())));
        seen
    }

    #[test]
    fn walks_show_every_beginning() {
        let trie = Trie::build(vec![
            entry("/", Anchor::Prefix, 9),
            entry("/api", Anchor::Segment, 2),
            entry("/api", Anchor::Prefix, 5),
            entry("/api", Anchor::Prefix, 3),
            entry("/api/v1", Anchor::End, 0),
            entry("/b", Anchor::Prefix, 1),
        ]);
        assert_eq!(
            seen(&trie, &Plain(b"/api/v1")),
            [(1, vec![9]), (4, vec![3, 5]), (4, vec![2]), (7, vec![0])]
        );
        assert_eq!(seen(&trie, &Plain(b"/apiary")), [(1, vec![9]), (4, vec![3, 5])]);
        assert_eq!(seen(&trie, &Plain(b"")), []);
        assert_eq!(trie.deepest(), 4);
        assert_eq!(seen(&Trie::default(), &Plain(b"/")), []);
    }

    #[test]
    fn the_empty_key_is_a_beginning_of_everything() {
        let trie = Trie::build(vec![entry("", Anchor::Prefix, 1), entry("b", Anchor::End, 0)]);
        assert_eq!(seen(&trie, &Plain(b"")), [(0, vec![1])]);
        assert_eq!(seen(&trie, &Lowercase(b"B")), [(0, vec![1]), (1, vec![0])]);
    }

    #[test]
    fn texts_read_backwards() {
        let trie = Trie::build(vec![entry("moc.", Anchor::Prefix, 4)]);
        assert_eq!(seen(&trie, &LowercaseReversed(b"a.COM")), [(4, vec![4])]);
    }

    #[test]
    fn nesting_as_deep_as_the_keys_are_long() {
        let key = "a".repeat(20_000);
        let lengths = (0..20_000).step_by(10);
        let entries =
            (0..).zip(lengths).map(|(n, length)| entry(&key[..length], Anchor::Prefix, n));
        let trie = Trie::build(entries.collect());
        assert_eq!(trie.deepest(), 2_000);
        assert_eq!(seen(&trie, &Plain(key.as_bytes())).len(), 2_000);
    }
}
