//! The loop: sockets of backend and client, and what became ready.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::connection::{BackendConnection, ClientConnection};
use super::hpack::{self, Block, Field, Name};
use super::messages::{self, MessageReply};
use super::wire::Wire;
use super::{Failure, Protocol};

const SCRATCH: usize = 256 * 1024;
const EVENTS: usize = 1024;

/// What one backend port answers, in the form that its protocol needs.
pub(crate) struct Reply {
    protocol: Protocol,
    http1: Vec<u8>,
    block: Block,
    trailers: Vec<u8>,
    body: Vec<u8>,
    messages: MessageReply,
}

impl Reply {
    fn new(protocol: Protocol, length: usize) -> Option<Self> {
        let grpc = matches!(protocol, Protocol::GrpcUnary | Protocol::GrpcStream);
        let body: Vec<u8> = match grpc {
            true => messages::grpc(),
            false => (b'a'..=b'z').cycle().take(length).collect(),
        };
        let digits = body.len().to_string();
        let mut http1 = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {digits}\r\n\r\n"
        )
        .into_bytes();
        http1.extend_from_slice(&body);
        // Static table: 8 `:status: 200`, 31 `content-type`, 28 `content-length`.
        let mut fields = vec![(31, if grpc { "application/grpc" } else { "text/plain" })];
        if !grpc {
            fields.push((28, digits.as_str()));
        }
        let fields: Vec<_> = fields
            .into_iter()
            .map(|(name, value)| Field { name: Name::Static(name), value })
            .collect();
        let block = Block::new(&[8], &fields)?;
        let trailers = hpack::unindexed(&[Field { name: Name::Plain("grpc-status"), value: "0" }])?;
        let messages = MessageReply::new(protocol, &body);
        Some(Self { protocol, http1, block, trailers, body, messages })
    }

    pub(crate) fn http1(&self) -> &[u8] {
        &self.http1
    }

    pub(crate) fn block(&self, sent: bool) -> &[u8] {
        self.block.bytes(sent)
    }

    pub(crate) fn block_without_table(&self) -> &[u8] {
        self.block.without_table()
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// What follows the body on HTTP/2.
    pub(crate) fn trailers(&self) -> Option<&[u8]> {
        (self.protocol == Protocol::GrpcUnary).then_some(self.trailers.as_slice())
    }

    /// Whether requests on HTTP/2 have bodies.
    pub(crate) fn takes_body(&self) -> bool {
        self.protocol != Protocol::H2c
    }

    /// The length of the messages that are answered one by one on an open stream.
    pub(crate) fn message(&self) -> Option<usize> {
        (self.protocol == Protocol::GrpcStream).then_some(messages::CARRIED)
    }

    /// What is answered to messages on a connection of their own.
    pub(crate) fn messages(&self) -> &MessageReply {
        &self.messages
    }
}

/// The addresses of the backends of one protocol.
#[derive(Clone, Copy, Debug)]
pub struct Backends {
    /// Answers with a body of [`Engine::SMALL`] bytes.
    pub small: SocketAddr,
    /// Answers with a body of [`Engine::LARGE`] bytes.
    pub large: SocketAddr,
    /// Answers with a body of [`Engine::HUGE`] bytes.
    pub huge: SocketAddr,
}

enum Member {
    Listener { listener: TcpListener, protocol: Protocol, reply: Rc<Reply> },
    Backend(BackendConnection, Rc<Reply>),
    Client(ClientConnection),
}

/// Something that happened on a client connection.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    pub token: usize,
    pub readable: bool,
    pub writable: bool,
    pub ended: bool,
}

/// Backends that always run, and the client connections of at most one session.
pub struct Engine {
    poll: Poll,
    events: Events,
    members: Slab<Member>,
    scratch: Vec<u8>,
    served: u64,
    backends: Vec<(Protocol, Backends)>,
}

impl Engine {
    /// Bytes of a small body.
    pub const SMALL: usize = 64;
    /// Bytes of a large body.
    pub const LARGE: usize = 64 * 1024;
    /// Bytes of a huge body.
    pub const HUGE: usize = 1024 * 1024;

