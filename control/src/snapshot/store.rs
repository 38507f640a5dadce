//! The snapshot shared between tasks: many readers, short writes, and word of what changed.

use std::time::Duration;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::{Cluster, Facts, Snapshot};

/// The shared snapshot.
pub struct Store {
    snapshot: RwLock<Snapshot>,
    changes: Mutex<Changes>,
    version: watch::Sender<u64>,
}

/// Facts that changed and whose dependents have not heard of it yet.
#[derive(Default)]
pub struct Changes {
    /// What changed.
    pub facts: Facts,
    /// When the first of it did.
    pub since: Option<Instant>,
}

impl Store {
    /// A store with an empty snapshot.
    #[must_use]
    pub fn new(cluster: Cluster) -> Self {
        Self {
            snapshot: RwLock::new(Snapshot::new(cluster)),
            changes: Mutex::default(),
            version: watch::Sender::new(0),
        }
    }

    /// The snapshot, for a moment: writers wait for as long as the guard lives.
    pub fn read(&self) -> RwLockReadGuard<'_, Snapshot> {
        self.snapshot.read()
    }

    /// Changes the snapshot and wakes all who wait for changes.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot, &mut Facts)) {
        let mut facts = Facts::new();
        change(&mut self.snapshot.write(), &mut facts);
        if !facts.is_empty() {
            let mut changes = self.changes.lock();
            changes.since.get_or_insert_with(Instant::now);
            changes.facts.extend(facts);
        }
        self.version.send_modify(|version| *version += 1);
    }

    /// Takes what changed since the last call.
    pub fn take_changes(&self) -> Changes {
        std::mem::take(&mut self.changes.lock())
    }

    /// Is marked at every change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Waits until `check` finds no error, and gives up with the last error after `limit`. For
    /// callers who are ahead of the watches by a moment.
    ///
    /// # Errors
    /// What `check` said last.
    pub async fn wait_for<T, E>(
        &self,
        limit: Duration,
        check: impl Fn(&Snapshot) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut version = self.subscribe();
        let deadline = Instant::now() + limit;
        loop {
            let error = match check(&self.read()) {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if !matches!(timeout(left, version.changed()).await, Ok(Ok(()))) {
                return Err(error);
            }
        }
    }
}
