//! Who a client is, and what it was heard to say before anything was answered.

use std::net::SocketAddr;

use weft_format::Metadata;
use weft_net::{PeerAddress, Stream, Tlv};
use weft_route::ConnectionView;

/// What is known of a client's connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The client, as the PROXY protocol tells it; else the other end of the connection.
    pub(crate) peer: PeerAddress,
    /// The other end of the connection itself.
    pub(crate) direct_peer: PeerAddress,
    /// Where the client meant to go, where that is not the connection's own address.
    pub(crate) meant_for: Option<SocketAddr>,
    /// The host its TLS hello names, in lower case.
    pub(crate) server_name: Option<Box<str>>,
    /// The protocols its TLS hello offers, or the HTTP it begins with.
    pub(crate) application_protocols: Vec<Box<str>>,
    /// Whether it begins with a TLS hello.
    pub(crate) is_tls: bool,
    /// Whether the PROXY protocol told anything of it.
    pub(crate) is_told: bool,
    /// What the PROXY protocol told besides, as far as it was to be kept.
    pub(crate) tlvs: Vec<Tlv>,
    /// What listener filters found out for others to read.
    pub(crate) metadata: Option<Box<Metadata>>,
}

impl Client {
    /// Of whom nothing but its address is known.
    pub(crate) fn new(peer: PeerAddress) -> Self {
        Self {
            peer,
            direct_peer: peer,
            meant_for: None,
            server_name: None,
            application_protocols: Vec::new(),
            is_tls: false,
            is_told: false,
            tlvs: Vec::new(),
            metadata: None,
        }
    }

    /// The address that it connected to, as far as it knows.
    pub(crate) fn destination(&self, stream: &Stream) -> Option<SocketAddr> {
        self.meant_for.or_else(|| stream.local_address())
    }

    /// What chains are chosen by.
    pub(crate) fn view(&self, destination: Option<SocketAddr>) -> ConnectionView<'_> {
        ConnectionView {
            destination,
            source: self.peer.ip(),
            direct_source: self.direct_peer.ip(),
            server_name: self.server_name.as_deref().unwrap_or_default(),
            transport_protocol: if self.is_tls { "tls" } else { "raw_buffer" },
            application_protocols: &self.application_protocols,
        }
    }
}
