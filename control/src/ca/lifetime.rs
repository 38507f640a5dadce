//! How long workload certificates live (`DEFAULT_WORKLOAD_CERT_TTL`, `MAX_WORKLOAD_CERT_TTL`).

use std::time::Duration;

/// Lifetimes of workload certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// For those who ask for none.
    pub default: Duration,
    /// For those who ask for more.
    pub longest: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let hour = Duration::from_secs(60 * 60);
        Self {
            default: 24 * hour,
            longest: 90 * 24 * hour,
        }
    }
}

impl Lifetimes {
    /// The lifetime for a request of that many seconds; 0 asks for the default. None for negative
    /// numbers.
    #[must_use]
    pub fn granted(&self, seconds: i64) -> Option<Duration> {
        let wanted = match u64::try_from(seconds).ok()? {
            0 => self.default,
            seconds => Duration::from_secs(seconds),
        };
        Some(wanted.min(self.longest))
    }
}
