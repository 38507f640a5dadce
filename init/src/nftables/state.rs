//! Our tables: what there should be, and what there is. They are ours whole; every chain and every
//! rule in them counts, and the order of rules.

use std::collections::BTreeMap;

use super::expression::Expression;
use super::translation::translate;
use super::{Hook, chain_name, point_name, table_name};
use crate::family::Family;
use crate::rules::{Action, Ruleset, Table, TableRules};

/// What is ours in both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Our tables.
    pub(super) tables: BTreeMap<(Family, Table), TableState>,
    /// What iptables programs made of ours. Nobody wants any.
    pub(super) leftovers: Vec<Leftover>,
}

/// Something of ours in a table of the iptables programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leftover {
    pub(super) family: Family,
    pub(super) table: Table,
    /// The chain it is, or is in.
    pub(super) chain: String,
    /// The handle of a jump to a chain of ours; `None` for such a chain itself.
    pub(super) jump: Option<Vec<u8>>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TableState {
    /// The kernel's flags, such as the one that puts a table to sleep. Ours have none.
    pub(super) flags: u32,
    /// The chains, by name.
    pub(super) chains: BTreeMap<String, ChainState>,
}

/// One chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ChainState {
    /// Where it is called from, if not from other chains.
    pub(super) hook: Option<Hook>,
    /// What happens to packets that no rule decides about, if not the usual.
    pub(super) policy: Option<u32>,
    /// The rules in order.
    pub(super) rules: Vec<Vec<Expression>>,
}

impl State {
    /// What rules want, family by family.
    pub(crate) fn of<'a>(families: impl IntoIterator<Item = (Family, &'a Ruleset)>) -> Self {
        let mut state = Self::default();
        for (family, rules) in families {
            for (table, rules) in rules {
                let wanted = TableState::of(rules, *table, family);
                state.tables.insert((family, *table), wanted);
            }
        }
        state
    }

    /// Whether there is nothing of ours.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.leftovers.is_empty()
    }

    /// The first thing that `found` has otherwise, in words.
    pub(crate) fn first_difference(&self, found: &Self) -> Option<String> {
        if self.leftovers != found.leftovers {
            return Some("rules that iptables programs made are still there".to_owned());
        }
        let keys = self.tables.keys().chain(found.tables.keys());
        keys.into_iter().find_map(|key| {
            let (wanted, there) = (self.tables.get(key), found.tables.get(key));
            (wanted != there).then(|| {
                let (family, table) = (key.0, table_name(key.1));
                format!("{family} table {table}, {}", difference(wanted, there))
            })
        })
    }
}

impl TableState {
    fn of(rules: &TableRules, table: Table, family: Family) -> Self {
        let mut state = Self::default();
        for hook in &rules.hooks {
            let name = point_name(hook.point).to_owned();
            let chain = state.chains.entry(name).or_default();
            chain.hook = Some(Hook::of(table, hook.point));
            let jump = hook.condition.clone().then(Action::Jump(hook.chain));
            chain.rules.push(translate(&jump, family));
        }
        for (chain, rules) in &rules.chains {
            let translated = rules.iter().map(|rule| translate(rule, family));
            let chain = state
                .chains
                .entry(chain_name(*chain).to_owned())
                .or_default();
            chain.rules.extend(translated);
        }
        state
    }
}

fn difference(wanted: Option<&TableState>, found: Option<&TableState>) -> String {
    let (Some(wanted), Some(found)) = (wanted, found) else {
        let there = if found.is_some() {
            "there, but not wanted"
        } else {
            "not there"
        };
        return format!("which is {there}");
    };
    let chains = wanted.chains.keys().chain(found.chains.keys());
    let mut differing =
        chains.filter(|chain| wanted.chains.get(*chain) != found.chains.get(*chain));
    let Some(chain) = differing.next() else {
        return format!(
            "flags: {} is wanted, {} is there",
            wanted.flags, found.flags
        );
    };
    let rules = |table: &TableState| {
        let chain = table.chains.get(chain);
        chain.map(|chain| chain.rules.clone()).unwrap_or_default()
    };
    let (wanted, found) = (rules(wanted), rules(found));
    let index =
        (0..).find(|index| wanted.get(*index) != found.get(*index) || *index >= wanted.len());
    let index = index.unwrap_or_default();
    let say = |rules: &[Vec<Expression>]| match rules.get(index) {
        None => "nothing".to_owned(),
        Some(rule) => format!("{rule:?}"),
    };
    let (wanted, found) = (say(&wanted), say(&found));
    format!(
        "chain {chain}, rule {}: {wanted} is wanted, {found} is there",
        index + 1
    )
}
