//! Compiles the sample shop's gRPC service, with a protobuf compiler in Rust: no `protoc` needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = "src/bin/weft/sample";
    println!("cargo::rerun-if-changed={folder}/sample.proto");
    let descriptors = protox::compile(["sample.proto"], [folder])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
