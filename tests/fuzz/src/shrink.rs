//! Making a failing input smaller while it still fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::Settings;
use crate::supervise::{End, again};
use crate::targets::Target;

const LONGEST: Duration = Duration::from_secs(60);

/// Shrinks the input of `--replay`.
pub(crate) fn shrink(target: &Target, file: &Path, settings: &Settings) -> Result<bool> {
    match smaller(target, file, settings)? {
        Some(small) => println!("{}", small.display()),
        None => println!("does not fail"),
    }
    Ok(true)
}

/// A smaller input that fails, in a file beside the first; `None` when it does not fail at all.
pub(crate) fn smaller(
    target: &Target,
    file: &Path,
    settings: &Settings,
) -> Result<Option<PathBuf>> {
    let began = Instant::now();
    let small = file.with_extension("small");
    let fails = |input: &[u8]| -> Result<bool> {
        fs::write(&small, input).context("write a smaller input")?;
        Ok(matches!(again(target, &small, settings)?, End::Failed(_)))
    };
    let mut input = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    if !fails(&input)? {
        fs::remove_file(&small).context("remove what is not needed")?;
        return Ok(None);
    }
    let mut step = input.len().div_ceil(2);
    while step > 0 && began.elapsed() < LONGEST {
        let mut at = 0;
        while at < input.len() && began.elapsed() < LONGEST {
            let mut without = input.clone();
            without.drain(at..(at + step).min(input.len()));
            if fails(&without)? {
                input = without;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    fs::write(&small, &input).context("write the smallest input")?;
    Ok(Some(small))
}
