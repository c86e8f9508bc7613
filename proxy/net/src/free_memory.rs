//! Memory that was given up and that the allocator keeps.

/// Returns to the system what the allocator keeps for later. It does so by itself only for what is at
/// the end of its heaps, so without this a process stays as large as it once was. Takes milliseconds, in
/// which who asks for memory may wait.
#[cfg(target_env = "gnu")]
pub fn give_back_free_memory() {
    #[expect(unsafe_code, reason = "no safe library asks the allocator for this")]
    // SAFETY: It takes no pointer, touches nothing that is allocated, and may be called by any thread at any time
    // (malloc_trim(3): MT-Safe).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Nothing: other allocators return memory by themselves.
#[cfg(not(target_env = "gnu"))]
pub fn give_back_free_memory() {}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_goes_back() {
        let held = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
        };
        // One in a hundred stays, so that no heap can end before the last.
        let mut blocks: Vec<Vec<u8>> = (0..4_000).map(|_| vec![1; 16 * 1024]).collect();
        let mut at = 0;
        blocks.retain(|_| {
            at += 1;
            at % 100 == 0
        });
        let before = held();
        give_back_free_memory();
        assert!(held() + 32 * 1024 < before, "{} KiB of {before} are left", held());
        assert_eq!(blocks.len(), 40);
    }
}
