//! All connections on one thread, by one `epoll`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::proxy::Proxy;
use super::registrar::Registrar;
use crate::load::wire::{Input, Wire};

/// Who speaks on a connection.
pub(crate) enum Role {
    Proxy(Proxy),
    Registrar(Registrar),
}

pub(crate) struct Peer {
    wire: Wire,
    pub(crate) role: Role,
}

/// Everyone who is connected to the control plane.
pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    address: SocketAddr,
    pub(crate) peers: Vec<Peer>,
    buffer: Vec<u8>,
}

impl Swarm {
    pub(crate) fn new(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            address,
            peers: Vec::new(),
            buffer: vec![0; 256 * 1024],
        })
    }

    /// Connects somebody, who has this to say.
    pub(crate) fn connect(&mut self, role: Role, first: &[u8]) -> Result<()> {
        let mut stream =
            TcpStream::connect(self.address).context("connect to the control plane")?;
        let token = Token(self.peers.len());
        self.poll.registry().register(
            &mut stream,
            token,
            Interest::READABLE | Interest::WRITABLE,
        )?;
        let mut wire = Wire::new(stream);
        wire.out().extend_from_slice(first);
        self.peers.push(Peer { wire, role });
        Ok(())
    }

    /// Goes on until `done`, looking after every round.
    pub(crate) fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&[Peer]) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !done(&self.peers) {
            if Instant::now() >= deadline {
                bail!("{what} took longer than {} s", limit.as_secs());
            }
            self.turn(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Serves whoever has something to say for this long.
    pub(crate) fn turn(&mut self, at_most: Duration) -> Result<()> {
        self.poll.poll(&mut self.events, Some(at_most))?;
        for event in &self.events {
            let Some(peer) = self.peers.get_mut(event.token().0) else { continue };
            peer.drive(&mut self.buffer)?;
        }
        Ok(())
    }

    /// Lets one peer say something of its own accord.
    pub(crate) fn say(
        &mut self,
        at: usize,
        words: impl FnOnce(&Role, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let Some(peer) = self.peers.get_mut(at) else { return Ok(()) };
        words(&peer.role, peer.wire.out())?;
        Ok(peer.wire.flush()?)
    }
}

impl Peer {
    fn drive(&mut self, buffer: &mut [u8]) -> Result<()> {
        loop {
            let (length, last) = match self.wire.read(buffer)? {
                Input::Bytes { length, last } => (length, last),
                Input::Nothing => break,
                Input::End => bail!("the control plane closed a connection"),
            };
            let bytes = buffer.get(..length).unwrap_or_default();
            match &mut self.role {
                Role::Proxy(proxy) => proxy.take(bytes, self.wire.out())?,
                Role::Registrar(registrar) => registrar.take(bytes, self.wire.out())?,
            }
            if last {
                break;
            }
        }
        Ok(self.wire.flush()?)
    }
}
