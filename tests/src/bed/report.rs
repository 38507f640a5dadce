//! What the sample client says of the requests it sent.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// Counts and latencies of one run of `lateen-samples client http -o json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// Requests sent.
    pub requests: u64,
    /// Requests answered as expected.
    pub succeeded: u64,
    /// All others.
    pub failed: u64,
    /// Connections that the client opened.
    pub connections: u64,
    /// Answers by status.
    pub statuses: BTreeMap<String, u64>,
    /// Failures without an answer, by reason.
    pub errors: BTreeMap<String, u64>,
    /// Answers by the pod that gave them.
    pub pods: BTreeMap<String, u64>,
}

impl Report {
    /// Reads the last line of what the client printed.
    ///
    /// # Errors
    /// When it is not a report.
    pub fn parse(printed: &str) -> Result<Self> {
        let line = printed
            .lines()
            .last()
            .context("the client printed nothing")?;
        serde_json::from_str(line).with_context(|| format!("'{line}' is not a report"))
    }

    /// That at least one request was sent and none failed.
    ///
    /// # Errors
    /// The whole report, otherwise.
    pub fn all_succeeded(self) -> Result<Self> {
        ensure!(
            self.failed == 0 && self.succeeded > 0,
            "requests failed: {self:?}"
        );
        Ok(self)
    }
}
