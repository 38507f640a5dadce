//! What is written down about a cluster.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::cache::Cache;
use super::lock::Lock;
use super::name::Name;
use super::network::ranges_in_use;
use super::plan::{Range, Slot};

const FILE: &str = "cluster.json";

/// The choices made for a cluster; all else follows from them.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Record {
    pub(crate) slot: Slot,
    pub(crate) nodes: u8,
}

impl Record {
    /// The record of a cluster, if it has one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(cache: &Cache, name: &Name) -> Result<Option<Self>> {
        Self::read_from(&cache.cluster(name.as_str()))
    }

    /// Chooses a free slot for a new cluster and writes it down.
    ///
    /// # Errors
    /// When there is none, or the record cannot be written.
    pub(crate) async fn make(cache: &Cache, name: &Name, nodes: u8) -> Result<Self> {
        let _alone = Lock::take(cache, ".slots")?;
        let mut taken = ranges_in_use().await?;
        for slot in Self::all(cache)?.into_iter().map(|record| record.slot) {
            taken.extend(slot.plan().all().into_iter().flat_map(Range::both));
        }
        let record = Self {
            slot: Slot::first_free(&taken)?,
            nodes,
        };
        let folder = cache.cluster(name.as_str());
        fs::create_dir_all(&folder).with_context(|| format!("Making {}", folder.display()))?;
        fs::write(folder.join(FILE), serde_json::to_string_pretty(&record)?)
            .with_context(|| format!("Writing to {}", folder.display()))?;
        Ok(record)
    }

    fn all(cache: &Cache) -> Result<Vec<Self>> {
        let Ok(folders) = cache.clusters().read_dir() else {
            return Ok(Vec::new());
        };
        let mut records = Vec::new();
        for folder in folders {
            records.extend(Self::read_from(&folder?.path())?);
        }
        Ok(records)
    }

    fn read_from(folder: &Path) -> Result<Option<Self>> {
        let file = folder.join(FILE);
        match fs::read(&file) {
            Ok(content) => serde_json::from_slice(&content)
                .with_context(|| format!("Reading {}", file.display()))
                .map(Some),
            Err(_) => Ok(None),
        }
    }
}
