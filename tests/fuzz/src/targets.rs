//! What is fed.

mod bootstrap;
mod format;
mod hpack;
mod inspect;
mod mesh;
mod resources;
mod wire;

use anyhow::Result;

use crate::Settings;
use crate::mutate::Shape;
use crate::novelty::Behaviour;

/// Something that reads foreign bytes.
pub(crate) struct Target {
    /// What the command line calls it.
    pub(crate) name: &'static str,
    /// What reads the bytes.
    pub(crate) about: &'static str,
    /// How its inputs are mutated.
    pub(crate) shape: Shape,
    /// Its folder among the corpora.
    pub(crate) corpus: &'static str,
    /// Words that mean something to it.
    pub(crate) words: &'static [&'static [u8]],
    /// The inputs that a file of the corpus holds.
    pub(crate) seed: fn(Vec<u8>) -> Result<Vec<Vec<u8>>>,
    /// Makes it ready.
    pub(crate) runner: fn(&Settings) -> Result<Box<dyn Runner>>,
}

/// A target that is ready.
pub(crate) trait Runner {
    /// Runs one input. `Err` when something is wrong that is no panic; that the input was
    /// refused is an ordinary behaviour.
    fn run(&mut self, input: &[u8]) -> Result<Behaviour>;
}

/// A target that needs nothing but its input.
struct Pure(fn(&[u8]) -> Behaviour);

impl Runner for Pure {
    fn run(&mut self, input: &[u8]) -> Result<Behaviour> {
        Ok((self.0)(input))
    }
}

/// A file is an input.
#[expect(clippy::unnecessary_wraps, reason = "other targets' seeds can be malformed")]
fn whole(file: Vec<u8>) -> Result<Vec<Vec<u8>>> {
    Ok(vec![file])
}

/// A target with a fault, by which the test of this program sees that faults are found.
pub(crate) const TRAP: Target = Target {
    name: "trap",
    about: "panics on what a mutation of its corpus easily is",
    shape: Shape::Lines,
    corpus: "mesh",
    words: &[b"trap"],
    seed: whole,
    runner: |_| Ok(Box::new(Pure(trap))),
};

fn trap(input: &[u8]) -> Behaviour {
    assert!(!input.windows(4).any(|part| part == b"trap"), "trapped");
    Behaviour::of(input.len() / 100)
}

/// All targets.
pub(crate) const ALL: &[Target] = &[
    Target {
        name: "bootstrap",
        about: "YAML to a bootstrap: syntax, rules and field table, resources, tables",
        shape: Shape::Lines,
        corpus: "bootstrap",
        words: bootstrap::WORDS,
        seed: whole,
        runner: |_| Ok(Box::new(Pure(bootstrap::run))),
    },
    Target {
        name: "resources",
        about: "protobuf to resources: rules and field table, parsing, tables",
        shape: Shape::Proto,
        corpus: "bootstrap",
        words: &[],
        seed: resources::seed,
        runner: |_| Ok(Box::new(Pure(resources::run))),
    },
    Target {
        name: "mesh",
        about: "YAML to a mesh of the control plane",
        shape: Shape::Lines,
        corpus: "mesh",
        words: &[b"\n---\n", b"kind: ", b"metadata: {name: ", b"&a ", b"*a", b"!!str ", b"<<: "],
        seed: whole,
        runner: |_| Ok(Box::new(Pure(mesh::run))),
    },
    Target {
        name: "format",
        about: "format strings, and what foreign bytes make of them as text and as JSON",
        shape: Shape::Lines,
        corpus: "format",
        words: format::WORDS,
        seed: whole,
        runner: |_| Ok(Box::new(Pure(format::run))),
    },
    Target {
        name: "hpack",
        about: "header blocks of HTTP/2 to fields, and back",
        shape: Shape::Frames,
        corpus: "h2-server",
        words: &[],
        seed: whole,
        runner: |_| Ok(Box::new(Pure(hpack::run))),
    },
    Target {
        name: "proxy-protocol",
        about: "first bytes of a connection to who its client is, and back",
        shape: Shape::Bytes,
        corpus: "proxy-protocol",
        words: &[
            b"PROXY ",
            b"TCP4 ",
            b"TCP6 ",
            b"UNKNOWN",
            b"\r\n",
            b"::1 ",
            b"65535",
            b"\r\n\r\n\0\r\nQUIT\n",
        ],
        seed: whole,
        runner: |_| Ok(Box::new(Pure(inspect::proxy_protocol))),
    },
    Target {
        name: "client-hello",
        about: "first bytes of a connection to what a TLS client asks for",
        shape: Shape::Bytes,
        corpus: "client-hello",
        words: &[b"\x16\x03\x01", b"\0\x10", b"\x02h2", b"\0\0", b"\xff\xff"],
        seed: whole,
        runner: |_| Ok(Box::new(Pure(inspect::client_hello))),
    },
    Target {
        name: "http-line",
        about: "first bytes of a connection to the HTTP they begin",
        shape: Shape::Bytes,
        corpus: "http1-server",
        words: wire::HTTP1_WORDS,
        seed: whole,
        runner: |_| Ok(Box::new(Pure(inspect::http_line))),
    },
    Target {
        name: "http1-server",
        about: "bytes of an HTTP/1 client to a running weft-proxy",
        shape: Shape::Lines,
        corpus: "http1-server",
        words: wire::HTTP1_WORDS,
        seed: whole,
        runner: wire::http1_server,
    },
    Target {
        name: "filters",
        about: "bytes of an HTTP/1 client to a weft-proxy with every filter that looks at them",
        shape: Shape::Lines,
        corpus: "filters",
        words: wire::FILTER_WORDS,
        seed: whole,
        runner: wire::filters,
    },
    Target {
        name: "h2-server",
        about: "bytes of an HTTP/2 client to a running weft-proxy",
        shape: Shape::Frames,
        corpus: "h2-server",
        words: &[],
        seed: whole,
        runner: wire::h2_server,
    },
    Target {
        name: "http1-upstream",
        about: "bytes of an HTTP/1 server to a running weft-proxy",
        shape: Shape::Lines,
        corpus: "http1-upstream",
        words: wire::HTTP1_WORDS,
        seed: whole,
        runner: wire::http1_upstream,
    },
    Target {
        name: "h2-upstream",
        about: "bytes of an HTTP/2 server to a running weft-proxy",
        shape: Shape::Frames,
        corpus: "h2-upstream",
        words: &[],
        seed: whole,
        runner: wire::h2_upstream,
    },
];
