//! One docker archive of many: layers that images share are in it once, and an image can have any
//! number of names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::shell;

const MANIFEST: &str = "manifest.json";

/// An entry of `manifest.json` in a docker archive.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Archives that become one.
#[derive(Debug)]
pub(crate) struct Merge {
    folder: PathBuf,
    entries: Vec<Entry>,
}

impl Merge {
    /// Begins with nothing, using `scratch` for files on the way.
    ///
    /// # Errors
    /// When `scratch` cannot be written.
    pub(crate) fn new(scratch: &Path) -> Result<Self> {
        let folder = scratch.join("merged");
        fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            entries: Vec::new(),
        })
    }

    /// Adds the image in `archive` under `names` alone.
    ///
    /// # Errors
    /// When `archive` is not a docker archive.
    pub(crate) fn add(&mut self, archive: &Path, names: &[String]) -> Result<()> {
        // Layers and configurations are named by their hashes, so equal names are equal files.
        shell::read(&mut tar("-xf", archive, &self.folder))?;
        let manifest = fs::read(self.folder.join(MANIFEST))?;
        let entries: Vec<Entry> = serde_json::from_slice(&manifest)
            .with_context(|| format!("Reading {MANIFEST} of {}", archive.display()))?;
        self.entries.extend(
            entries
                .into_iter()
                .map(|Entry { config, layers, .. }| Entry {
                    config,
                    layers,
                    repo_tags: names.to_vec(),
                }),
        );
        Ok(())
    }

    /// Writes everything to `file`, which appears only when it is complete.
    ///
    /// # Errors
    /// When `file` cannot be written.
    pub(crate) fn write(self, file: &Path) -> Result<()> {
        fs::write(
            self.folder.join(MANIFEST),
            serde_json::to_vec(&self.entries)?,
        )?;
        let members: BTreeSet<_> = self
            .entries
            .iter()
            .flat_map(|entry| entry.layers.iter().chain([&entry.config]))
            .map(String::as_str)
            .chain([MANIFEST])
            .collect();
        let complete = self.folder.with_extension("tar");
        shell::read(tar("-cf", &complete, &self.folder).args(members))?;
        fs::rename(&complete, file).with_context(|| format!("Writing {}", file.display()))
    }
}

fn tar(action: &str, archive: &Path, folder: &Path) -> Command {
    let mut tar = Command::new("tar");
    tar.arg(action).arg(archive).arg("-C").arg(folder);
    tar
}
