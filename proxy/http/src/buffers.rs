//! Memory that the connections of a worker share, so that none of them keeps any while it is idle.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// Size of the block that heads are read into. What is read keeps the block alive until it is
/// dropped, so a bigger one would cost more for requests that wait.
const READ_BLOCK: usize = 16 * 1024;
/// Below this much room a read is not worth its system call.
const READ_ROOM: usize = 4 * 1024;
/// Size of the block that heads are written to.
const WRITE_BLOCK: usize = 16 * 1024;

/// A worker's blocks. Each is used again from its start once nothing refers to it.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    read: RefCell<BytesMut>,
    write: RefCell<BytesMut>,
}

impl Buffers {
    /// Lets `read` fill the block, and takes what it put there.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&mut BytesMut) -> T) -> (T, BytesMut) {
        let mut block = self.read.borrow_mut();
        if block.capacity() < READ_ROOM {
            block.reserve(READ_BLOCK);
        }
        let done = read(&mut block);
        let filled = if block.is_empty() { BytesMut::new() } else { block.split() };
        (done, filled)
    }

    /// What `write` puts down.
    pub(crate) fn write(&self, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        let mut block = self.write.borrow_mut();
        if block.capacity() == 0 {
            block.reserve(WRITE_BLOCK);
        }
        write(&mut block);
        block.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_used_again_once_nothing_refers_to_it() {
        let buffers = Buffers::default();
        let mut places = std::collections::HashSet::new();
        for _ in 0..1000 {
            let ((), read) = buffers.read(|block| block.extend_from_slice(&[1; 1500]));
            places.insert(read.as_ptr() as usize);
        }
        assert!(places.len() <= READ_BLOCK / 1500 + 1, "{} places", places.len());
    }
}
