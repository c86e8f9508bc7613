//! Where in a resource something stands.

use std::fmt::{self, Write};

use crate::problem::Notes;

/// A place in the message being read: a chain of steps on the stack, so that walking a valid
/// resource allocates nothing. It becomes text only when there is something to say about it.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'static str),
    Item(&'static str, usize),
    Key(&'static str, &'a str),
}

impl<'a> At<'a> {
    /// The resource itself.
    pub(crate) fn root() -> Self {
        At { parent: None, step: Step::Root }
    }

    /// A field of the message here.
    pub(crate) fn field(&'a self, name: &'static str) -> Self {
        At { parent: Some(self), step: Step::Field(name) }
    }

    /// An item of a repeated field of the message here.
    pub(crate) fn item(&'a self, name: &'static str, index: usize) -> Self {
        At { parent: Some(self), step: Step::Item(name, index) }
    }

    /// Reads each item of a repeated field of the message here; those that are refused are left
    /// out.
    pub(crate) fn each<M, T, C: FromIterator<T>>(
        &self,
        name: &'static str,
        list: &[M],
        notes: &mut Notes,
        mut read: impl FnMut(&M, &At<'_>, &mut Notes) -> Option<T>,
    ) -> C {
        let read = |(index, item)| read(item, &self.item(name, index), notes);
        list.iter().enumerate().filter_map(read).collect()
    }

    /// A value of a map field of the message here.
    pub(crate) fn key(&'a self, name: &'static str, key: &'a str) -> Self {
        At { parent: Some(self), step: Step::Key(name, key) }
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.write(out)?;
        }
        if !out.is_empty() {
            out.push('.');
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) => out.write_str(name),
            Step::Item(name, index) => write!(out, "{name}[{index}]"),
            Step::Key(name, key) => write!(out, "{name}[{key:?}]"),
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut path = String::new();
        self.write(&mut path)?;
        f.write_str(&path)
    }
}

#[cfg(test)]
mod tests {
    use super::At;

    #[test]
    fn a_path_reads_like_the_configuration() {
        let root = At::root();
        assert_eq!(root.to_string(), "");
        let host = root.item("virtual_hosts", 1);
        let config = host.key("typed_per_filter_config", "envoy.filters.http.cors");
        assert_eq!(
            config.field("config").to_string(),
            "virtual_hosts[1].typed_per_filter_config[\"envoy.filters.http.cors\"].config"
        );
    }
}
