//! The rules, as types: what packet is meant and what happens to it. [`build`] makes them from
//! [`Options`](crate::options::Options); how they get into the kernel is another's business.
//!
//! Built-in chains get nothing but jumps into chains of our own, so that ours can be told from
//! everybody else's and be replaced whole.

mod condition;
mod redirect;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use condition::{Condition, ConnectionState, Is, Owner, Protocol};
pub use redirect::build;

/// All rules of one family, by table.
pub type Ruleset = BTreeMap<Table, TableRules>;

/// A table of the packet filter, in the order in which `iptables-restore` gets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Where packets are changed or dropped.
    Mangle,
    /// Where the first packet of a connection decides where the connection goes.
    Nat,
}

impl Table {
    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mangle => "mangle",
            Self::Nat => "nat",
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
    /// Drops.
    Drop,
    /// Decides about what arrives.
    Inbound,
    /// Sends to the inbound port of the proxy.
    InRedirect,
    /// Decides about what this namespace's processes send.
    Output,
    /// Sends to the outbound port of the proxy.
    Redirect,
}

impl Chain {
    /// All of them.
    const ALL: [Self; 5] = [
        Self::Drop,
        Self::Inbound,
        Self::InRedirect,
        Self::Output,
        Self::Redirect,
    ];

    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "ISTIO_DROP",
            Self::Inbound => "ISTIO_INBOUND",
            Self::InRedirect => "ISTIO_IN_REDIRECT",
            Self::Output => "ISTIO_OUTPUT",
            Self::Redirect => "ISTIO_REDIRECT",
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

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It vanishes.
    Drop,
    /// It goes on in another chain of ours.
    Jump(Chain),
    /// Its connection goes to this port of this pod instead.
    Redirect(u16),
    /// It leaves our chain and so is left alone.
    Return,
}
