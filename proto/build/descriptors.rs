//! Envoy's descriptors, from the copy of `envoy-types` that cargo builds us with.

use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorSet;

use crate::Result;

/// Where the crate keeps its descriptors, options and all.
const IN_CRATE: &str = "src/generated/types.bin";

/// Messages that Envoy's peers send and that `envoy-types` lacks, in our own words, and our own.
const EXTRA: [&str; 7] = [
    "udpa/type/v1/typed_struct.proto",
    "xds/type/v3/typed_struct.proto",
    "xds/type/matcher/v3/inputs.proto",
    "weft/balancing/v1/peak_ewma.proto",
    "weft/hedging/v1/hedge_policy.proto",
    "weft/limits/v1/rate_limit_headers.proto",
    "weft/mirroring/v1/mirroring.proto",
];

/// Reads the descriptors of `envoy-types` and adds the messages it lacks.
pub(crate) fn load() -> Result<DescriptorPool> {
    let lock = lock_file()?;
    let path = match in_registry(&lock)? {
        Some(path) => path,
        None => by_metadata(&lock)?,
    };
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut pool = DescriptorPool::decode(bytes.as_slice())?;
    // As bytes: a decoded set has lost the rules of fields, which are extensions of their options.
    pool.decode_file_descriptor_set(compile_extra(&bytes)?.as_slice())?;
    Ok(pool)
}

/// Our own files resolve their imports among those of `envoy-types`.
fn compile_extra(envoy: &[u8]) -> Result<Vec<u8>> {
    let set = FileDescriptorSet::decode(envoy)?;
    let mut resolver = protox::file::ChainFileResolver::new();
    resolver.add(protox::file::IncludeFileResolver::new("extra".into()));
    resolver.add(protox::file::DescriptorSetFileResolver::new(set));
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(false);
    compiler.open_files(EXTRA)?;
    Ok(compiler.encode_file_descriptor_set())
}

fn lock_file() -> Result<PathBuf> {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    here.ancestors()
        .map(|folder| folder.join("Cargo.lock"))
        .find(|path| path.is_file())
        .ok_or_else(|| "there is no Cargo.lock above weft-proto".into())
}

/// The usual case, without starting another process: the version that `Cargo.lock`
/// names, unpacked under `$CARGO_HOME/registry/src`. `None` when the crate is vendored,
/// patched, or comes from elsewhere.
fn in_registry(lock: &Path) -> Result<Option<PathBuf>> {
    let lock: toml::Table = std::fs::read_to_string(lock)?.parse()?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let Some(package) = packages
        .into_iter()
        .flatten()
        .find(|package| package.get("name").and_then(toml::Value::as_str) == Some("envoy-types"))
    else {
        return Err("Cargo.lock does not name envoy-types".into());
    };
    let text = |key| package.get(key).and_then(toml::Value::as_str);
    if !text("source").is_some_and(|source| source.starts_with("registry+")) {
        return Ok(None);
    }
    let name = format!("envoy-types-{}", text("version").unwrap_or_default());
    let Some(home) = cargo_home() else { return Ok(None) };
    let Ok(registries) = std::fs::read_dir(home.join("registry/src")) else { return Ok(None) };
    Ok(registries
        .flatten()
        .map(|registry| registry.path().join(&name).join(IN_CRATE))
        .find(|path| path.is_file()))
}

fn cargo_home() -> Option<PathBuf> {
    let set = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    set.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
}

/// Asks cargo, which knows of vendored and patched crates.
fn by_metadata(lock: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let folder = lock.parent().ok_or("Cargo.lock is in no folder")?;
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform"])
        .arg(std::env::var("TARGET")?)
        .current_dir(folder)
        .output()?;
    if !output.status.success() {
        return Err(format!(
            "cannot ask cargo where envoy-types is: {}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array();
    packages
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "envoy-types")
        .and_then(|package| package["manifest_path"].as_str())
        .and_then(|manifest| Path::new(manifest).parent())
        .map(|folder| folder.join(IN_CRATE))
        .ok_or_else(|| "cargo metadata does not name envoy-types".into())
}
