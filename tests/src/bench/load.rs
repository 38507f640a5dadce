//! Load by fortio: HTTP/1.1, 1 KB echoed, keep-alive.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::lab::{Lab, PORT, SERVICE};
use crate::cluster::command::run;

/// Bytes of each request's and answer's body.
const PAYLOAD: u32 = 1024;

/// How much load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// What people call it.
    pub(crate) name: &'static str,
    /// Requests per second; 0 is as many as are answered.
    rate: u32,
    connections: u32,
    seconds: u32,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) requests: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    ret_codes: std::collections::BTreeMap<String, u64>,
    duration_histogram: Histogram,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Histogram {
    count: u64,
    percentiles: Vec<Percentile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Percentile {
    percentile: f64,
    value: f64,
}

impl Load {
    /// The loads of the budgets.
    pub(crate) fn all(seconds: u32) -> [Self; 3] {
        let load = |name, rate, connections| Self {
            name,
            rate,
            connections,
            seconds,
        };
        [
            load("1,000 rps, 16 connections", 1000, 16),
            load("1,000 rps, 64 connections", 1000, 64),
            load("saturated, 64 connections", 0, 64),
        ]
    }

    /// Sends the load from the client's pod to the Service.
    ///
    /// # Errors
    /// When fortio fails or a request does not succeed.
    pub(crate) async fn send(&self, lab: &Lab, direct: bool) -> Result<Outcome> {
        let target = if direct { super::lab::SERVER } else { SERVICE };
        let mut fortio = lab.command("client", &lab.fortio);
        fortio.args([
            "load",
            "-quiet",
            "-allow-initial-errors",
            "-json",
            "-",
            "-p",
            "50,99",
        ]);
        fortio.args([
            "-qps",
            &self.rate.to_string(),
            "-c",
            &self.connections.to_string(),
        ]);
        fortio.args([
            "-t",
            &format!("{}s", self.seconds),
            "-payload-size",
            &PAYLOAD.to_string(),
        ]);
        fortio.arg(format!("http://{target}:{PORT}/echo"));
        let printed = run(&mut fortio).await?;
        let start = printed.find('{').context("fortio printed no JSON")?;
        let end = printed.rfind('}').context("fortio printed no JSON")?;
        let json = printed.get(start..=end).unwrap_or_default();
        let printed: Printed = serde_json::from_str(json).context("Reading fortio's JSON")?;
        let succeeded = printed.ret_codes.get("200").copied().unwrap_or_default();
        let histogram = printed.duration_histogram;
        ensure!(
            succeeded == histogram.count,
            "not all succeeded: {:?}",
            printed.ret_codes
        );
        let at = |wanted: f64| {
            let found = histogram
                .percentiles
                .iter()
                .find(|p| (p.percentile - wanted).abs() < 0.01);
            found.map_or(f64::NAN, |percentile| percentile.value * 1e3)
        };
        #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^52")]
        let requests = histogram.count as f64;
        Ok(Outcome {
            requests,
            p50: at(50.0),
            p99: at(99.0),
        })
    }
}
