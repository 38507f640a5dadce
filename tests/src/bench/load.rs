//! Load by fortio: HTTP/1.1, 1 KB echoed, keep-alive.

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::lab::{Lab, PORT};
use super::measure::Percentile;
use crate::cluster::command::run;

/// Bytes of each request's and answer's body.
const PAYLOAD: &str = "1024";
/// Width of the smallest classes of times, in seconds: the default of 1 ms is more than a request
/// takes.
const RESOLUTION: &str = "0.00001";

/// How requests are sent. fortio starts all connections at once, so steady requests come in bursts
/// of one for each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// 1,000 requests a second over 16 connections.
    Steady16,
    /// 1,000 requests a second over 64 connections.
    Steady64,
    /// As many as are answered over 64 connections.
    Saturated,
}

/// What came of a load.
pub(crate) struct Outcome {
    pub(crate) requests: f64,
    percentiles: Vec<Reached>,
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
    percentiles: Vec<Reached>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reached {
    percentile: f64,
    /// Seconds.
    value: f64,
}

impl Load {
    /// The loads of the budgets.
    pub(crate) const ALL: [Self; 3] = [Self::Steady16, Self::Steady64, Self::Saturated];

    /// Requests per second; 0 is as many as are answered.
    const fn rate(self) -> u32 {
        match self {
            Self::Steady16 | Self::Steady64 => 1_000,
            Self::Saturated => 0,
        }
    }

    const fn connections(self) -> u32 {
        match self {
            Self::Steady16 => 16,
            Self::Steady64 | Self::Saturated => 64,
        }
    }

    /// Sends the load from the client's pod to the service `server`.
    ///
    /// # Errors
    /// When fortio fails or a request does not succeed.
    pub(crate) async fn send(self, lab: &Lab, seconds: u32) -> Result<Outcome> {
        let mut fortio = lab.command("client", &lab.fortio);
        fortio.args(["load", "-quiet", "-allow-initial-errors", "-json", "-"]);
        fortio.args(["-p", "50,99", "-r", RESOLUTION, "-payload-size", PAYLOAD]);
        fortio.args(["-qps", &self.rate().to_string()]);
        fortio.args(["-c", &self.connections().to_string()]);
        fortio.args(["-t", &format!("{seconds}s")]);
        fortio.arg(format!("http://server:{PORT}/echo"));
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
        #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^52")]
        let requests = histogram.count as f64;
        Ok(Outcome {
            requests,
            percentiles: histogram.percentiles,
        })
    }
}

impl Outcome {
    /// Milliseconds; not a number if fortio did not say.
    pub(crate) fn latency(&self, wanted: Percentile) -> f64 {
        let is_wanted =
            |reached: &&Reached| (reached.percentile - wanted.of_hundred()).abs() < 0.01;
        let reached = self.percentiles.iter().find(is_wanted);
        reached.map_or(f64::NAN, |reached| reached.value * 1e3)
    }
}

impl fmt::Display for Load {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = match self.rate() {
            0 => "saturated",
            _ => "1,000 rps",
        };
        write!(formatter, "{rate}, {} connections", self.connections())
    }
}
