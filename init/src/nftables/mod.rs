//! The packet filter by way of nf_tables over netlink: no program is needed, and both families are
//! changed in one transaction, whole or not at all.
//!
//! [`translation`] turns rules into the [`expression`]s of the kernel's virtual machine, [`state`] is
//! what there should be, or what [`dump`] read, [`transaction`] leads from the one to the other.
//! [`text`] is the same for people, in the language of `nft`.
//!
//! Tables and chains have the names that Istio's native rules have, but every family has tables of
//! its own: table type nat is in family inet only since Linux 5.2, and a rule set of the model is
//! one family's.

mod dump;
mod expression;
mod failure;
mod protocol;
mod state;
pub mod text;
mod transaction;
mod translation;

#[cfg(test)]
mod tests;

pub use failure::Failure;
pub(crate) use state::State;

use crate::netlink::socket::Socket;
use crate::rules::{Chain, Point, Table};

/// How often to try again when somebody else changes rules at the same moment.
const ATTEMPTS: usize = 16;

/// What is to be read and changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Our tables.
    OwnTables,
    /// Our tables, and what iptables programs made of ours in theirs.
    Everything,
}

/// The kernel's packet filter.
#[derive(Debug)]
pub(crate) struct Nftables {
    socket: Socket,
    scope: Scope,
}

impl Nftables {
    /// Connects to it.
    ///
    /// # Errors
    /// When the kernel has none.
    pub(crate) fn open(scope: Scope) -> Result<Self, Failure> {
        match Socket::netfilter() {
            Ok(socket) => Ok(Self { socket, scope }),
            Err(cause) => Err(Failure::Unread { cause }),
        }
    }

    /// What is ours now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn state(&self) -> Result<State, Failure> {
        self.snapshot().map(|snapshot| snapshot.state)
    }

    /// Makes it what is wanted. All of it is done, or nothing, and nothing if somebody else changed rules
    /// since they were read.
    ///
    /// # Errors
    /// When nothing was done. What iptables programs made cannot be made again here.
    pub(crate) fn change_to(&self, wanted: &State) -> Result<(), Failure> {
        if !wanted.leftovers.is_empty() {
            return Err(Failure::Irreversible);
        }
        let mut attempts = 0;
        loop {
            let snapshot = self.snapshot()?;
            match transaction::from(&snapshot, wanted).commit(&self.socket) {
                Err(failure) if failure.is_race() && attempts < ATTEMPTS => attempts += 1,
                result => return result,
            }
        }
    }

    /// Reads until nobody changes rules meanwhile.
    fn snapshot(&self) -> Result<dump::Snapshot, Failure> {
        let mut attempts = 0;
        loop {
            match dump::read(&self.socket) {
                Err(failure) if failure.is_race() && attempts < ATTEMPTS => attempts += 1,
                Ok(mut snapshot) if self.scope == Scope::OwnTables => {
                    snapshot.state.leftovers.clear();
                    return Ok(snapshot);
                }
                result => return result,
            }
        }
    }
}

/// The name of our table that stands for this one of iptables.
const fn table_name(table: Table) -> &'static str {
    match table {
        Table::Mangle => "istio-proxy-mangle",
        Table::Nat => "istio-proxy-nat",
        Table::Raw => "istio-proxy-raw",
    }
}

/// The name of a chain.
const fn chain_name(chain: Chain) -> &'static str {
    match chain {
        Chain::Divert => "istio-divert",
        Chain::Drop => "istio-drop",
        Chain::Inbound => "istio-inbound",
        Chain::InRedirect => "istio-in-redirect",
        Chain::Output => "istio-output",
        Chain::OutputDns => "istio-output-dns",
        Chain::Redirect => "istio-redirect",
        Chain::Tproxy => "istio-tproxy",
    }
}

/// The name of the chain that stands for a built-in one.
const fn point_name(point: Point) -> &'static str {
    match point {
        Point::Output => "output",
        Point::Prerouting => "prerouting",
    }
}

/// Where a chain is called from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hook {
    /// The type of the chain.
    kind: String,
    /// The kernel's number of the point on a packet's way.
    number: u32,
    /// Who comes first at that point.
    priority: i32,
}

impl Hook {
    fn of(table: Table, point: Point) -> Self {
        let kind = match (table, point) {
            (Table::Nat, _) => "nat",
            // Packets are routed again if their mark changes.
            (Table::Mangle, Point::Output) => "route",
            _ => "filter",
        };
        let priority = match table {
            Table::Raw => -300,
            Table::Mangle => -150,
            Table::Nat => -100,
        };
        let number = match point {
            Point::Prerouting => 0,
            Point::Output => 3,
        };
        Self {
            kind: kind.to_owned(),
            number,
            priority,
        }
    }
}