    /// Binds the backends to loopback ports that the kernel chooses.
    pub fn new() -> io::Result<Self> {
        let mut engine = Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            members: Slab::new(),
            scratch: vec![0; SCRATCH],
            served: 0,
            backends: Vec::new(),
        };
        for protocol in Protocol::ALL {
            let backends = engine.listen(protocol)?;
            engine.backends.push((protocol, backends));
        }
        Ok(engine)
    }

    /// Where the backends of a protocol listen; all protocols have some.
    pub fn backends(&self, protocol: Protocol) -> Option<Backends> {
        self.backends.iter().find(|(own, _)| *own == protocol).map(|(_, backends)| *backends)
    }

    /// How many requests the backends have answered since the start.
    pub fn served(&self) -> u64 {
        self.served
    }

    fn listen(&mut self, protocol: Protocol) -> io::Result<Backends> {
        Ok(Backends {
            small: self.listen_one(protocol, Self::SMALL)?,
            large: self.listen_one(protocol, Self::LARGE)?,
            huge: self.listen_one(protocol, Self::HUGE)?,
        })
    }

    fn listen_one(&mut self, protocol: Protocol, body: usize) -> io::Result<SocketAddr> {
        let reply = Reply::new(protocol, body).ok_or(ErrorKind::InvalidInput)?;
        let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let entry = self.members.vacant_entry();
        let registry = self.poll.registry();
        registry.register(&mut listener, Token(entry.key()), Interest::READABLE)?;
        entry.insert(Member::Listener { listener, protocol, reply: Rc::new(reply) });
        Ok(address)
    }

    /// Opens a client connection.
    pub(crate) fn connect(&mut self, to: SocketAddr, protocol: Protocol) -> io::Result<usize> {
        let wire = Wire::new(TcpStream::connect(to)?);
        let client = ClientConnection::new(protocol, wire);
        self.insert(Member::Client(client))
    }

    /// The client connection of a token.
    pub(crate) fn client(&mut self, token: usize) -> Option<(&mut ClientConnection, &mut [u8])> {
        match self.members.get_mut(token) {
            Some(Member::Client(client)) => Some((client, &mut self.scratch)),
            _ => None,
        }
    }

    /// Closes a client connection.
    pub(crate) fn disconnect(&mut self, token: usize) {
        if matches!(self.members.get(token), Some(Member::Client(_))) {
            self.members.remove(token);
        }
    }

    /// Closes all client connections.
    pub(crate) fn disconnect_all(&mut self) {
        self.members.retain(|_, member| !matches!(member, Member::Client(_)));
    }

    /// Waits up to `timeout`, does the backends' work, and leaves what is ready on
    /// client connections in `ready`.
    pub(crate) fn turn(
        &mut self,
        timeout: Duration,
        ready: &mut VecDeque<Ready>,
    ) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        let mut accepted = Vec::new();
        let mut ended = Vec::new();
        for event in &self.events {
            let token = event.token().0;
            let until_end = event.is_read_closed() || event.is_error();
            match self.members.get_mut(token) {
                Some(Member::Client(_)) => ready.push_back(Ready {
                    token,
                    readable: event.is_readable(),
                    writable: event.is_writable(),
                    ended: until_end,
                }),
                Some(Member::Backend(connection, reply)) => {
                    let outcome = if event.is_readable() || until_end {
                        connection.serve(&mut self.scratch, until_end, reply, &mut self.served)
                    } else {
                        connection.resume(reply)
                    };
                    if outcome.is_err() {
                        ended.push(token);
                    }
                }
                Some(Member::Listener { listener, protocol, reply }) => {
                    while let Some(stream) = accept(listener)? {
                        accepted.push((stream, *protocol, Rc::clone(reply)));
                    }
                }
                None => {}
            }
        }
        for token in ended {
            self.members.try_remove(token);
        }
        for (stream, protocol, reply) in accepted {
            let connection = BackendConnection::new(protocol, Wire::new(stream));
            self.insert(Member::Backend(connection, reply))?;
        }
        Ok(())
    }

    fn insert(&mut self, mut member: Member) -> io::Result<usize> {
        let wire = match &mut member {
            Member::Backend(connection, _) => connection.wire(),
            Member::Client(connection) => connection.wire(),
            Member::Listener { .. } => return Err(ErrorKind::InvalidInput.into()),
        };
        let entry = self.members.vacant_entry();
        let token = entry.key();
        wire.stream().set_nodelay(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry.register(wire.stream(), Token(token), interest)?;
        wire.flush()?;
        entry.insert(member);
        Ok(token)
    }
}

fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => Ok(Some(stream)),
        // Nothing more, or a connection that was gone before it was taken.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::ConnectionAborted | ErrorKind::Interrupted
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::other(failure)
    }
}
