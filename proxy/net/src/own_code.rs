//! The pages of this program's own code.

use std::{ffi::c_void, fs, io, ptr};

use rustix::mm::{Advice, madvise};

/// Unmaps the code and the constants of this process, whose pages come back from the file they are
/// of as soon as they are needed. After a start most of them never are: they read a configuration
/// and made what it says. Returns how many bytes were resident.
///
/// # Errors
/// When the system does not say what is mapped.
pub fn give_back_own_code() -> io::Result<usize> {
    let mappings = fs::read_to_string("/proc/self/smaps")?;
    let mut resident = 0;
    for mapping in clean(&mappings) {
        let from = ptr::with_exposed_provenance_mut::<c_void>(mapping.from);
        #[expect(unsafe_code, reason = "no safe library lets go of pages")]
        // SAFETY: Nothing of a mapping that holds no anonymous page and that nobody may write is
        // lost: whoever reads it next finds what the file has there, which is what was there.
        // Only a debugger could have changed that in between.
        let given = unsafe { madvise(from, mapping.length, Advice::LinuxDontNeed) };
        // Pages that were locked stay.
        if given.is_ok() {
            resident += mapping.resident;
        }
    }
    Ok(resident)
}

/// Pages of a file, none of which differs from it.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    from: usize,
    length: usize,
    resident: usize,
}

/// The mappings of files that nobody may write and nobody has written, of a text as
/// `/proc/PID/smaps` has it.
fn clean(text: &str) -> impl Iterator<Item = Mapping> {
    let mut found = Vec::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(mapping) = heading(line) {
            current = mapping;
        } else if let (Some(mapping), Some(kib)) = (&mut current, value(line, "Rss:")) {
            mapping.resident = kib * 1024;
        } else if value(line, "Anonymous:") == Some(0) {
            // It stands behind `Rss`. Without it nothing is known, and nothing is done.
            found.extend(current.take().filter(|mapping| mapping.resident > 0));
        }
    }
    found.into_iter()
}

/// Whether a line begins a mapping, and the mapping where it is one of a file's code or constants.
fn heading(line: &str) -> Option<Option<Mapping>> {
    let mut words = line.split_ascii_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let from = usize::from_str_radix(from, 16).ok()?;
    let to = usize::from_str_radix(to, 16).ok()?;
    let rights = words.next()?;
    let is_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
    let mapping = Mapping { from, length: to.checked_sub(from)?, resident: 0 };
    Some((matches!(rights, "r-xp" | "r--p") && is_file).then_some(mapping))
}

/// The number of KiB of a line that begins with `name`.
fn value(line: &str, name: &str) -> Option<usize> {
    line.strip_prefix(name)?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0-65d0 r--p 00000000 fe:00 42                         /usr/bin/weft-proxy
Size:                  4 kB
Rss:                   4 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
65d0-85d0 r-xp 00001000 fe:00 42                         /usr/bin/weft-proxy
Size:                  8 kB
Rss:                   8 kB
Anonymous:             0 kB
85d0-95d0 r--p 00003000 fe:00 42                         /usr/bin/weft-proxy
Rss:                   4 kB
Anonymous:             4 kB
95d0-a5d0 rw-p 00004000 fe:00 42                         /usr/bin/weft-proxy
Rss:                   4 kB
Anonymous:             0 kB
b5d0-c5d0 r--s 00000000 fe:00 43                         /var/shared
Rss:                   4 kB
Anonymous:             0 kB
c5d0-d5d0 r--p 00000000 00:00 0 
Rss:                   4 kB
Anonymous:             0 kB
d5d0-e5d0 r-xp 00000000 00:00 0                          [vdso]
Rss:                   4 kB
Anonymous:             0 kB
e5d0-f5d0 r--p 00000000 fe:00 44                         /lib/never-read
Rss:                   0 kB
Anonymous:             0 kB
";

    #[test]
    fn only_what_a_file_can_bring_back_is_given_back() {
        let mapping = |from, length, resident| Mapping { from, length, resident };
        let found: Vec<_> = clean(SMAPS).collect();
        assert_eq!(found, [mapping(0x55d0, 0x1000, 4096), mapping(0x65d0, 0x2000, 8192)]);
        assert_eq!(clean("nonsense\nRss: x kB\n1-0 r-xp 0 0 0 /x\nAnonymous: 0 kB").count(), 0);
    }

    #[test]
    fn code_that_was_given_back_runs_again() {
        let given = give_back_own_code().unwrap();
        assert!(given > 0);
        let text = fs::read_to_string("/proc/self/smaps").unwrap();
        let left: usize = clean(&text).map(|mapping| mapping.resident).sum();
        assert!(left < given, "{left} of {given} bytes are still there");
    }
}
