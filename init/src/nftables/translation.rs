//! From one rule to the expressions that do it. They are those that `nft` would make of
//! [`text`](super::text), so that rules loaded either way are the same.

use ipnet::IpNet;

use super::chain_name;
use super::expression::{Conntrack, Expression, Header, Meta, Verdict};
use crate::family::Family;
use crate::options::Interface;
use crate::rules::{Action, Condition, ConnectionState, Is, Owner, Protocol, Rule, Transport};

/// How long the kernel's names of interfaces are, with the zero at the end.
const INTERFACE: usize = 16;
/// Bits of conntrack's states.
const INVALID: u32 = 1;
const ESTABLISHED: u32 = 2;
const RELATED: u32 = 4;

/// The expressions of a rule.
pub(super) fn translate(rule: &Rule, family: Family) -> Vec<Expression> {
    let mut expressions = condition(&rule.condition);
    expressions.push(Expression::Counter);
    expressions.extend(action(rule.action, family));
    expressions
}

fn condition(condition: &Condition) -> Vec<Expression> {
    let Condition {
        source,
        destination,
        in_interface,
        out_interface,
        transport,
        mark,
        connection_mark,
        state,
        owners,
    } = condition;
    let mut all = Vec::new();
    for (meta, interface) in [
        (Meta::InInterface, in_interface),
        (Meta::OutInterface, out_interface),
    ] {
        all.extend(interface.iter().flat_map(|name| by_interface(meta, name)));
    }
    let source = source.map(Is::Exactly);
    all.extend(source.iter().flat_map(|is| address(End::Source, is)));
    all.extend(
        destination
            .iter()
            .flat_map(|is| address(End::Destination, is)),
    );
    all.extend(transport.iter().flat_map(ports));
    if let Some(mark) = mark {
        let is = compare(false, mark.to_ne_bytes());
        all.extend([Expression::LoadMeta(Meta::Mark), is]);
    }
    if let Some(mark) = connection_mark {
        let is = compare(false, mark.to_ne_bytes());
        all.extend([Expression::LoadConntrack(Conntrack::Mark), is]);
    }
    all.extend(state.iter().flat_map(|state| known_as(*state)));
    all.extend(owners.iter().flat_map(owned_by));
    all
}

fn action(action: Action, family: Family) -> Vec<Expression> {
    use Expression::{Immediate, LoadConntrack, LoadMeta, Redirect, SetConntrack, SetMeta, Tproxy};
    match action {
        Action::Accept => vec![Expression::Verdict(Verdict::Accept)],
        Action::Drop => vec![Expression::Verdict(Verdict::Drop)],
        Action::Jump(chain) => {
            let chain = chain_name(chain).to_owned();
            vec![Expression::Verdict(Verdict::Jump(chain))]
        }
        Action::Return => vec![Expression::Verdict(Verdict::Return)],
        Action::Redirect(port) => vec![Immediate(port.to_be_bytes().into()), Redirect],
        Action::RestoreMark => vec![LoadConntrack(Conntrack::Mark), SetMeta(Meta::Mark)],
        Action::SaveMark => vec![LoadMeta(Meta::Mark), SetConntrack(Conntrack::Mark)],
        Action::SetMark(mark) => vec![Immediate(mark.to_ne_bytes().into()), SetMeta(Meta::Mark)],
        Action::SetZone(zone) => vec![
            Immediate(zone.to_ne_bytes().into()),
            SetConntrack(Conntrack::Zone),
        ],
        Action::Tproxy { port, mark } => vec![
            Immediate(port.to_be_bytes().into()),
            Tproxy(family.number().into()),
            Immediate(mark.to_ne_bytes().into()),
            SetMeta(Meta::Mark),
            Expression::Verdict(Verdict::Accept),
        ],
    }
}

fn compare(not: bool, value: impl Into<Vec<u8>>) -> Expression {
    let value = value.into();
    Expression::Compare { not, value }
}

/// A whole name ends with zeros; the beginning of one does not.
fn by_interface(meta: Meta, interface: &Interface) -> [Expression; 2] {
    let name = interface.to_string();
    let value = match name.strip_suffix('+') {
        Some(beginning) => beginning.as_bytes().to_vec(),
        None => {
            let mut value = name.into_bytes();
            value.resize(INTERFACE, 0);
            value
        }
    };
    [Expression::LoadMeta(meta), compare(false, value)]
}

#[derive(Clone, Copy)]
enum End {
    Source,
    Destination,
}

/// Of a network that ends with a byte, only the bytes that matter are looked at.
fn address(end: End, network: &Is<IpNet>) -> Vec<Expression> {
    let (not, network) = parts(network);
    let (bytes, mask, offset) = match network {
        IpNet::V4(network) => (
            network.network().octets().to_vec(),
            network.netmask().octets().to_vec(),
            match end {
                End::Source => 12,
                End::Destination => 16,
            },
        ),
        IpNet::V6(network) => (
            network.network().octets().to_vec(),
            network.netmask().octets().to_vec(),
            match end {
                End::Source => 8,
                End::Destination => 24,
            },
        ),
    };
    let load = |length: usize| Expression::LoadPayload {
        header: Header::Network,
        offset,
        length: u32::try_from(length).unwrap_or(u32::MAX),
    };
    let whole_bytes = usize::from(network.prefix_len() / 8);
    if network.prefix_len() % 8 == 0 && whole_bytes > 0 {
        let bytes: Vec<_> = bytes.into_iter().take(whole_bytes).collect();
        vec![load(whole_bytes), compare(not, bytes)]
    } else {
        vec![
            load(bytes.len()),
            Expression::Mask(mask),
            compare(not, bytes),
        ]
    }
}

fn ports(transport: &Transport) -> Vec<Expression> {
    let protocol = match transport.protocol {
        Protocol::Tcp => 6u8,
        Protocol::Udp => 17,
    };
    let port = |offset| Expression::LoadPayload {
        header: Header::Transport,
        offset,
        length: 2,
    };
    let mut all = vec![
        Expression::LoadMeta(Meta::Protocol),
        compare(false, [protocol]),
    ];
    if let Some(source) = transport.source_port {
        all.extend([port(0), compare(false, source.to_be_bytes())]);
    }
    if let Some((not, destination)) = transport.destination_port.as_ref().map(parts) {
        all.extend([port(2), compare(not, destination.to_be_bytes())]);
    }
    all
}

fn known_as(state: ConnectionState) -> [Expression; 3] {
    let states = match state {
        ConnectionState::Invalid => INVALID,
        ConnectionState::Known => RELATED | ESTABLISHED,
    };
    [
        Expression::LoadConntrack(Conntrack::State),
        Expression::Mask(states.to_ne_bytes().into()),
        compare(true, [0; 4]),
    ]
}

fn owned_by(owner: &Is<Owner>) -> [Expression; 2] {
    let (not, owner) = parts(owner);
    let (meta, id) = match owner {
        Owner::User(id) => (Meta::User, id),
        Owner::Group(id) => (Meta::Group, id),
    };
    [Expression::LoadMeta(meta), compare(not, id.to_ne_bytes())]
}

fn parts<T>(value: &Is<T>) -> (bool, &T) {
    match value {
        Is::Exactly(value) => (false, value),
        Is::Not(value) => (true, value),
    }
}
