//! Locks that keep two programs from working on the same cluster or the same part of the cache.

use std::fs::{self, File, TryLockError};

use anyhow::{Context as _, Result};

use super::cache::Cache;
use super::progress::Progress;

/// Held while a program works on something that others must leave alone. The kernel takes it back
/// from a program that dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until nobody else has the lock of this name.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub(crate) fn take(cache: &Cache, name: &str) -> Result<Self> {
        let folder = cache.locks();
        fs::create_dir_all(&folder).with_context(|| format!("Making {}", folder.display()))?;
        let path = folder.join(name);
        let file = File::create(&path).with_context(|| format!("Making {}", path.display()))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let wait = format!("Waiting for another program that works on {name}");
            Progress::begin().tell(wait);
        }
        file.lock()
            .with_context(|| format!("Locking {}", path.display()))?;
        Ok(Self { _file: file })
    }
}
