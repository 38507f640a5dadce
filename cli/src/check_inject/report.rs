//! What people and programs read.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::subject::{Fate, Subject};
use super::verdict::{Entry, Verdict};
use crate::hooks::selector::Condition;
use crate::table::Table;

/// All injectors' verdicts on a pod.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    subject: String,
    namespace: String,
    /// Whether somebody injects it.
    injected: bool,
    /// What became of it when it was made; only of pods that exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    fate: Option<Fate>,
    webhooks: Vec<Verdict>,
}

impl Report {
    pub(super) fn new(subject: &Subject, verdicts: Vec<Verdict>) -> Self {
        Self {
            subject: subject.title.clone(),
            namespace: subject.namespace.clone(),
            injected: verdicts.iter().any(|verdict| verdict.injected),
            fate: subject.fate.clone(),
            webhooks: verdicts,
        }
    }

    /// A table of the injectors, then what each rule says, then the result.
    pub(super) fn to_text(&self) -> String {
        let mut table = Table::new(["WEBHOOK", "REVISION", "INJECTED", "REASON"]);
        for verdict in &self.webhooks {
            table.row([
                verdict.webhook.clone(),
                verdict.revision.clone(),
                mark(verdict.injected).to_owned(),
                verdict.reason.clone(),
            ]);
        }
        let rules: Vec<String> = self.webhooks.iter().map(rules).collect();
        format!("{table}\n{}\n{}\n", rules.join("\n"), self.conclusion())
    }

    fn conclusion(&self) -> String {
        let injectors: Vec<&str> = self.injectors().collect();
        let now = match injectors.as_slice() {
            [] => format!("{}: would not be injected.", self.subject),
            [one] => format!("{}: would be injected by {one}.", self.subject),
            several => format!("{}: claimed by {}.", self.subject, several.join(" and ")),
        };
        match &self.fate {
            Some(Fate::InjectedBy(revision)) => {
                format!("{now} It was injected by revision {revision}.")
            }
            Some(Fate::NotInjected) if self.injected => {
                format!("{now} It has no sidecar: make it anew to get one.")
            }
            Some(Fate::NotInjected) | None => now,
        }
    }

    fn injectors(&self) -> impl Iterator<Item = &str> {
        let injecting = self.webhooks.iter().filter(|verdict| verdict.injected);
        injecting.map(|verdict| verdict.webhook.as_str())
    }

    /// An error if several injectors claim the pod.
    pub(super) fn refuse_rivals(&self) -> Result<()> {
        let injectors: Vec<&str> = self.injectors().collect();
        ensure!(
            injectors.len() < 2,
            "{} would each inject a sidecar; let the labels of namespace and pod mean one, or remove the others",
            injectors.join(" and ")
        );
        Ok(())
    }
}

/// Every entry with its conditions, and the policy of an injector that is asked.
fn rules(verdict: &Verdict) -> String {
    let mut text = match &verdict.tag {
        Some(tag) => format!("{} (tag {tag})\n", verdict.webhook),
        None => format!("{}\n", verdict.webhook),
    };
    for entry in &verdict.entries {
        text.push_str(&entry_rules(entry));
    }
    if !verdict.policy.is_empty() {
        text.push_str("  policy of the injector\n");
    }
    for rule in &verdict.policy {
        let mark = rule.inject.map_or("-", mark);
        // Writing to a String does not fail.
        let _ = writeln!(text, "      {mark} {}", rule.found);
    }
    text
}

fn entry_rules(entry: &Entry) -> String {
    let mut text = format!("  {} {}\n", mark(entry.fires), entry.name);
    let of = |what: &'static str, conditions: &[Condition]| -> Vec<String> {
        let line = |condition: &Condition| {
            let found = condition.found.as_deref().unwrap_or("no such label");
            let mark = mark(condition.holds);
            format!("      {mark} {what}: {} ({found})\n", condition.condition)
        };
        conditions.iter().map(line).collect()
    };
    text.extend(of("namespace", &entry.namespace));
    text.extend(of("pod", &entry.pod));
    text
}

const fn mark(holds: bool) -> &'static str {
    if holds { "✔" } else { "✘" }
}

#[cfg(test)]
mod tests;
