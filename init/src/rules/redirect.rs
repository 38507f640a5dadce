//! The rules of REDIRECT mode. Connections are redirected when their first packet passes the table
//! `nat`; the kernel remembers the original destination, which the proxy asks it for
//! (`SO_ORIGINAL_DST`).
//!
//! The layout is Istio's, rule for rule, so that people find what they know. Its order has known
//! defects, which are kept:
//! - Users and groups of the proxy are treated one after the other. The first one's "loopback, but
//!   not the proxy's: leave alone" comes before the rules of the second, so that only the first can
//!   reach its own pod through a Service as an inbound connection. With the same id as user and as
//!   group, as is the default, the group's loopback rules never apply.
//! - Any process with the proxy's user or group id is left alone.
//!
//! Where this differs from Istio, on purpose:
//! - Interfaces that are excluded, and those of virtual machines, are dealt with at the head of our
//!   own chains, not in PREROUTING and OUTPUT, where a RETURN would skip other people's rules, and
//!   could not be told from other people's rules on the next run.
//! - A chain that nothing jumps to is not made (ISTIO_INBOUND when no inbound port is redirected).
//! - Whether an include range lies in loopback is asked per family.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{
    Action, Chain, Condition, ConnectionState, Hook, Owner, Point, Rule, Ruleset, Table, TableRules,
};
use crate::family::{Family, host};
use crate::options::{Destinations, InboundPorts, Interface, Options};

/// The rules of one family.
pub fn build(options: &Options, family: Family) -> Ruleset {
    let builder = Builder {
        options,
        family,
        lo: Interface::loopback(),
    };
    let mut rules = Ruleset::from([(Table::Nat, builder.nat())]);
    if options.drop_invalid {
        rules.insert(Table::Mangle, drop_invalid());
    }
    rules
}

struct Builder<'a> {
    options: &'a Options,
    family: Family,
    lo: Interface,
}

