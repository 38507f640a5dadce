//! A TCP connection through the proxy: its bytes, its metrics, its line in the access log.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use crate::access_log::{AccessLog, Line};
use crate::metrics::{Flags, OpenConnection};
use crate::net::{Counts, Relayed, Stream, relay};

/// Counts the bytes of a connection, also before it is known whose metrics they belong to.
pub struct Record {
    started: Instant,
    received: AtomicU64,
    sent: AtomicU64,
    open: OnceLock<OpenConnection>,
    log: Option<(AccessLog, Line)>,
}

impl Record {
    /// A connection has begun.
    #[must_use]
    pub fn begin(log: Option<(AccessLog, Line)>) -> Self {
        Self {
            started: Instant::now(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            open: OnceLock::new(),
            log,
        }
    }

    /// Counts into these metrics from now on, and what was counted before.
    pub fn attach(&self, open: OpenConnection) {
        open.series()
            .add_received(self.received.load(Ordering::Relaxed));
        open.series().add_sent(self.sent.load(Ordering::Relaxed));
        // Attached once.
        let _ = self.open.set(open);
    }

    /// Carries bytes until both sides are done or one fails.
    pub async fn carry(&self, mut client: Stream, mut server: Stream) -> Relayed {
        relay(&mut client, &mut server, self).await
    }

    /// The connection has ended.
    pub fn end(self, flags: Flags) {
        if let Some((log, line)) = &self.log {
            log.write_tcp(
                line,
                flags,
                self.received.load(Ordering::Relaxed),
                self.sent.load(Ordering::Relaxed),
                self.started.elapsed(),
            );
        }
    }
}

impl Counts for Record {
    fn forward(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some(open) = self.open.get() {
            open.series().add_received(bytes as u64);
        }
    }

    fn back(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some(open) = self.open.get() {
            open.series().add_sent(bytes as u64);
        }
    }
}
