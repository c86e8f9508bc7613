//! Compiles our own protocol.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=weft");
    let registry = protox::compile(["weft/registry/v1/registry.proto"], ["."])?;
    tonic_prost_build::configure().emit_rerun_if_changed(false).compile_fds(registry)?;
    Ok(())
}
