//! Our part of the packet rules of one family, as text: what [`rules`](crate::rules) want, what
//! `iptables-save` says there is, and the one transaction for `iptables-restore` that leads from
//! the one to the other.
//!
//! Ours are the chains named `ISTIO_*` and the jumps to them from built-in chains; nothing else is
//! ever looked at or touched. The order of rules counts. Where our jumps stand among other people's
//! rules does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::text;
use crate::rules::{Action, Hook, Ruleset};

/// What the names of our chains begin with.
pub(crate) const OURS: &str = "ISTIO_";

/// Our part of all tables. Tables without any are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    tables: BTreeMap<String, TableState>,
}

/// Our part of one table: the jumps in built-in chains, and our chains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TableState {
    hooks: Rules,
    chains: Rules,
}

/// Rules in order, by the name of their chain.
type Rules = BTreeMap<String, Vec<String>>;

static NO_TABLE: TableState = TableState {
    hooks: Rules::new(),
    chains: Rules::new(),
};

impl From<&Ruleset> for State {
    fn from(rules: &Ruleset) -> Self {
        let mut state = Self::default();
        for (table, rules) in rules {
            let table = state.tables.entry(table.name().to_owned()).or_default();
            for Hook {
                point,
                condition,
                chain,
            } in &rules.hooks
            {
                let jump = condition.clone().then(Action::Jump(*chain));
                table
                    .hooks
                    .entry(point.name().to_owned())
                    .or_default()
                    .push(text::write(&jump));
            }
            for (chain, rules) in &rules.chains {
                let rules = rules.iter().map(text::write).collect();
                table.chains.insert(chain.name().to_owned(), rules);
            }
        }
        state
    }
}

impl State {
    /// Reads what `iptables-save` printed.
    pub fn from_saved(saved: &str) -> Self {
        let mut state = Self::default();
        let mut name = "";
        let mut table = TableState::default();
        let mut built_in = Vec::new();
        for line in saved.lines() {
            if let Some(begun) = line.strip_prefix('*') {
                name = begun;
                built_in.clear();
            } else if let Some(chain) = line.strip_prefix(':') {
                let (chain, policy) = chain.split_once(' ').unwrap_or((chain, ""));
                if chain.starts_with(OURS) {
                    table.chains.entry(chain.to_owned()).or_default();
                } else if !policy.starts_with('-') {
                    built_in.push(chain);
                }
            } else if let Some(rule) = line.strip_prefix("-A ") {
                table.add(rule, &built_in);
            } else if line == "COMMIT" {
                let table = std::mem::take(&mut table);
                if table != NO_TABLE {
                    state.tables.insert(name.to_owned(), table);
                }
            }
        }
        state
    }

    /// Whether there is nothing of ours.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// What `iptables-restore --noflush` must be given so that `self` becomes `wanted`. It mentions
    /// every table that either of them has, and is empty if neither has one.
    pub fn change_to(&self, wanted: &Self) -> String {
        let mut input = String::new();
        let names = self.tables.keys().chain(wanted.tables.keys());
        for name in names.collect::<BTreeSet<_>>() {
            self.table(name)
                .change_to(wanted.table(name), name, &mut input);
        }
        input
    }

    /// The first thing that `found` has otherwise, in words.
    pub fn first_difference(&self, found: &Self) -> Option<String> {
        let names = self.tables.keys().chain(found.tables.keys());
        names.into_iter().find_map(|name| {
            let (wanted, found) = (self.table(name), found.table(name));
            let difference = difference(&wanted.hooks, &found.hooks)
                .or_else(|| difference(&wanted.chains, &found.chains))?;
            Some(format!("table {name}, {difference}"))
        })
    }

    fn table(&self, name: &str) -> &TableState {
        self.tables.get(name).unwrap_or(&NO_TABLE)
    }
}

impl TableState {
    /// Takes a rule in if it is ours.
    fn add(&mut self, rule: &str, built_in: &[&str]) {
        let Some((chain, rule)) = rule.split_once(' ') else {
            return;
        };
        let rules = if chain.starts_with(OURS) {
            &mut self.chains
        } else if built_in.contains(&chain) && text::jumps_to(rule, |to| to.starts_with(OURS)) {
            &mut self.hooks
        } else {
            return;
        };
        rules
            .entry(chain.to_owned())
            .or_default()
            .push(text::normalise(rule));
    }

    /// Chains are emptied by being declared. Jumps that are right already keep their place.
    fn change_to(&self, wanted: &Self, name: &str, input: &mut String) {
        let mut line = |text: std::fmt::Arguments<'_>| {
            let _ = writeln!(input, "{text}");
        };
        line(format_args!("*{name}"));
        let gone = self
            .chains
            .keys()
            .filter(|chain| !wanted.chains.contains_key(*chain));
        for chain in wanted.chains.keys().chain(gone.clone()) {
            line(format_args!(":{chain} - [0:0]"));
        }
        for (chain, jumps) in differing(&self.hooks, &wanted.hooks) {
            for jump in jumps {
                line(format_args!("-D {chain} {jump}"));
            }
        }
        let new_hooks = differing(&wanted.hooks, &self.hooks);
        for (chain, rules) in wanted.chains.iter().chain(new_hooks) {
            for rule in rules {
                line(format_args!("-A {chain} {rule}"));
            }
        }
        for chain in gone {
            line(format_args!("-X {chain}"));
        }
        line(format_args!("COMMIT"));
    }
}

/// What `other` lacks or has otherwise.
fn differing<'a>(
    rules: &'a Rules,
    other: &'a Rules,
) -> impl Iterator<Item = (&'a String, &'a Vec<String>)> {
    rules
        .iter()
        .filter(|(chain, rules)| other.get(*chain) != Some(*rules))
}

fn difference(wanted: &Rules, found: &Rules) -> Option<String> {
    let chain = wanted
        .keys()
        .chain(found.keys())
        .find(|chain| wanted.get(*chain) != found.get(*chain))?;
    let rule =
        |rules: &Rules, index: usize| rules.get(chain).and_then(|rules| rules.get(index)).cloned();
    let differs = |index: &usize| rule(wanted, *index) != rule(found, *index);
    let longest = [wanted, found]
        .iter()
        .filter_map(|rules| rules.get(chain))
        .map(Vec::len)
        .max()?;
    let Some(index) = (0..longest).find(differs) else {
        return Some(format!("chain {chain} is there in only one"));
    };
    let say = |rule: Option<String>| {
        rule.map_or_else(|| "nothing".to_owned(), |rule| format!("{rule:?}"))
    };
    let (wanted, found) = (say(rule(wanted, index)), say(rule(found, index)));
    Some(format!(
        "chain {chain}, rule {}: {wanted} is wanted, {found} is there",
        index + 1
    ))
}
