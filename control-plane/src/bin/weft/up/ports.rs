//! Ports for processes that are yet to start.
//!
//! The kernel chooses them. A reservation is a socket that is bound and never listens: it keeps
//! the port from being given to anybody else, while a server that sets `SO_REUSEADDR` (as servers
//! do) or `SO_REUSEPORT` can still listen on it. It is held as long as the mesh runs, so that a
//! port that was printed stays true.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A loopback address that is kept for one of our processes.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) address: SocketAddr,
    _socket: Socket,
}

/// Reserves a loopback port.
pub(crate) fn reserve() -> io::Result<Reserved> {
    bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// Reserves the port that a user has asked for.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Reserved> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.port() != 0 {
        share(&socket)?;
    }
    socket.bind(&address.into())?;
    if address.port() == 0 {
        // Only now: with the options set, the kernel might choose a port that others share too.
        share(&socket)?;
    }
    let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(Reserved { address, _socket: socket })
}

fn share(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_server_can_listen_on_its_reservation_and_is_the_one_that_is_reached() {
        let reserved = reserve().unwrap();
        TcpStream::connect(reserved.address).unwrap_err();
        let server = TcpListener::bind(reserved.address).unwrap();
        TcpStream::connect(reserved.address).unwrap();
        server.accept().unwrap();
    }

    #[test]
    fn several_listeners_may_share_a_reservation() {
        let reserved = reserve().unwrap();
        let listeners = [(); 2].map(|()| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(&reserved.address.into()).unwrap();
            socket.listen(1).unwrap();
            socket
        });
        TcpStream::connect(reserved.address).unwrap();
        drop(listeners);
        TcpStream::connect(reserved.address).unwrap_err();
    }

    #[test]
    fn reservations_never_meet() {
        let reserved: Vec<_> = (0..200).map(|_| reserve().unwrap()).collect();
        let ports: BTreeSet<_> = reserved.iter().map(|one| one.address.port()).collect();
        assert_eq!(ports.len(), reserved.len());
    }
}
