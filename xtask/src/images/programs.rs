//! The static programs that go into images, and the command line that goes with them.

use std::path::PathBuf;

use anyhow::Result;

use crate::shell;
use crate::workspace::Workspace;

/// Programs and packages have the same names.
const PROGRAMS: [&str; 6] = [
    "lateen-control",
    "lateen-init",
    "lateen-proxy",
    "lateen-samples",
    "lateen-webhook",
    "lateenctl",
];

/// Naming the target keeps its flags away from build scripts and macros, which cannot be static.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Linked with the C library inside, since the images hold nothing else.
const STATIC: &str = "-C target-feature=+crt-static";

/// A folder with the programs, built.
#[derive(Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Builds all programs, with the profile `release` or `quick`.
    ///
    /// # Errors
    /// When one does not compile; cargo has then said why on the terminal.
    pub(crate) fn build(workspace: &Workspace, release: bool) -> Result<Self> {
        let profile = if release { "release" } else { "quick" };
        // Its own folder, since other flags would build everything anew each time.
        let target = workspace.target.join("static");
        let mut cargo = workspace.cargo();
        cargo.args([
            "build",
            "--locked",
            "--quiet",
            "--profile",
            profile,
            "--target",
            TARGET,
        ]);
        cargo.arg("--target-dir").arg(&target);
        cargo.args(PROGRAMS.iter().flat_map(|program| ["--package", program]));
        cargo
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("RUSTFLAGS", STATIC);
        shell::run(&mut cargo)?;
        Ok(Self {
            folder: target.join(TARGET).join(profile),
        })
    }

    /// Where the program `name` is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
