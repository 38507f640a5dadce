//! Counts what came back, by status, error and answering pod, with latencies.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// How one request ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// With an answer, which may be one that counts as a failure.
    Answer {
        /// Status, such as `200` or `grpc 0`.
        status: String,
        /// It is what was expected.
        good: bool,
        /// Who answered, if that is known.
        pod: Option<String>,
    },
    /// Without an answer, for this reason.
    Error(String),
}

/// What came back so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// How many connections were opened.
    pub(super) connections: u64,
    succeeded: u64,
    failed: u64,
    statuses: BTreeMap<String, u64>,
    errors: BTreeMap<String, u64>,
    pods: BTreeMap<String, u64>,
    latencies: Vec<Duration>,
}

impl Report {
    /// One more request ended.
    pub(super) fn record(&mut self, outcome: Outcome, latency: Duration) {
        match outcome {
            Outcome::Answer { status, good, pod } => {
                *self.statuses.entry(status).or_default() += 1;
                if let Some(pod) = pod {
                    *self.pods.entry(pod).or_default() += 1;
                }
                self.latencies.push(latency);
                *(if good {
                    &mut self.succeeded
                } else {
                    &mut self.failed
                }) += 1;
            }
            Outcome::Error(reason) => {
                *self.errors.entry(reason).or_default() += 1;
                self.failed += 1;
            }
        }
    }

    /// Adds another report to this one.
    pub(super) fn add(&mut self, other: Self) {
        self.connections += other.connections;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        let maps = [
            (&mut self.statuses, other.statuses),
            (&mut self.errors, other.errors),
            (&mut self.pods, other.pods),
        ];
        for (ours, theirs) in maps {
            for (key, count) in theirs {
                *ours.entry(key).or_default() += count;
            }
        }
        self.latencies.extend(other.latencies);
    }

    /// The whole of it, taken in this time.
    pub(super) fn summary(mut self, elapsed: Duration) -> Summary {
        self.latencies.sort_unstable();
        let requests = self.succeeded + self.failed;
        #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^52")]
        let rate = requests as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
        let at = |share| milliseconds(percentile(&self.latencies, share));
        Summary {
            requests,
            succeeded: self.succeeded,
            failed: self.failed,
            connections: self.connections,
            seconds: elapsed.as_secs_f64(),
            rate,
            latency_ms: Latencies {
                min: at(0.0),
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: at(1.0),
            },
            statuses: self.statuses,
            errors: self.errors,
            pods: self.pods,
        }
    }
}

/// Latency below which this share of sorted latencies lies; zero if there are none.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is a length"
    )]
    let index = (last as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// What came back in all, as it is printed.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) requests: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    connections: u64,
    seconds: f64,
    rate: f64,
    latency_ms: Latencies,
    statuses: BTreeMap<String, u64>,
    errors: BTreeMap<String, u64>,
    pods: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct Latencies {
    min: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = &self.latency_ms;
        writeln!(
            formatter,
            "{} requests in {:.1} s ({:.1}/s) over {} connections, {} failed",
            self.requests, self.seconds, self.rate, self.connections, self.failed
        )?;
        writeln!(
            formatter,
            "latency in ms: min {:.2}, p50 {:.2}, p90 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2}",
            latency.min, latency.p50, latency.p90, latency.p99, latency.p999, latency.max
        )?;
        let maps = [
            ("status", &self.statuses),
            ("error", &self.errors),
            ("pod", &self.pods),
        ];
        for (kind, counts) in maps {
            for (key, count) in counts {
                writeln!(formatter, "{count:>8}  {kind} {key}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let sorted: Vec<_> = (1..=101).map(Duration::from_millis).collect();
        for (share, wanted) in [(0.0, 1), (0.5, 51), (0.9, 91), (0.99, 100), (1.0, 101)] {
            assert_eq!(percentile(&sorted, share), Duration::from_millis(wanted));
        }
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn reports_add_up() {
        let answer = |status: &str, good| Outcome::Answer {
            status: status.to_owned(),
            good,
            pod: Some("a".to_owned()),
        };
        let mut first = Report::default();
        first.record(answer("200", true), Duration::from_millis(1));
        let mut second = Report::default();
        second.record(answer("503", false), Duration::from_millis(3));
        second.record(Outcome::Error("refused".to_owned()), Duration::ZERO);
        first.add(second);
        let summary = first.summary(Duration::from_secs(1));
        assert_eq!(
            (summary.requests, summary.succeeded, summary.failed),
            (3, 1, 2)
        );
        assert_eq!(summary.pods, [("a".to_owned(), 2)].into());
        assert_eq!(summary.errors, [("refused".to_owned(), 1)].into());
        assert!((summary.rate - 3.0).abs() < 1e-9);
    }
}
