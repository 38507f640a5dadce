//! What the kernel holds: our tables whole, and what iptables programs made of ours in tables of
//! theirs.

use std::collections::BTreeSet;

use super::expression::{self, Expression, Verdict};
use super::protocol::*;
use super::state::{ChainState, Leftover, State};
use super::{Failure, Hook, table_name};
use crate::family::Family;
use crate::iptables::OURS;
use crate::netlink::message::{Answer, Attributes, DUMP, Request, attribute, network_number, text};
use crate::netlink::socket::Socket;
use crate::rules::Table;

/// The policy of a chain that lets packets pass.
const ACCEPT: u32 = 1;

/// What there was at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// The number of changes there were before; another change makes another number.
    pub(super) generation: u32,
    /// What is ours.
    pub(super) state: State,
    /// Built-in chains of the iptables programs, in which there may be jumps to ours.
    built_in: BTreeSet<(Family, Table, String)>,
}

/// Reads what there is.
///
/// # Errors
/// When the kernel does not say, or something changes meanwhile.
pub(super) fn read(socket: &Socket) -> Result<Snapshot, Failure> {
    let mut snapshot = Snapshot {
        generation: generation(socket)?,
        ..Snapshot::default()
    };
    let mut of_interest = false;
    dump(socket, GET_TABLES, |family, attributes| {
        of_interest |= snapshot.add_table(family, attributes).is_some();
    })?;
    if of_interest {
        dump(socket, GET_CHAINS, |family, attributes| {
            snapshot.add_chain(family, attributes);
        })?;
        dump(socket, GET_RULES, |family, attributes| {
            snapshot.add_rule(family, attributes);
        })?;
    }
    if generation(socket)? == snapshot.generation {
        Ok(snapshot)
    } else {
        Err(unread(std::io::ErrorKind::Interrupted.into()))
    }
}

fn generation(socket: &Socket) -> Result<u32, Failure> {
    let mut generation = 0;
    let request = Request {
        kind: GET_GENERATION,
        flags: crate::netlink::message::ACKNOWLEDGE,
        body: Attributes::after(&[0; FIXED]),
    };
    let read = |answer: Answer<'_>| {
        let attributes = answer.body.get(FIXED..).unwrap_or_default();
        generation = network_number(attributes, GENERATION).unwrap_or_default();
    };
    socket.ask(&request, read).map_err(unread)?;
    Ok(generation)
}

fn unread(cause: std::io::Error) -> Failure {
    Failure::Unread { cause }
}

/// Asks for all there is of something, in all families, and hands over what is in ours.
fn dump(socket: &Socket, kind: u16, mut each: impl FnMut(Family, &[u8])) -> Result<(), Failure> {
    let request = Request {
        kind,
        flags: DUMP,
        body: Attributes::after(&[0; FIXED]),
    };
    let read = |answer: Answer<'_>| {
        let Some((fixed, attributes)) = answer.body.split_at_checked(FIXED) else {
            return;
        };
        let families = Family::ALL.into_iter();
        for family in families.filter(|family| fixed.first() == Some(&family.number())) {
            each(family, attributes);
        }
    };
    socket.ask(&request, read).map_err(unread)
}

/// Whose a table is.
enum Owner {
    Us(Table),
    Iptables(Table),
}

fn owner(name: &str) -> Option<Owner> {
    Table::ALL.into_iter().find_map(|table| match name {
        _ if name == table_name(table) => Some(Owner::Us(table)),
        _ if name == table.name() => Some(Owner::Iptables(table)),
        _ => None,
    })
}

impl Snapshot {
    /// `None` if there can be nothing of ours in it.
    fn add_table(&mut self, family: Family, attributes: &[u8]) -> Option<()> {
        if let Owner::Us(table) = owner(text(attributes, TABLE_NAME)?)? {
            let state = self.state.tables.entry((family, table)).or_default();
            state.flags = network_number(attributes, TABLE_FLAGS).unwrap_or_default();
        }
        Some(())
    }

    fn add_chain(&mut self, family: Family, attributes: &[u8]) -> Option<()> {
        let chain = text(attributes, CHAIN_NAME)?.to_owned();
        match owner(text(attributes, CHAIN_TABLE)?)? {
            Owner::Us(table) => {
                let table = self.state.tables.get_mut(&(family, table))?;
                table.chains.insert(chain, read_chain(attributes));
            }
            Owner::Iptables(table) if chain.starts_with(OURS) => {
                self.state.leftovers.push(Leftover {
                    family,
                    table,
                    chain,
                    jump: None,
                })
            }
            Owner::Iptables(table) => {
                if attribute(attributes, CHAIN_HOOK).is_some() {
                    self.built_in.insert((family, table, chain));
                }
            }
        }
        Some(())
    }

    fn add_rule(&mut self, family: Family, attributes: &[u8]) -> Option<()> {
        let chain = text(attributes, RULE_CHAIN)?;
        let expressions =
            expression::read(attribute(attributes, RULE_EXPRESSIONS).unwrap_or_default());
        match owner(text(attributes, RULE_TABLE)?)? {
            Owner::Us(table) => {
                let table = self.state.tables.get_mut(&(family, table))?;
                table.chains.get_mut(chain)?.rules.push(expressions);
            }
            Owner::Iptables(table) => {
                let place = (family, table, chain.to_owned());
                if self.built_in.contains(&place) && jumps_to_us(&expressions) {
                    self.state.leftovers.push(Leftover {
                        family,
                        table,
                        chain: place.2,
                        jump: Some(attribute(attributes, RULE_HANDLE)?.to_vec()),
                    });
                }
            }
        }
        Some(())
    }
}

fn read_chain(attributes: &[u8]) -> ChainState {
    let hook = attribute(attributes, CHAIN_HOOK).and_then(|hook| {
        Some(Hook {
            kind: text(attributes, CHAIN_TYPE)?.to_owned(),
            number: network_number(hook, HOOK_NUMBER)?,
            priority: network_number(hook, HOOK_PRIORITY)?.cast_signed(),
        })
    });
    ChainState {
        hook,
        policy: network_number(attributes, CHAIN_POLICY).filter(|policy| *policy != ACCEPT),
        rules: Vec::new(),
    }
}

fn jumps_to_us(expressions: &[Expression]) -> bool {
    let is_jump = |it: &Expression| matches!(it, Expression::Verdict(Verdict::Jump(chain)) if chain.starts_with(OURS));
    expressions.iter().any(is_jump)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Attributes whose texts are names that matter, and anything else.
    fn attributes() -> impl Strategy<Value = Attributes> {
        let name = prop::sample::select(vec![
            "istio-proxy-nat",
            "nat",
            "ISTIO_OUTPUT",
            "istio-output",
            "",
        ]);
        let value = prop_oneof![
            name.prop_map(|name| name.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..40),
        ];
        prop::collection::vec((0..9u16, value), 0..6).prop_map(|all| {
            all.iter()
                .fold(Attributes::default(), |attributes, (kind, value)| {
                    attributes.with(*kind, value)
                })
        })
    }

    proptest! {
        #[test]
        fn whatever_the_kernel_says_is_read_without_harm(all in prop::collection::vec(attributes(), 1..6)) {
            let mut snapshot = Snapshot::default();
            for attributes in &all {
                snapshot.add_table(Family::V4, attributes.bytes());
                snapshot.add_chain(Family::V4, attributes.bytes());
                snapshot.add_rule(Family::V4, attributes.bytes());
            }
            prop_assert!(snapshot.state.tables.len() <= 3);
        }
    }
}
