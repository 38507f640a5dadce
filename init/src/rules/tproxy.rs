//! The rules of TPROXY mode: inbound connections reach the proxy with both their addresses as they
//! were. Outbound ones are redirected as in REDIRECT mode.
//!
//! The proxy passes a connection on to the application from the client's address, with the mark.
//! What the application answers would leave the pod, to that client; but its connection got the mark
//! as it came in by `lo`, so the answer gets it too, and the route of marked packets
//! (`crate::netlink`) leads back to the proxy.
//!
//! Where this differs from Istio, on purpose:
//! - The tunnel's port is left alone here too. Istio leaves it alone in table `nat` only, where
//!   nothing passes in this mode.
//! - When the proxy calls its own pod, table `nat` redirects it to the inbound port, as in REDIRECT
//!   mode. Istio gives such packets a second mark (1338), and relies on the rules for the proxy's
//!   group never applying.
//! - What virtual machines send is left alone here, or it would be inbound before `nat` says that
//!   it is outbound.
//! - What nobody listens for is dropped by a rule, for nf_tables would let it pass to the application.

use super::builder::Builder;
use super::{Action, Chain, Condition, ConnectionState, Hook, Point, Rule, TableRules};

impl Builder<'_> {
    /// The part of table `mangle`.
    pub(super) fn tproxy(&self, mark: u32, rules: &mut TableRules) {
        for (point, chain) in [
            (Point::Prerouting, Chain::Inbound),
            (Point::Output, Chain::Output),
        ] {
            let condition = Condition::tcp();
            rules.hooks.push(Hook {
                point,
                condition,
                chain,
            });
        }
        rules.chains.extend([
            (Chain::Inbound, self.transparent_inbound(mark)),
            (Chain::Output, self.transparent_answers(mark)),
            (Chain::Divert, divert(mark)),
            (Chain::Tproxy, self.hand_over(mark)),
        ]);
    }

    /// What arrives, all of it TCP.
    fn transparent_inbound(&self, mark: u32) -> Vec<Rule> {
        let mut rules = self.excluded_interfaces(Condition::arriving_by);
        for interface in &self.options.virtual_interfaces {
            rules.push(Condition::any().arriving_by(interface).then(Action::Return));
        }
        let within_pod = Condition::any().arriving_by(&self.lo);
        rules.push(within_pod.clone().marked(mark).then(Action::SaveMark));
        rules.push(within_pod.then(Action::Return));
        rules.extend(self.captured_inbound(|captured| {
            let known = captured.clone().in_state(ConnectionState::Known);
            vec![
                known.then(Action::Jump(Chain::Divert)),
                captured.then(Action::Jump(Chain::Tproxy)),
            ]
        }));
        rules
    }

    /// What the application answers to the proxy.
    fn transparent_answers(&self, mark: u32) -> Vec<Rule> {
        let mut rules = self.excluded_interfaces(Condition::leaving_by);
        let answers = Condition::any().of_marked_connections(mark);
        rules.push(answers.then(Action::RestoreMark));
        rules
    }

    fn hand_over(&self, mark: u32) -> Vec<Rule> {
        let port = self.options.inbound_capture;
        let captured = Condition::tcp().except_to(self.loopback());
        vec![
            captured.clone().then(Action::Tproxy { port, mark }),
            captured.then(Action::Drop),
        ]
    }
}

fn divert(mark: u32) -> Vec<Rule> {
    vec![
        Condition::any().then(Action::SetMark(mark)),
        Condition::any().then(Action::Accept),
    ]
}
