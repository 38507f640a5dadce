//! From options to the rules of one family. What each table's rules are for is told in files of their
//! own; here is which tables there are, and what they share.
//!
//! The layout is Istio's, so that people find what they know. Where it differs, on purpose:
//! - Interfaces that are excluded, and those of virtual machines, are dealt with at the head of our
//!   own chains, not in PREROUTING and OUTPUT, where a RETURN would skip other people's rules, and
//!   could not be told from other people's rules on the next run.
//! - A chain that nothing jumps to is not made (ISTIO_INBOUND when no inbound port is redirected).
//! - Whether an include range lies in loopback is asked per family.

use ipnet::IpNet;

use super::{
    Action, Chain, Condition, ConnectionState, Hook, Owner, Point, Rule, Ruleset, Table, TableRules,
};
use crate::family::{Family, host};
use crate::options::{Groups, InboundMode, InboundPorts, Interface, Options};

/// The rules of one family.
pub fn build(options: &Options, family: Family) -> Ruleset {
    let builder = Builder {
        options,
        family,
        lo: Interface::loopback(),
    };
    let tables = [
        (Table::Mangle, builder.mangle()),
        (Table::Nat, builder.nat()),
        (Table::Raw, builder.zones()),
    ];
    tables
        .into_iter()
        .filter(|(_, rules)| !rules.chains.is_empty())
        .collect()
}

pub(super) struct Builder<'a> {
    pub(super) options: &'a Options,
    pub(super) family: Family,
    pub(super) lo: Interface,
}

impl Builder<'_> {
    fn mangle(&self) -> TableRules {
        let mut rules = TableRules::default();
        if self.options.drop_invalid {
            drop_invalid(&mut rules);
        }
        if let Some(mark) = self.transparent_mark() {
            self.tproxy(mark, &mut rules);
        }
        rules
    }

    /// The mark of inbound packets, if they are handed to the proxy with their addresses unchanged.
    pub(super) fn transparent_mark(&self) -> Option<u32> {
        match self.options.inbound_mode {
            InboundMode::Tproxy { mark, .. } if self.options.captures_inbound() => Some(mark),
            _ => None,
        }
    }

    /// The inbound ports that are captured; `to_proxy` says what happens to them.
    pub(super) fn captured_inbound(&self, to_proxy: impl Fn(Condition) -> Vec<Rule>) -> Vec<Rule> {
        if !self.options.captures_inbound() {
            return Vec::new();
        }
        let left_alone = |port: &u16| tcp_port(*port).then(Action::Return);
        let mut rules = vec![left_alone(&self.options.tunnel)];
        match &self.options.inbound {
            InboundPorts::AllExcept(ports) => {
                rules.extend(ports.iter().map(left_alone));
                rules.extend(to_proxy(Condition::tcp()));
            }
            InboundPorts::Only(ports) => {
                rules.extend(ports.iter().flat_map(|port| to_proxy(tcp_port(*port))));
            }
        }
        rules
    }

    /// Everybody whose packets are the proxy's own.
    pub(super) fn proxies(&self) -> impl Iterator<Item = Owner> {
        let users = self.options.proxy_uids.iter().copied().map(Owner::User);
        let groups = self.options.proxy_gids.iter().copied().map(Owner::Group);
        users.chain(groups)
    }

    /// Groups that keep out of the mesh.
    pub(super) fn groups(&self) -> Vec<Rule> {
        match &self.options.groups {
            Groups::AllExcept(groups) => groups
                .iter()
                .map(|group| {
                    Condition::any()
                        .owned_by(Owner::Group(*group))
                        .then(Action::Return)
                })
                .collect(),
            Groups::Only(groups) => {
                let none_of = groups.iter().fold(Condition::any(), |condition, group| {
                    condition.not_owned_by(Owner::Group(*group))
                });
                vec![none_of.then(Action::Return)]
            }
        }
    }

    pub(super) fn excluded_interfaces(
        &self,
        by: fn(Condition, &Interface) -> Condition,
    ) -> Vec<Rule> {
        let interfaces = self.options.excluded_interfaces.iter();
        interfaces
            .map(|interface| by(Condition::any(), interface).then(Action::Return))
            .collect()
    }

    pub(super) fn loopback(&self) -> IpNet {
        match self.family {
            Family::V4 => IpNet::V4(self.options.loopback),
            Family::V6 => host(self.family.loopback()),
        }
    }

    /// The networks of this family.
    pub(super) fn own(&self, networks: &[IpNet]) -> impl Iterator<Item = IpNet> {
        networks
            .iter()
            .copied()
            .filter(|network| Family::of(network) == self.family)
    }
}

/// TCP packets to this port.
pub(super) fn tcp_port(port: u16) -> Condition {
    Condition::to_port(super::Protocol::Tcp, port)
}

/// Packets that belong to no connection would pass unseen, for only the first packet of a
/// connection passes `nat`, and would be answered with a reset that cuts the real connection off.
fn drop_invalid(rules: &mut TableRules) {
    rules.hooks.push(Hook {
        point: Point::Prerouting,
        condition: Condition::any().in_state(ConnectionState::Invalid),
        chain: Chain::Drop,
    });
    let everything = Condition::any().then(Action::Drop);
    rules.chains.insert(Chain::Drop, vec![everything]);
}
