//! Table `nat`. Connections are redirected when their first packet passes it; the kernel remembers
//! the original destination, which the proxy asks it for (`SO_ORIGINAL_DST`).
//!
//! Istio treats users and groups of the proxy one after the other, each with a rule "loopback, but
//! not this one's: leave alone" that hides the rules of those after it. Here all of the proxy's users
//! and groups come first, and then one rule for what the application says to itself. Any process with
//! one of these ids counts as the proxy; this is what Istio does, and is kept.

use super::builder::{Builder, tcp_port};
use super::dns::DNS;
use super::{Action, Chain, Condition, Hook, Owner, Point, Protocol, Rule, TableRules};
use crate::family::host;
use crate::options::{Destinations, InboundMode};

impl Builder<'_> {
    pub(super) fn nat(&self) -> TableRules {
        let options = self.options;
        let mut rules = TableRules::default();
        rules.chains.extend([
            (Chain::Output, self.output()),
            (Chain::Redirect, redirect_to(options.outbound_capture)),
            (Chain::InRedirect, redirect_to(options.inbound_capture)),
        ]);
        if self.captures_dns() {
            rules.chains.insert(Chain::OutputDns, self.questions());
        }
        let inbound = self.inbound();
        if !inbound.is_empty() {
            rules.chains.insert(Chain::Inbound, inbound);
            rules.hooks.push(Hook {
                point: Point::Prerouting,
                condition: Condition::tcp(),
                chain: Chain::Inbound,
            });
        }
        rules.hooks.push(Hook {
            point: Point::Output,
            condition: Condition::any(),
            chain: Chain::Output,
        });
        rules
    }

    /// What arrives, all of it TCP. Empty if none of it is redirected.
    fn inbound(&self) -> Vec<Rule> {
        let captured = match self.options.inbound_mode {
            InboundMode::Tproxy { .. } => Vec::new(),
            InboundMode::Redirect => self
                .captured_inbound(|captured| vec![captured.then(Action::Jump(Chain::InRedirect))]),
        };
        if captured.is_empty() && self.options.virtual_interfaces.is_empty() {
            return Vec::new();
        }
        let mut rules = self.excluded_interfaces(Condition::arriving_by);
        rules.extend(self.virtual_machines());
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
        if let Some(mark) = self.transparent_mark() {
            // The proxy hands a connection to the application, from the client's address.
            rules.push(Condition::any().marked(mark).then(Action::Return));
        }
        for port in &options.excluded_outbound_ports {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                rules.push(Condition::to_port(protocol, *port).then(Action::Return));
            }
        }
        let from_proxy = Condition::any().from(host(self.family.proxy_source()));
        rules.push(from_proxy.leaving_by(&self.lo).then(Action::Return));
        rules.extend(self.proxies().flat_map(|proxy| self.to_itself(proxy)));
        let sent_by = |proxy| Condition::any().owned_by(proxy).then(Action::Return);
        rules.extend(self.proxies().map(sent_by));
        rules.extend(self.groups());
        if self.captures_dns() {
            rules.push(Condition::any().then(Action::Jump(Chain::OutputDns)));
        }
        if !self.captures_loopback() {
            let within_application = Condition::any().leaving_by(&self.lo);
            rules.push(within_application.then(Action::Return));
        }
        rules.push(Condition::any().to(self.loopback()).then(Action::Return));
        for network in self.own(&options.excluded_destinations) {
            rules.push(Condition::any().to(network).then(Action::Return));
        }
        rules.extend(self.captured_output());
        rules
    }

    /// When the proxy connects to its own pod by another address than loopback, it does so for a
    /// Service that this pod is behind: that is an inbound connection like any other. The tunnel's
    /// port has its own listener, and a name server in the pod is asked directly.
    fn to_itself(&self, proxy: Owner) -> Vec<Rule> {
        let within_pod = |condition: Condition| condition.leaving_by(&self.lo).owned_by(proxy);
        let inbound = within_pod(Condition::tcp_except_port(self.options.tunnel))
            .except_to(self.loopback())
            .then(Action::Jump(Chain::InRedirect));
        let question = within_pod(tcp_port(DNS)).then(Action::Return);
        let question = self.captures_dns().then_some(question);
        question.into_iter().chain([inbound]).collect()
    }

    fn captured_output(&self) -> Vec<Rule> {
        let to_proxy = Action::Jump(Chain::Redirect);
        let ports = self.options.outbound_ports.iter();
        let mut rules: Vec<_> = ports.map(|port| tcp_port(*port).then(to_proxy)).collect();
        match &self.options.destinations {
            Destinations::All => rules.push(Condition::any().then(to_proxy)),
            Destinations::Only(networks) => rules.extend(
                self.own(networks)
                    .map(|network| Condition::any().to(network).then(to_proxy)),
            ),
        }
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
}

/// TCP connections only: UDP that comes here is left alone.
fn redirect_to(port: u16) -> Vec<Rule> {
    vec![Condition::tcp().then(Action::Redirect(port))]
}
