//! A packet on its way.

use std::fmt;
use std::net::IpAddr;

use crate::names;

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
    Sctp,
    /// An echo request of ICMP, or its answer.
    Ping,
}

/// What connection tracking holds of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It begins a connection.
    New,
    /// It answers one that was seen.
    Established,
    /// It answers one that was not seen.
    Invalid,
    /// A rule has changed that.
    Unknown,
}

/// A packet, at one place of its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) source: IpAddr,
    pub(super) dest: IpAddr,
    pub(super) protocol: Protocol,
    /// `None` is one that the kernel chooses.
    pub(super) source_port: Option<u16>,
    /// `None` is one that the kernel chose for the packet that this one answers.
    pub(super) dest_port: Option<u16>,
    /// `None` when a rule has set it to what cannot be told.
    pub(super) mark: Option<u32>,
    /// Whether it answers another one.
    pub(super) answers: bool,
    pub(super) state: State,
    /// Whether the destination of its connection was translated here.
    pub(super) led: bool,
    /// Whether the source of its connection was translated here.
    pub(super) hidden: bool,
    /// Whether it has been through the translations of this namespace: it comes by `lo`.
    pub(super) settled: bool,
    /// The connection that it answers, by its place among those that were seen.
    pub(super) flow: Option<usize>,
}

impl Protocol {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Ping => "icmp",
        }
    }
}

impl From<names::Protocol> for Protocol {
    fn from(protocol: names::Protocol) -> Self {
        match protocol {
            names::Protocol::Tcp => Self::Tcp,
            names::Protocol::Udp => Self::Udp,
            names::Protocol::Sctp => Self::Sctp,
        }
    }
}

impl Packet {
    /// Returns the packet as it begins in, or arrives from, another namespace: nothing of one follows it into the next.
    pub(super) fn fresh(self) -> Self {
        let state = if self.answers { State::Invalid } else { State::New };
        Self { mark: Some(0), state, led: false, hidden: false, settled: false, flow: None, ..self }
    }

    /// Returns the packet that answers this one.
    pub(super) fn answer(self) -> Self {
        let Self { source, dest, source_port, dest_port, .. } = self;
        let turned =
            Self { source: dest, dest: source, source_port: dest_port, dest_port: source_port, ..self };
        Self { answers: true, ..turned }.fresh()
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, dest, protocol, source_port: _, dest_port, .. } = self;
        match (protocol, dest_port) {
            (Protocol::Ping, _) => write!(f, "{source} to {dest} (ping)"),
            (_, None) => write!(f, "{source} to {dest} ({})", protocol.as_str()),
            (_, Some(port)) => write!(f, "{source} to {dest} port {port}/{}", protocol.as_str()),
        }
    }
}
