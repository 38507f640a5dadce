//! The one transaction that leads from what there is to what is wanted. The kernel lets packets see
//! all of it or nothing: there is no moment without rules, or with two sets of them.

use super::dump::Snapshot;
use super::failure::Subject;
use super::protocol::*;
use super::state::{ChainState, Leftover, State};
use super::{Failure, expression, table_name};
use crate::family::Family;
use crate::netlink::message::{APPEND, Attributes, CREATE, Request};
use crate::netlink::socket::Socket;

/// Requests that the kernel does all of, or none.
pub(super) struct Transaction {
    requests: Vec<Request>,
    /// What each request is about, for messages.
    subjects: Vec<Subject>,
}

/// What leads from a snapshot to what is wanted, as long as nobody else changes anything.
pub(super) fn from(snapshot: &Snapshot, wanted: &State) -> Transaction {
    let mut transaction = Transaction {
        requests: Vec::new(),
        subjects: Vec::new(),
    };
    let generation =
        Attributes::after(&batch_header()).with_number(BATCH_GENERATION, snapshot.generation);
    transaction.push(
        BEGIN,
        0,
        generation,
        (None, "the beginning of a transaction".to_owned()),
    );
    for (family, table) in snapshot.state.tables.keys() {
        transaction.about_table(DELETE_TABLE, 0, *family, table_name(*table));
    }
    for ((family, table), state) in &wanted.tables {
        let table = table_name(*table);
        transaction.about_table(NEW_TABLE, CREATE, *family, table);
        for (name, chain) in &state.chains {
            transaction.add_chain(*family, table, name, chain);
        }
        for (name, chain) in &state.chains {
            transaction.add_rules(*family, table, name, chain);
        }
    }
    transaction.remove(&snapshot.state.leftovers);
    let end = Attributes::after(&batch_header());
    transaction.push(END, 0, end, (None, "the end of a transaction".to_owned()));
    transaction
}

impl Transaction {
    /// Has the kernel do it.
    ///
    /// # Errors
    /// When nothing was done, and on account of what.
    pub(super) fn commit(&self, socket: &Socket) -> Result<(), Failure> {
        socket.change_all(&self.requests).map_err(|(at, cause)| {
            let subject = at.and_then(|at| self.subjects.get(at)).cloned();
            Failure::Refused { subject, cause }
        })
    }

    fn push(
        &mut self,
        kind: u16,
        flags: u16,
        body: Attributes,
        (family, what): (Option<Family>, String),
    ) {
        self.requests.push(Request { kind, flags, body });
        self.subjects.push(Subject { family, what });
    }

    fn about_table(&mut self, kind: u16, flags: u16, family: Family, table: &str) {
        let body = about(family).with_text(TABLE_NAME, table);
        self.push(kind, flags, body, (Some(family), format!("table {table}")));
    }

    fn add_chain(&mut self, family: Family, table: &str, name: &str, chain: &ChainState) {
        let mut body = about(family)
            .with_text(CHAIN_TABLE, table)
            .with_text(CHAIN_NAME, name);
        if let Some(hook) = &chain.hook {
            let place = Attributes::default()
                .with_number(HOOK_NUMBER, hook.number)
                .with_number(HOOK_PRIORITY, hook.priority.cast_unsigned());
            body = body
                .with_nested(CHAIN_HOOK, &place)
                .with_text(CHAIN_TYPE, &hook.kind);
        }
        if let Some(policy) = chain.policy {
            body = body.with_number(CHAIN_POLICY, policy);
        }
        let subject = format!("table {table}, chain {name}");
        self.push(NEW_CHAIN, CREATE, body, (Some(family), subject));
    }

    fn add_rules(&mut self, family: Family, table: &str, name: &str, chain: &ChainState) {
        for (rule, index) in chain.rules.iter().zip(1..) {
            let body = about(family)
                .with_text(RULE_TABLE, table)
                .with_text(RULE_CHAIN, name)
                .with_nested(RULE_EXPRESSIONS, &expression::write(rule));
            let subject = format!("table {table}, chain {name}, rule {index}");
            self.push(NEW_RULE, APPEND, body, (Some(family), subject));
        }
    }

    /// First the jumps, then what is in the chains, then the chains.
    fn remove(&mut self, leftovers: &[Leftover]) {
        let (jumps, chains): (Vec<_>, Vec<_>) = leftovers
            .iter()
            .partition(|leftover| leftover.jump.is_some());
        for (kind, name, leftovers) in [
            (DELETE_RULE, RULE_CHAIN, &jumps),
            (DELETE_RULE, RULE_CHAIN, &chains),
            (DELETE_CHAIN, CHAIN_NAME, &chains),
        ] {
            for leftover in leftovers {
                let (family, table) = (leftover.family, leftover.table.name());
                let mut body = about(family).with_text(RULE_TABLE, table);
                body = body.with_text(name, &leftover.chain);
                if let Some(handle) = &leftover.jump {
                    body = body.with(RULE_HANDLE, handle);
                }
                let subject = format!("table {table}, chain {}", leftover.chain);
                self.push(kind, 0, body, (Some(family), subject));
            }
        }
    }
}

/// The fixed part of the messages that enclose a transaction: it is for nf_tables.
fn batch_header() -> [u8; FIXED] {
    let [subsystem, _] = NF_TABLES.to_be_bytes();
    [0, 0, 0, subsystem]
}

fn about(family: Family) -> Attributes {
    Attributes::after(&[family.number(), 0, 0, 0])
}
