//! Socket options by number, for what configuration may set and no library knows by name.

use std::{io, os::fd::AsRawFd};

/// Something to be set on a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOption {
    /// `level` of `setsockopt`.
    pub level: i32,
    /// `optname` of `setsockopt`.
    pub name: i32,
    /// What it is set to: as many bytes as the option has.
    pub value: Box<[u8]>,
    /// When it is set.
    pub when: When,
}

/// When an option is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before the socket has an address.
    Prebind,
    /// Once it has one.
    Bound,
    /// Once it listens.
    Listening,
}

/// Sets those options of a socket whose time has come.
///
/// # Errors
/// What the system says: an option that it does not know, or a value that the option does not take.
pub(crate) fn apply(socket: &impl AsRawFd, options: &[SocketOption], when: When) -> io::Result<()> {
    options.iter().filter(|option| option.when == when).try_for_each(|option| set(socket, option))
}

#[expect(unsafe_code, reason = "no safe library takes options by number")]
fn set(socket: &impl AsRawFd, option: &SocketOption) -> io::Result<()> {
    let length = libc::socklen_t::try_from(option.value.len())
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the kernel reads `length`
    // bytes at most, all of which `value` has. It keeps no pointer to them.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            option.level,
            option.name,
            option.value.as_ptr().cast(),
            length,
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    let (level, name) = (option.level, option.name);
    Err(io::Error::new(error.kind(), format!("socket option {name} of level {level}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(level: i32, name: i32, value: &[u8]) -> SocketOption {
        SocketOption { level, name, value: value.into(), when: When::Prebind }
    }

    #[test]
    fn options_are_set_in_their_time_and_errors_name_them() {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let on = option(libc::SOL_SOCKET, libc::SO_KEEPALIVE, &1i32.to_ne_bytes());
        apply(&socket, std::slice::from_ref(&on), When::Bound).unwrap();
        assert!(!socket.keepalive().unwrap());
        apply(&socket, std::slice::from_ref(&on), When::Prebind).unwrap();
        assert!(socket.keepalive().unwrap());
        let unknown = option(libc::SOL_SOCKET, 9999, &[]);
        let error = apply(&socket, &[unknown], When::Prebind).unwrap_err();
        assert!(error.to_string().starts_with("socket option 9999 of level 1: "), "{error}");
        let short = option(libc::SOL_SOCKET, libc::SO_KEEPALIVE, &[1]);
        assert!(apply(&socket, &[short], When::Prebind).is_err());
    }
}
