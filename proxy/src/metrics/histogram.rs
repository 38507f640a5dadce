//! A histogram of relaxed atomics with Istio's buckets.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds, for milliseconds and bytes alike; the last bucket is unbounded.
pub(super) const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// The sum is kept in thousandths.
const SCALE: f64 = 1_000.0;

/// Counts of observations by size.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// Adds one observation; it must not be negative.
    pub(super) fn observe(&self, value: f64) {
        let index = BOUNDS.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum
            .fetch_add((value * SCALE) as u64, Ordering::Relaxed);
    }

    /// Observations at or below each bound, and in all.
    pub(super) fn cumulative(&self) -> [u64; BOUNDS.len() + 1] {
        let mut total = 0;
        self.buckets.each_ref().map(|bucket| {
            total += bucket.load(Ordering::Relaxed);
            total
        })
    }

    /// Sum of all observations.
    pub(super) fn sum(&self) -> f64 {
        self.sum.load(Ordering::Relaxed) as f64 / SCALE
    }
}
