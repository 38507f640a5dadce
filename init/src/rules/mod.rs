//! The rules, as types: what packet is meant and what happens to it. [`build`] makes them from
//! [`Options`](crate::options::Options); how they get into the kernel is another's business.
//!
//! Built-in chains get nothing but jumps into chains of our own, so that ours can be told from
//! everybody else's and be replaced whole.

mod builder;
mod condition;
mod dns;
mod redirect;
mod tproxy;

#[cfg(test)]
pub(crate) mod generators;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use builder::build;
pub use condition::{Condition, ConnectionState, Is, Owner, Protocol, Transport};

/// All rules of one family, by table.
pub type Ruleset = BTreeMap<Table, TableRules>;

/// A table of the packet filter, in the order in which `iptables-restore` gets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Where packets are changed or dropped.
    Mangle,
    /// Where the first packet of a connection decides where the connection goes.
    Nat,
    /// Where packets are seen before connection tracking sees them.
    Raw,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mangle, Self::Nat, Self::Raw];

    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mangle => "mangle",
            Self::Nat => "nat",
            Self::Raw => "raw",
        }
    }
}

/// Our part of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableRules {
    /// The jumps from built-in chains into ours, in order.
    pub hooks: Vec<Hook>,
    /// Our chains with their rules in order.
    pub chains: BTreeMap<Chain, Vec<Rule>>,
}

/// A jump from a built-in chain into one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Which packets.
    pub point: Point,
    /// Which of those.
    pub condition: Condition,
    /// Where they go on.
    pub chain: Chain,
}

/// A built-in chain: the point on a packet's way where it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// Packets of this namespace's processes.
    Output,
    /// Packets that arrive.
    Prerouting,
}

impl Point {
    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Output => "OUTPUT",
            Self::Prerouting => "PREROUTING",
        }
    }
}

/// A chain of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// Hands packets of known connections to this pod, whatever their address.
    Divert,
    /// Drops.
    Drop,
    /// Decides about what arrives.
    Inbound,
    /// Sends to the inbound port of the proxy.
    InRedirect,
    /// Decides about what this namespace's processes send.
    Output,
    /// Sends questions about names to the proxy.
    OutputDns,
    /// Sends to the outbound port of the proxy.
    Redirect,
    /// Hands new connections to the inbound port of the proxy, with both their addresses.
    Tproxy,
}

impl Chain {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Divert,
        Self::Drop,
        Self::Inbound,
        Self::InRedirect,
        Self::Output,
        Self::OutputDns,
        Self::Redirect,
        Self::Tproxy,
    ];

    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Divert => "ISTIO_DIVERT",
            Self::Drop => "ISTIO_DROP",
            Self::Inbound => "ISTIO_INBOUND",
            Self::InRedirect => "ISTIO_IN_REDIRECT",
            Self::Output => "ISTIO_OUTPUT",
            Self::OutputDns => "ISTIO_OUTPUT_DNS",
            Self::Redirect => "ISTIO_REDIRECT",
            Self::Tproxy => "ISTIO_TPROXY",
        }
    }

    /// The chain of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|chain| chain.name() == name)
    }
}

/// What happens to the packets that a condition is true for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which packets.
    pub condition: Condition,
    /// What happens to them.
    pub action: Action,
}

/// What happens to a packet. After the actions that only change something, the next rule is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on, and no other rule of this table is looked at.
    Accept,
    /// It vanishes.
    Drop,
    /// It goes on in another chain of ours.
    Jump(Chain),
    /// Its connection goes to this port of this pod instead.
    Redirect(u16),
    /// It gets the mark of its connection.
    RestoreMark,
    /// It leaves our chain and so is left alone.
    Return,
    /// Its connection gets its mark.
    SaveMark,
    /// It gets this mark.
    SetMark(u32),
    /// Its connection is tracked among those of this zone, unless it is tracked already.
    SetZone(u16),
    /// It goes to whoever listens on this port with `IP_TRANSPARENT`, addresses unchanged, with this mark.
    Tproxy {
        /// The port.
        port: u16,
        /// The mark.
        mark: u32,
    },
}
