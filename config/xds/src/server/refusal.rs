//! What a verdict changes. A refused resource is never sent again for being refused; its innocent
//! neighbours are, because a client may have dropped them along with it.

use std::sync::Arc;

use super::track::{InFlight, Instead, Quarantined, Sent, Told, Track};
use crate::{outline::Name, snapshot::Version};

/// A client may write as much as it likes; this much of it is searched for names and kept.
const TEXT_LIMIT: usize = 4096;

/// The beginning of a client's text.
pub(super) fn bounded(text: &str) -> &str {
    let mut end = text.len().min(TEXT_LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

impl Track {
    /// The client accepted what was in flight.
    pub(super) fn acknowledge(&mut self, accepted: &InFlight) {
        self.refused = false;
        self.good = Arc::clone(&accepted.source);
        for sent in &accepted.items {
            // Anything but the stand-in: the resource is well again.
            let well = self.quarantine.get(&sent.name).is_some_and(|held| {
                let stand_in = match &held.instead {
                    Instead::Good(good) => Some(good.version()),
                    Instead::Nothing | Instead::Same => None,
                };
                sent.content.is_some() && sent.content != stand_in
            });
            if well {
                self.quarantine.remove(&sent.name);
            }
        }
    }

    /// The client refused what was in flight. Returns the names that are to blame, as far as known.
    pub(super) fn refuse(&mut self, refused: InFlight, reason: &str) -> Vec<Name> {
        self.refused = true;
        self.dirty = true;
        let suspects = self.suspects_of(&refused);
        let blamed = blamed(&suspects, reason);
        if self.sends_full_sets() {
            self.rebuild_without(refused, &blamed, reason);
        } else if let [alone] = refused.items.as_slice() {
            if let Some(version) = alone.content {
                self.quarantine(&alone.name, version, Instead::Nothing, reason);
            }
        } else {
            self.suspect(refused.items, &blamed);
        }
        self.forget_departed();
        blamed
    }

    fn quarantine(&mut self, name: &Name, refused: Version, instead: Instead, reason: &str) {
        let reason = bounded(reason).into();
        self.quarantine.insert(Name::clone(name), Quarantined { refused, instead, reason });
    }

    /// The resources that a refusal may be about: those that the response told of, and those that
    /// a full set carries although they were refused before.
    fn suspects_of(&self, refused: &InFlight) -> Vec<Name> {
        let told = refused.items.iter().filter(|sent| sent.content.is_some());
        let known = self.quarantine.iter();
        let known = known.filter(|(_, held)| matches!(held.instead, Instead::Same));
        let mut names: Vec<Name> =
            told.map(|sent| &sent.name).chain(known.map(|(name, _)| name)).cloned().collect();
        names.sort();
        names.dedup();
        names
    }

    /// Full sets: the next one carries something else in place of the guilty. Where nobody is
    /// named, there is nothing better to send, and the client stays with what it has.
    fn rebuild_without(&mut self, refused: InFlight, blamed: &[Name], reason: &str) {
        for name in blamed {
            let Some(sent) = refused.items.iter().find(|sent| sent.name == *name) else { continue };
            if let Some(version) = sent.content {
                let instead = self.stand_in(sent);
                self.quarantine(name, version, instead, reason);
            }
        }
        let spared = |name| !matches!(self.quarantine.get(name), Some(held) if matches!(held.instead, Instead::Same));
        if !blamed.iter().any(spared) {
            return;
        }
        for Sent { name, before, .. } in refused.items {
            // The guilty stays as it was, which may be what another server said. Some clients apply
            // its neighbours and some do not.
            let told = before.filter(|_| blamed.contains(&name)).unwrap_or(Told::Unsure);
            if self.interest.contains(&name) {
                self.tell(&name, told);
            } else {
                self.forget(&name);
            }
        }
    }

    fn stand_in(&self, sent: &Sent) -> Instead {
        if let Some(Quarantined { instead: Instead::Good(good), .. }) =
            self.quarantine.get(&sent.name)
        {
            return Instead::Good(good.clone());
        }
        match (sent.before, self.good.get(&sent.name)) {
            (Some(Told::Content(version)), Some(good)) if good.version() == version => {
                Instead::Good(good.clone())
            }
            _ if self.resumed => Instead::Same,
            _ => Instead::Nothing,
        }
    }

    /// Responses that may carry any subset: the guilty go alone, the others together; where nobody
    /// is named, two halves. Each refusal leaves fewer, until the guilty are alone and stay untold.
    fn suspect(&mut self, items: Vec<Sent>, blamed: &[Name]) {
        let mut rest = Vec::new();
        for Sent { name, .. } in items {
            if !self.interest.contains(&name) {
                continue;
            }
            self.forget(&name);
            self.suspected.insert(Name::clone(&name));
            if blamed.contains(&name) {
                self.suspects.push_back(vec![name]);
            } else {
                rest.push(name);
            }
        }
        if blamed.is_empty() {
            let half = rest.split_off(rest.len() / 2);
            self.suspects.push_front(half);
        }
        self.suspects.push_front(rest);
    }
}

/// The resources that a refusal is about: the only one possible, or those that the text names.
fn blamed(suspects: &[Name], reason: &str) -> Vec<Name> {
    if let [only] = suspects {
        return vec![Name::clone(only)];
    }
    let reason = bounded(reason);
    suspects.iter().filter(|name| names(reason, name)).cloned().collect()
}

/// Whether a text contains a name, and not merely as part of a longer one.
fn names(text: &str, name: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '.' | '|');
    !name.is_empty()
        && text.match_indices(name).any(|(at, found)| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let mut after = text.get(at + found.len()..).unwrap_or_default().chars();
            let ends = match after.next() {
                // A full stop may end the sentence rather than go on with the name.
                Some('.') => !after.next().is_some_and(char::is_alphanumeric),
                Some(c) => !part_of_name(c),
                None => true,
            };
            ends && !before.is_some_and(part_of_name)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_a_whole() {
        let text = "Error adding/updating cluster(s) bad-2: reason, worse.svc:80: other.";
        for (name, found) in [
            ("bad-2", true),
            ("bad", false),
            ("bad-20", false),
            ("worse.svc:80", true),
            ("", false),
        ] {
            assert_eq!(names(text, name), found, "{name}");
        }
        assert!(names("cannot use bad.", "bad"));
        assert!(!names("cannot use bad.example", "bad"));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(TEXT_LIMIT);
        assert!(bounded(&text).len() <= TEXT_LIMIT);
        assert_eq!(bounded("short"), "short");
    }
}
