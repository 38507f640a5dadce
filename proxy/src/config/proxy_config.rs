//! The part of Istio's `ProxyConfig` (`meshConfig.defaultConfig`) that the proxy acts on, as the
//! injector writes it into `PROXY_CONFIG`. Other fields belong to parts that are not here.

use std::time::Duration;

use serde::Deserialize;

use super::Reader;

/// `PROXY_CONFIG`; fields that hold their default are left out by the injector.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProxyConfig {
    pub(super) discovery_address: Option<String>,
    pub(super) concurrency: Option<usize>,
    pub(super) status_port: Option<u16>,
    pub(super) proxy_admin_port: Option<u16>,
    termination_drain_duration: Option<String>,
}

impl ProxyConfig {
    pub(super) fn termination_drain(&self, reader: &mut Reader<'_>) -> Option<Duration> {
        let text = self.termination_drain_duration.as_deref()?;
        let parsed = parse_duration(text);
        if parsed.is_none() {
            reader.problems.push(format!(
                "PROXY_CONFIG.terminationDrainDuration: '{text}' is not a duration such as 5s"
            ));
        }
        parsed
    }
}

/// Reads a duration as protobuf's JSON and Go write it: `5s`, `1.5s`, `1m30s`, `250ms`, `1h`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_end)?;
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}
