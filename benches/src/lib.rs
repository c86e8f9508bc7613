//! Speed of Weft beside other proxies: load, backend, peers and the table.
//!
//! The binary `side-by-side` runs every peer as a process pinned to one core and
//! plays client and backend from one thread on another core. `benches/README.md`
//! says what is measured and how to read it.

pub mod load;
pub mod machine;
pub mod peers;
pub mod process;
pub mod report;
pub mod row;
pub mod scale;
pub mod side_by_side;