impl Builder<'_> {
    fn nat(&self) -> TableRules {
        let options = self.options;
        let mut hooks = Vec::new();
        let mut chains = BTreeMap::from([
            (Chain::Output, self.output()),
            (Chain::Redirect, redirect_to(options.outbound_capture)),
            (Chain::InRedirect, redirect_to(options.inbound_capture)),
        ]);
        let inbound = self.inbound();
        if !inbound.is_empty() {
            chains.insert(Chain::Inbound, inbound);
            let condition = Condition::tcp();
            hooks.push(Hook {
                point: Point::Prerouting,
                condition,
                chain: Chain::Inbound,
            });
        }
        let condition = Condition::any();
        hooks.push(Hook {
            point: Point::Output,
            condition,
            chain: Chain::Output,
        });
        TableRules { hooks, chains }
    }

    /// What arrives, all of it TCP. Empty if none of it is redirected.
    fn inbound(&self) -> Vec<Rule> {
        let mut rules = self.excluded_interfaces(Condition::arriving_by);
        rules.extend(self.virtual_machines());
        let to_proxy = Action::Jump(Chain::InRedirect);
        let mut captured = match &self.options.inbound {
            InboundPorts::AllExcept(ports) => {
                let excluded = ports
                    .iter()
                    .map(|port| Condition::tcp_port(*port).then(Action::Return));
                excluded.chain([Condition::tcp().then(to_proxy)]).collect()
            }
            InboundPorts::Only(ports) => ports
                .iter()
                .map(|port| Condition::tcp_port(*port).then(to_proxy))
                .collect::<Vec<_>>(),
        };
        if !captured.is_empty() {
            captured.insert(
                0,
                Condition::tcp_port(self.options.tunnel).then(Action::Return),
            );
        } else if self.options.virtual_interfaces.is_empty() {
            return Vec::new();
        }
        rules.extend(captured);
        rules
    }

    /// What virtual machines send is outbound traffic of the pod, though it arrives at it.
    fn virtual_machines(&self) -> Vec<Rule> {
        let destinations = match &self.options.destinations {
            Destinations::All => vec![Condition::any()],
            Destinations::Only(networks) => self
                .own(networks)
                .map(|network| Condition::any().to(network))
                .collect(),
        };
        let mut rules = Vec::new();
        for interface in &self.options.virtual_interfaces {
            let to_proxy = Action::Jump(Chain::Redirect);
            let captured = destinations.iter().cloned();
            rules.extend(captured.map(|to| to.arriving_by(interface).then(to_proxy)));
            rules.push(Condition::any().arriving_by(interface).then(Action::Return));
        }
        rules
    }

    /// What the pod's own processes send: the first rule that applies decides.
    fn output(&self) -> Vec<Rule> {
        let options = self.options;
        let mut rules = self.excluded_interfaces(Condition::leaving_by);
        for port in &options.excluded_outbound_ports {
            rules.push(Condition::tcp_port(*port).then(Action::Return));
            rules.push(Condition::udp_port(*port).then(Action::Return));
        }
        let from_proxy = host(self.family.proxy_source());
        rules.push(
            Condition::any()
                .from(from_proxy)
                .leaving_by(&self.lo)
                .then(Action::Return),
        );
        for uid in &options.proxy_uids {
            rules.extend(self.proxy(Owner::User(*uid)));
        }
        for gid in &options.proxy_gids {
            rules.extend(self.proxy(Owner::Group(*gid)));
        }
        rules.push(Condition::any().to(self.loopback()).then(Action::Return));
        for network in self.own(&options.excluded_destinations) {
            rules.push(Condition::any().to(network).then(Action::Return));
        }
        rules.extend(self.captured_output());
        rules
    }

    fn captured_output(&self) -> Vec<Rule> {
        let to_proxy = Action::Jump(Chain::Redirect);
        let ports = self.options.outbound_ports.iter();
        let mut rules: Vec<_> = ports
            .map(|port| Condition::tcp_port(*port).then(to_proxy))
            .collect();
        match &self.options.destinations {
            Destinations::All => rules.push(Condition::any().then(to_proxy)),
            Destinations::Only(networks) => rules.extend(
                self.own(networks)
                    .map(|network| Condition::any().to(network).then(to_proxy)),
            ),
        }
        rules
    }

    /// What the proxy itself sends is left alone, or it would meet itself. But when it connects to
    /// its own pod by another address than loopback, it does so for a Service that this pod is
    /// behind: that is an inbound connection like any other. The tunnel's port has its own listener.
    fn proxy(&self, owner: Owner) -> Vec<Rule> {
        let to_itself = Condition::tcp_except_port(self.options.tunnel)
            .leaving_by(&self.lo)
            .except_to(self.loopback())
            .owned_by(owner);
        let within_application = Condition::any().leaving_by(&self.lo).not_owned_by(owner);
        let mut rules = vec![to_itself.then(Action::Jump(Chain::InRedirect))];
        if !self.captures_loopback() {
            rules.push(within_application.then(Action::Return));
        }
        rules.push(Condition::any().owned_by(owner).then(Action::Return));
        rules
    }

    fn captures_loopback(&self) -> bool {
        match &self.options.destinations {
            Destinations::All => false,
            Destinations::Only(networks) => self
                .own(networks)
                .any(|network| network.addr().is_loopback()),
        }
    }

    fn excluded_interfaces(&self, by: fn(Condition, &Interface) -> Condition) -> Vec<Rule> {
        let interfaces = self.options.excluded_interfaces.iter();
        interfaces
            .map(|interface| by(Condition::any(), interface).then(Action::Return))
            .collect()
    }

    fn loopback(&self) -> IpNet {
        match self.family {
            Family::V4 => IpNet::V4(self.options.loopback),
            Family::V6 => host(self.family.loopback()),
        }
    }

    /// The networks of this family.
    fn own(&self, networks: &[IpNet]) -> impl Iterator<Item = IpNet> {
        networks
            .iter()
            .copied()
            .filter(|network| Family::of(network) == self.family)
    }
}

/// TCP connections only: UDP that comes here is left alone.
fn redirect_to(port: u16) -> Vec<Rule> {
    vec![Condition::tcp().then(Action::Redirect(port))]
}

/// Packets that belong to no connection would pass unseen, for only the first packet of a
/// connection passes `nat`, and would be answered with a reset that cuts the real connection off.
fn drop_invalid() -> TableRules {
    let condition = Condition::in_state(ConnectionState::Invalid);
    TableRules {
        hooks: vec![Hook {
            point: Point::Prerouting,
            condition,
            chain: Chain::Drop,
        }],
        chains: [(Chain::Drop, vec![Condition::any().then(Action::Drop)])].into(),
    }
}
