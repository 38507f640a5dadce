//! What one injector does with a pod.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
use serde::Serialize;

use super::policy::{Explanation, Rule};
use super::subject::Subject;
use crate::hooks::Hook;
use crate::hooks::selector::{Condition, Labels, conditions};

/// What one webhook configuration, and the injector behind it, do with a pod.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) webhook: String,
    pub(super) revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tag: Option<String>,
    pub(super) injected: bool,
    pub(super) reason: String,
    pub(super) entries: Vec<Entry>,
    /// What the injector's policy says, if it is asked and its policy is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) policy: Vec<Rule>,
}

/// An entry of the configuration; it fires if all conditions hold.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) fires: bool,
    pub(super) namespace: Vec<Condition>,
    pub(super) pod: Vec<Condition>,
}

impl Verdict {
    /// What the API server makes of the selectors.
    pub(super) fn of_selectors(hook: &Hook, subject: &Subject) -> Self {
        let (namespace, pod) = (&subject.namespace_labels, &subject.pod_labels());
        let entries: Vec<Entry> = hook
            .entries()
            .map(|entry| Entry::new(entry, namespace, pod))
            .collect();
        let firing = entries.iter().find(|entry| entry.fires);
        let reason = match firing {
            Some(entry) => entry.why(),
            None if hook.is_deactivated() => "The tag default has put it out of action.".to_owned(),
            None => why_not(&entries),
        };
        Self {
            webhook: hook.name().to_owned(),
            revision: hook.revision().to_owned(),
            tag: hook.tag().map(str::to_owned),
            injected: firing.is_some(),
            reason,
            entries,
            policy: Vec::new(),
        }
    }

    /// Whether the API server asks the injector.
    pub(super) fn is_asked(&self) -> bool {
        self.entries.iter().any(|entry| entry.fires)
    }

    /// What the injector answers.
    pub(super) fn ask(&mut self, explanation: Explanation) {
        match explanation {
            Ok(rules) => {
                if let Some(last) = rules.last() {
                    self.injected = last.inject == Some(true);
                    let but = if self.injected { "and" } else { "but" };
                    self.reason = format!("{}, {but} {}.", self.reason, last.found);
                }
                self.policy = rules;
            }
            Err(reason) => {
                self.reason = format!("{}; its policy is not known: {reason}.", self.reason);
            }
        }
    }
}

impl Entry {
    fn new(entry: &MutatingWebhook, namespace: &Labels, pod: &Labels) -> Self {
        let namespace = conditions(entry.namespace_selector.as_ref(), namespace);
        let pod = conditions(entry.object_selector.as_ref(), pod);
        Self {
            name: entry.name.clone(),
            fires: namespace
                .iter()
                .chain(&pod)
                .all(|condition| condition.holds),
            namespace,
            pod,
        }
    }

    /// The labels that made it fire, if any did.
    fn why(&self) -> String {
        let label = |conditions: &[Condition]| {
            let mut found = conditions.iter().filter(|condition| condition.holds);
            found.find_map(|condition| condition.found.clone())
        };
        match (label(&self.namespace), label(&self.pod)) {
            (Some(namespace), Some(pod)) => {
                format!("Namespace label {namespace} and pod label {pod} match")
            }
            (Some(namespace), None) => format!("Namespace label {namespace} matches"),
            (None, Some(pod)) => format!("Pod label {pod} matches"),
            (None, None) => "Neither namespace nor pod say anything".to_owned(),
        }
    }

    /// The conditions that keep it from firing, and whose labels they are about.
    fn failing(&self) -> impl Iterator<Item = (&'static str, &Condition)> {
        let namespace = self
            .namespace
            .iter()
            .map(|condition| ("namespace", condition));
        let pod = self.pod.iter().map(|condition| ("pod", condition));
        namespace
            .chain(pod)
            .filter(|(_, condition)| !condition.holds)
    }
}

/// Why no entry fires. A label that keeps a pod out says more than one that is missing.
fn why_not(entries: &[Entry]) -> String {
    let is_missing = |condition: &Condition| condition.found.is_none();
    let prevented = |entry: &&Entry| entry.failing().any(|(_, condition)| !is_missing(condition));
    let closest = |wanting: &&Entry| wanting.failing().count();
    let wanting = entries.iter().filter(|entry| !prevented(entry));
    let fewest = entries.iter().map(|entry| closest(&entry)).min();
    let enough: Vec<String> = wanting
        .filter(|entry| Some(closest(entry)) == fewest)
        .map(|entry| {
            told(entry, |what, condition| {
                format!("{} on the {what}", condition.condition)
            })
        })
        .collect();
    if !enough.is_empty() {
        return format!("No entry fires: it takes {}.", enough.join(", or "));
    }
    let Some(entry) = entries.iter().min_by_key(closest) else {
        return "It has no entries.".to_owned();
    };
    let reasons = told(entry, |what, condition| match &condition.found {
        Some(label) => format!("the {what} has label {label}"),
        None => format!("the {what} has no label for {}", condition.condition),
    });
    format!("No entry fires: {reasons}.")
}

/// The conditions that keep an entry from firing.
fn told(entry: &Entry, tell: impl Fn(&str, &Condition) -> String) -> String {
    let conditions: Vec<String> = entry
        .failing()
        .map(|(what, condition)| tell(what, condition))
        .collect();
    conditions.join(" and ")
}
