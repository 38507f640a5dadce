//! Any conditions and actions, for property tests.

use proptest::option;
use proptest::prelude::*;

use super::{Action, Chain, Condition, ConnectionState, Is, Owner, Protocol, Transport};
use crate::options::Interface;

fn is<T: std::fmt::Debug + Clone + 'static>(
    value: impl Strategy<Value = T> + Clone + 'static,
) -> impl Strategy<Value = Is<T>> {
    prop_oneof![value.clone().prop_map(Is::Exactly), value.prop_map(Is::Not)]
}

fn network() -> impl Strategy<Value = ipnet::IpNet> + Clone {
    let v4 = (any::<[u8; 4]>(), 1..=32u8)
        .prop_map(|(address, length)| ipnet::IpNet::new(address.into(), length).unwrap().trunc());
    let v6 = (any::<[u8; 16]>(), 1..=128u8)
        .prop_map(|(address, length)| ipnet::IpNet::new(address.into(), length).unwrap().trunc());
    prop_oneof![v4, v6]
}

fn interface() -> impl Strategy<Value = Interface> {
    "[a-z0-9][a-z0-9_.-]{0,12}[+]?".prop_map(|name| Interface::parse(&name).unwrap())
}

fn transport() -> impl Strategy<Value = Transport> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    (
        protocol,
        option::of(any::<u16>()),
        option::of(is(any::<u16>())),
    )
        .prop_map(|(protocol, source_port, destination_port)| Transport {
            protocol,
            source_port,
            destination_port,
        })
}

pub(crate) fn condition() -> impl Strategy<Value = Condition> {
    let owner = prop_oneof![
        any::<u32>().prop_map(Owner::User),
        any::<u32>().prop_map(Owner::Group)
    ];
    let state = prop_oneof![Just(ConnectionState::Invalid), Just(ConnectionState::Known)];
    let addresses = (option::of(network()), option::of(is(network())));
    let interfaces = (option::of(interface()), option::of(interface()));
    let marks = (option::of(any::<u32>()), option::of(any::<u32>()));
    let owners = prop::collection::vec(is(owner), 0..4);
    let transport = option::of(transport());
    (
        addresses,
        interfaces,
        transport,
        marks,
        option::of(state),
        owners,
    )
        .prop_map(
            |(addresses, interfaces, transport, marks, state, owners)| Condition {
                source: addresses.0,
                destination: addresses.1,
                in_interface: interfaces.0,
                out_interface: interfaces.1,
                transport,
                mark: marks.0,
                connection_mark: marks.1,
                state,
                owners,
            },
        )
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Accept),
        Just(Action::Drop),
        Just(Action::Return),
        Just(Action::Jump(Chain::InRedirect)),
        Just(Action::Jump(Chain::Tproxy)),
        Just(Action::SaveMark),
        Just(Action::RestoreMark),
        any::<u32>().prop_map(Action::SetMark),
        any::<u16>().prop_map(Action::SetZone),
        any::<u16>().prop_map(Action::Redirect),
        (any::<u16>(), any::<u32>()).prop_map(|(port, mark)| Action::Tproxy { port, mark }),
    ]
}
