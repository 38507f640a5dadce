//! Token buckets: so much at once, so much per second.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A bucket that holds `burst` tokens and is refilled at `rate` per second.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    burst: f64,
    rate: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(burst: u32, rate: u32) -> Self {
        let burst = f64::from(burst);
        Self {
            burst,
            rate: f64::from(rate),
            tokens: burst,
            filled: Instant::now(),
        }
    }

    /// Takes tokens, into debt if there are not enough, and says how long to wait until the debt
    /// is paid.
    pub fn take(&mut self, tokens: u32) -> Duration {
        self.fill();
        self.tokens -= f64::from(tokens);
        Duration::try_from_secs_f64(-self.tokens / self.rate).unwrap_or_default()
    }

    /// Takes one token if there is one.
    pub fn try_take(&mut self) -> bool {
        self.fill();
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }

    fn fill(&mut self) {
        let now = Instant::now();
        let passed = now.duration_since(self.filled).as_secs_f64();
        self.tokens = self.burst.min(self.tokens + passed * self.rate);
        self.filled = now;
    }

    fn is_full(&mut self) -> bool {
        self.fill();
        self.tokens >= self.burst
    }
}

/// A bucket for each caller. Callers with a full bucket are forgotten.
pub struct Buckets<K> {
    new: Bucket,
    callers: Mutex<HashMap<K, Bucket>>,
}

/// From this many callers on, those with full buckets are looked for.
const MANY: usize = 4096;

impl<K: Hash + Eq> Buckets<K> {
    /// Buckets that hold `burst` tokens each and are refilled at `rate` per second.
    #[must_use]
    pub fn new(burst: u32, rate: u32) -> Self {
        Self {
            new: Bucket::new(burst, rate),
            callers: Mutex::default(),
        }
    }

    /// Takes one token from a caller's bucket if there is one.
    pub fn try_take(&self, caller: K) -> bool {
        let mut callers = self.callers.lock();
        if callers.len() >= MANY {
            callers.retain(|_, bucket| !bucket.is_full());
        }
        callers.entry(caller).or_insert(self.new).try_take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_allowed_and_then_the_rate() {
        let buckets = Buckets::new(3, 1);
        let granted = (0..10).filter(|_| buckets.try_take("caller")).count();
        assert_eq!(granted, 3);
        assert!(buckets.try_take("another"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(buckets.try_take("caller"));
        assert!(!buckets.try_take("caller"));
    }

    #[tokio::test(start_paused = true)]
    async fn debt_is_told_as_time_to_wait() {
        let mut bucket = Bucket::new(10, 5);
        assert_eq!(bucket.take(10), Duration::ZERO);
        assert_eq!(bucket.take(10), Duration::from_secs(2));
    }
}
