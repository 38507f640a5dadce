//! The rules of DNS capture: what the pod's processes ask name servers goes to the proxy's own name
//! server, over UDP and TCP. What the proxy itself asks goes where it is meant to go.
//!
//! A question that the application asks and the one that the proxy asks for it may have the same
//! addresses and ports. Over UDP conntrack would take them for one; so those between application
//! and proxy are tracked in one zone, those between proxy and name server in another.

use ipnet::IpNet;
use lateen_wire::ports;

use super::builder::Builder;
use super::{Action, Chain, Condition, Hook, Point, Protocol, Rule, TableRules};
use crate::family::host;
use crate::options::DnsCapture;

/// The port of name servers.
pub(super) const DNS: u16 = 53;
/// The zone of questions to real name servers.
const UPSTREAM: u16 = 1;
/// The zone of questions to the proxy.
const CAPTURED: u16 = 2;

impl Builder<'_> {
    /// Whether questions of this family are captured.
    pub(super) fn captures_dns(&self) -> bool {
        !self.name_servers().is_empty()
    }

    /// ISTIO_OUTPUT_DNS in table `nat`; empty if nothing is captured.
    pub(super) fn questions(&self) -> Vec<Rule> {
        let servers = self.name_servers();
        let questions = [Protocol::Tcp, Protocol::Udp]
            .into_iter()
            .flat_map(|protocol| {
                let to = move |server: &IpNet| Condition::to_port(protocol, DNS).to(*server);
                servers.iter().map(to)
            });
        questions
            .map(|question| question.then(Action::Redirect(ports::DNS)))
            .collect()
    }

    /// The whole of table `raw`; empty if nothing is captured.
    pub(super) fn zones(&self) -> TableRules {
        let servers = self.name_servers();
        if servers.is_empty() {
            return TableRules::default();
        }
        let mut sent = Vec::new();
        for proxy in self.proxies() {
            let question = Condition::to_port(Protocol::Udp, DNS).owned_by(proxy);
            let answer = Condition::from_port(Protocol::Udp, ports::DNS).owned_by(proxy);
            sent.push(question.then(Action::SetZone(UPSTREAM)));
            sent.push(answer.then(Action::SetZone(CAPTURED)));
        }
        let mut received = Vec::new();
        for server in servers {
            let question = Condition::to_port(Protocol::Udp, DNS).to(server);
            let answer = Condition::from_port(Protocol::Udp, DNS).from(server);
            sent.push(question.then(Action::SetZone(CAPTURED)));
            received.push(answer.then(Action::SetZone(UPSTREAM)));
        }
        let hook = |point, chain| Hook {
            point,
            condition: Condition::udp(),
            chain,
        };
        TableRules {
            hooks: vec![
                hook(Point::Prerouting, Chain::Inbound),
                hook(Point::Output, Chain::OutputDns),
            ],
            chains: [(Chain::OutputDns, sent), (Chain::Inbound, received)].into(),
        }
    }

    /// The name servers of this family; the network of everything, if all are captured.
    fn name_servers(&self) -> Vec<IpNet> {
        match &self.options.dns {
            DnsCapture::Off => Vec::new(),
            DnsCapture::All => vec![self.family.everything()],
            DnsCapture::Servers(servers) => {
                let servers: Vec<_> = servers.iter().copied().map(host).collect();
                self.own(&servers).collect()
            }
        }
    }
}
