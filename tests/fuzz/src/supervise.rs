//! Targets run in processes of their own, so that nothing they do goes unseen: a panic, an
//! overflowed stack, an input that takes for ever, all end the child, and the input is kept.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::targets::Target;
use crate::{Settings, shrink};

/// The most that one input may take, and the way to the end of a run that found nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How a child ended.
pub(crate) enum End {
    /// Nothing failed.
    Well,
    /// Something did; what the child said last.
    Failed(String),
}

/// Runs targets one after the other; whether nothing failed.
pub(crate) fn all(targets: &[&Target], settings: &Settings) -> Result<bool> {
    fs::create_dir_all(&settings.out).context("create the folder for failing inputs")?;
    let seed = settings.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("seed {seed}");
    let mut well = true;
    for target in targets {
        let mut command = child(target, settings)?;
        command.arg(format!("--seed={seed}")).arg(format!("--seconds={}", settings.seconds));
        let limit = Duration::from_secs(settings.seconds) + PATIENCE;
        match wait(command, limit)? {
            End::Well => {}
            End::Failed(words) => {
                well = false;
                report(target, &words, settings)?;
            }
        }
    }
    Ok(well)
}

/// Runs one input.
pub(crate) fn replay(target: &Target, file: &Path, settings: &Settings) -> Result<bool> {
    fs::create_dir_all(&settings.out).context("create the folder for failing inputs")?;
    match again(target, file, settings)? {
        End::Well => Ok(true),
        End::Failed(words) => {
            println!("{words}");
            Ok(false)
        }
    }
}

/// Runs one input in a process of its own.
pub(crate) fn again(target: &Target, file: &Path, settings: &Settings) -> Result<End> {
    let mut command = child(target, settings)?;
    command.arg("--replay").arg(file);
    wait(command, PATIENCE)
}

/// Where a child notes the input that it is about to run.
pub(crate) fn current(target: &Target, settings: &Settings) -> PathBuf {
    settings.out.join(format!("{}.current", target.name))
}

fn child(target: &Target, settings: &Settings) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.args(["--child", target.name]);
    command.arg("--corpus").arg(&settings.corpus);
    command.arg("--out").arg(&settings.out);
    command.arg("--weft").arg(&settings.weft);
    Ok(command)
}

/// Waits for the end, at most for `limit`.
fn wait(mut command: Command, limit: Duration) -> Result<End> {
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let words = words(&mut child);
    let began = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if began.elapsed() > limit => {
                child.kill()?;
                child.wait()?;
                break None;
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let words = words.join().unwrap_or_default();
    Ok(match status {
        Some(status) if status.success() => End::Well,
        Some(status) => End::Failed(format!("{words}ended with {status}")),
        None => End::Failed(format!("{words}still running after {limit:?}")),
    })
}

/// The last words on standard error, read beside the child so that it never waits for us.
fn words(child: &mut Child) -> thread::JoinHandle<String> {
    let pipe = child.stderr.take();
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut pipe) = pipe {
            // A pipe that breaks has ended, which is all that matters here.
            let _ = pipe.read_to_end(&mut text);
        }
        let from = text.len().saturating_sub(4000);
        String::from_utf8_lossy(text.get(from..).unwrap_or_default()).into_owned()
    })
}

/// Keeps the failing input, smaller if possible, and says how to run it again.
fn report(target: &Target, words: &str, settings: &Settings) -> Result<()> {
    println!("FAILED  {}: {}", target.name, words.trim_end());
    let current = current(target, settings);
    let Ok(input) = fs::read(&current) else {
        println!("    before its first input");
        return Ok(());
    };
    let file = settings.out.join(format!("{}-{:08x}", target.name, checksum(&input)));
    fs::write(&file, &input).context("keep the failing input")?;
    let small = shrink::smaller(target, &file, settings)?;
    let shown = small.as_deref().unwrap_or(&file);
    println!("    again: cargo run -p weft-fuzz -- {} --replay {}", target.name, shown.display());
    if small.is_none() {
        println!("    alone, this input does not fail: what came before it matters, see --seed");
    }
    Ok(())
}

/// A name for an input (FNV-1a).
fn checksum(input: &[u8]) -> u32 {
    input.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
