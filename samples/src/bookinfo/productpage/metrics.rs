//! Counts the calls to other services, for Prometheus: an application's own metrics beside the mesh's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;

/// How many calls ended how. Displayed in Prometheus' text format.
#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<BTreeMap<(&'static str, u16), u64>>);

impl Metrics {
    /// One more call to a service that ended with a status.
    pub(super) fn count(&self, service: &'static str, status: StatusCode) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry((service, status.as_u16())).or_default() += 1;
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "# HELP request_result_total Calls to other services, by result."
        )?;
        writeln!(formatter, "# TYPE request_result_total counter")?;
        for ((service, status), count) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            writeln!(
                formatter,
                "request_result_total{{destination_app=\"{service}\",response_code=\"{status}\"}} \
                 {count}"
            )?;
        }
        Ok(())
    }
}
