//! Compiles our own protocol, and the schema that the crate reads at run time.
//!
//! Envoy's descriptors come from the very copy of `envoy-types` that cargo builds us
//! with, so nothing of Envoy's is kept here and the two cannot drift apart.

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;

#[path = "build/descriptors.rs"]
mod descriptors;
#[path = "build/emit.rs"]
mod emit;
#[path = "build/place.rs"]
mod place;
#[path = "build/rules.rs"]
mod rules;
#[path = "build/table.rs"]
mod table;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    for input in ["build.rs", "build", "weft", "extra", "fields.toml", "../Cargo.lock"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let registry = protox::compile(["weft/registry/v1/registry.proto"], ["."])?;
    tonic_prost_build::configure().emit_rerun_if_changed(false).compile_fds(registry)?;
    let admin = protox::compile(["weft/admin/v1/admin.proto"], ["."])?;
    let described = admin.encode_to_vec();
    tonic_prost_build::configure().emit_rerun_if_changed(false).compile_fds(admin)?;

    let pool = descriptors::load()?;
    let table = table::Table::read("fields.toml")?;
    let places = place::Places::survey(&pool, &table)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("admin.bin"), described)?;
    std::fs::write(out.join("schema.rs"), emit::schema(&pool, &places)?)?;
    // For tests alone, which compare with an implementation that works by descriptors.
    std::fs::write(out.join("descriptors.bin"), pool.encode_to_vec())?;
    Ok(())
}
