//! What checks found.

use anyhow::Result;
use serde::Serialize;

use crate::console::chain;
use crate::level::Level;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) check: &'static str,
    pub(super) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn error(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Level::Error, check, message.into())
    }

    pub(super) fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Level::Warning, check, message.into())
    }

    pub(super) fn info(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Level::Info, check, message.into())
    }

    /// The finding with what to do about it.
    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }

    fn new(level: Level, check: &'static str, message: String) -> Self {
        Self {
            level,
            check,
            message,
            remedy: None,
        }
    }
}

/// What is found, check by check. What cannot be looked at is a finding too, and keeps nothing else
/// from being looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Notes what a check found.
    pub(super) fn add(
        &mut self,
        check: &'static str,
        found: Result<impl IntoIterator<Item = Finding>>,
    ) {
        let found = self.learn(check, found);
        self.0.extend(found.into_iter().flatten());
    }

    /// What was asked for, or else why it is not known as a finding.
    pub(super) fn learn<T>(&mut self, check: &'static str, asked: Result<T>) -> Option<T> {
        asked
            .map_err(|error| {
                let told = format!("could not be looked at: {}", chain(&error));
                let remedy = "run precheck with the rights of who installs, usually cluster-admin";
                self.0.push(Finding::warning(check, told).remedy(remedy));
            })
            .ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Extend<Finding> for Findings {
    fn extend<T: IntoIterator<Item = Finding>>(&mut self, found: T) {
        self.0.extend(found);
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
