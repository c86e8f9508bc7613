//! The loop that mutates and runs inputs, in a process that may die of them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use rustix::time::{ClockId, clock_gettime};

use crate::Settings;
use crate::mutate::mutate as mutated;
use crate::novelty::Behaviour;
use crate::supervise::current;
use crate::targets::{Runner, Target};

/// The most processor time that one input may cost.
const CPU_LIMIT: Duration = Duration::from_secs(2);
/// The most that may be held at once for one input, beside a multiple of its length.
const BYTES_LIMIT: u64 = 4 << 20;
/// That multiple: a byte of YAML becomes a node of a tree, a byte of protobuf a struct.
const BYTES_PER_BYTE: u64 = 1024;

/// Runs one input.
pub(crate) fn replay(target: &Target, file: &Path, settings: &Settings) -> Result<bool> {
    let input = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let mut runner = (target.runner)(settings)?;
    one(&mut *runner, &input)?;
    Ok(true)
}

/// Runs the corpus, then mutations of it for a while.
pub(crate) fn mutate(target: &Target, time: Duration, settings: &Settings) -> Result<bool> {
    let mut rng = Rng::with_seed(settings.seed.unwrap_or_default());
    let mut runner = (target.runner)(settings)?;
    let mut pool = seeds(target, settings)?;
    let current = File::create(current(target, settings)).context("note the current input")?;
    let mut seen = HashSet::new();
    let mut ran = 0_u64;
    for input in &pool {
        note(&current, input)?;
        seen.insert(one(&mut *runner, input)?);
        ran += 1;
    }
    let from_corpus = seen.len();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let (Some(base), Some(other)) = (rng.choice(&pool), rng.choice(&pool)) else {
            bail!("no corpus for {}", target.name);
        };
        let input = mutated(target.shape, base, other, target.words, &mut rng);
        note(&current, &input)?;
        ran += 1;
        if seen.insert(one(&mut *runner, &input)?) {
            pool.push(input);
        }
    }
    println!(
        "ok      {:15} {ran:7} inputs, {from_corpus:4} behaviours in the corpus, {:5} in all",
        target.name,
        seen.len()
    );
    Ok(true)
}

/// Runs an input within the limits.
fn one(runner: &mut dyn Runner, input: &[u8]) -> Result<Behaviour> {
    let began = cpu();
    let mut outcome = None;
    let memory = allocation_counter::measure(|| outcome = Some(runner.run(input)));
    let took = cpu().saturating_sub(began);
    if took > CPU_LIMIT {
        bail!("{} bytes of input took {took:?} of processor time", input.len());
    }
    let most = BYTES_LIMIT + BYTES_PER_BYTE * input.len() as u64;
    if memory.bytes_max > most {
        bail!("{} bytes of input needed {} bytes of memory", input.len(), memory.bytes_max);
    }
    outcome.context("the target did not run")?
}

/// Processor time, so that a busy machine makes no input look slow.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Writes down what is about to be run: whatever happens, it can be run again.
fn note(file: &File, input: &[u8]) -> Result<()> {
    file.set_len(input.len() as u64).context("note the input")?;
    file.write_all_at(input, 0).context("note the input")
}

/// The corpus of the target, in a fixed order.
fn seeds(target: &Target, settings: &Settings) -> Result<Vec<Vec<u8>>> {
    let folder = settings.corpus.join(target.corpus);
    let entries = fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.context("read the corpus")?.path());
    }
    paths.sort();
    let mut inputs = Vec::new();
    for path in paths {
        inputs.push(fs::read(&path).with_context(|| format!("read {}", path.display()))?);
    }
    let inputs: Vec<_> = inputs.into_iter().map(target.seed).collect::<Result<_>>()?;
    Ok(inputs.concat())
}
