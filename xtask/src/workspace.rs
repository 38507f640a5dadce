//! Where things are: the checkout, what cargo builds, and what is kept between runs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// The version that everything of this checkout carries.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folders that every command works in.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's target folder: `CARGO_TARGET_DIR`, or `target` in the checkout.
    pub(crate) target: PathBuf,
    /// What outlives the checkout (packages, images): `LATEEN_CACHE`, `lateen` in
    /// `XDG_CACHE_HOME`, or `~/.cache/lateen`.
    pub(crate) cache: PathBuf,
    /// This program, for processes that are to call it. Found at the start: once cargo has built it
    /// anew, the kernel knows it as deleted.
    pub(crate) program: PathBuf,
}

impl Workspace {
    /// Finds the folders of the checkout that cargo runs this program for.
    ///
    /// # Errors
    /// When no folder for the cache is known, because none of the variables is set, or when this
    /// program's own file cannot be told.
    pub(crate) fn locate() -> Result<Self> {
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest)
            .parent()
            .context("Finding the checkout")?
            .to_path_buf();
        let target = folder("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let cache = folder("LATEEN_CACHE")
            .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("lateen")))
            .or_else(|| Some(folder("HOME")?.join(".cache/lateen")))
            .context("Finding the cache: set LATEEN_CACHE, XDG_CACHE_HOME or HOME")?;
        Ok(Self {
            target: root.join(target),
            cache,
            program: env::current_exe().context("Finding the program that is running")?,
            root,
        })
    }

    /// Cargo, about to run in the checkout.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        cargo
    }
}

fn folder(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
