//! Files that change: what tells one state of a file from another, and what the kernel says of folders.
//!
//! Who follows a file watches its folder: files are replaced by moving others over them, links are
//! turned, and a watch on the file itself would go away with it.

mod notices;
mod stamp;

pub use notices::{Notice, Notices};
pub use rustix::fs::inotify::{ReadFlags, WatchFlags};
pub use stamp::Stamp;
