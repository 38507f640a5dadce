//! Readiness as a set of named reasons that are still pending (`/healthz/ready` on 15021).
//! A reason is resolved once and never comes back: losing control later does not make a proxy
//! unready, since it carries on with what it knows. Only a drain ends readiness.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::drain::{Drain, Phase};

/// What must have happened before the proxy is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The first workload certificate is there.
    Certificate,
    /// Control has told the proxy about its own workload.
    Discovery,
    /// Both capture ports are bound on every worker.
    Listeners,
}

/// Shared knowledge of what is still pending.
#[derive(Clone, Debug)]
pub struct Readiness {
    pending: Arc<Mutex<BTreeSet<Reason>>>,
    drain: Drain,
}

impl Readiness {
    /// Everything pending.
    #[must_use]
    pub fn new(drain: Drain) -> Self {
        let all = BTreeSet::from([Reason::Certificate, Reason::Discovery, Reason::Listeners]);
        Self {
            pending: Arc::new(Mutex::new(all)),
            drain,
        }
    }

    /// Marks a reason as done; doing so again changes nothing.
    pub fn resolve(&self, reason: Reason) {
        let mut pending = self.pending.lock();
        if pending.remove(&reason) && pending.is_empty() {
            tracing::info!("The proxy is ready.");
        }
    }

    /// Nothing pending, and not draining.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.pending.lock().is_empty() && self.drain.phase() == Phase::Serving
    }

    /// What is still pending, for people who ask why.
    #[must_use]
    pub fn pending(&self) -> Vec<Reason> {
        self.pending.lock().iter().copied().collect()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Certificate => "waiting for a certificate",
            Self::Discovery => "waiting for discovery",
            Self::Listeners => "waiting for listeners",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_nothing_is_pending_and_until_the_drain() {
        let drain = Drain::new();
        let readiness = Readiness::new(drain.clone());
        readiness.resolve(Reason::Certificate);
        readiness.resolve(Reason::Listeners);
        assert!(!readiness.is_ready());
        assert_eq!(readiness.pending(), [Reason::Discovery]);
        readiness.resolve(Reason::Discovery);
        assert!(readiness.is_ready());
        drain.begin();
        assert!(!readiness.is_ready());
    }
}
