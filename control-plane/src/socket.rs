//! A Unix socket to be found in the file system.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

/// Connections that wait to be taken.
const BACKLOG: i32 = 4096;
/// Owner and group may connect: whoever can is trusted.
const MODE: u32 = 0o660;

/// The socket's name in the file system, which goes with this.
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone, or another's by now; either way nothing can be done about it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listens at `path`, taking the place of a socket that nobody listens on any more.
pub(crate) fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    clear(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile(path.to_owned());
    // Nobody can connect before `listen`.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
    socket.listen(BACKLOG)?;
    Ok((UnixListener::from_std(socket.into())?, file))
}

fn clear(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is no socket"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_taken_over_and_nothing_else_is() {
        let folder = std::env::temp_dir().join(format!("weft-socket-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("xds.sock");
        let (listener, file) = listen(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert_eq!(listen(&path).map(drop).unwrap_err().kind(), io::ErrorKind::AddrInUse);

        drop(listener);
        // As after a crash: the name is there, and nobody listens.
        std::mem::forget(file);
        let (_listener, file) = listen(&path).unwrap();
        drop(file);
        assert!(!path.exists());

        std::fs::write(&path, "precious").unwrap();
        assert_eq!(listen(&path).map(drop).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
