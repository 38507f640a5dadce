//! What people see while a cluster is made: one line per step with the time since the beginning.

use std::io::Write as _;
use std::time::Instant;

/// Tells on standard error how far the work has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    started: Instant,
}

impl Progress {
    /// Begins to count the time.
    pub fn begin() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Writes one line about what has been done or goes on.
    pub fn tell(&self, what: impl std::fmt::Display) {
        let elapsed = self.started.elapsed().as_secs_f64();
        // Nobody to read it is no reason to stop.
        writeln!(std::io::stderr(), "{elapsed:7.1}s  {what}").ok();
    }
}
