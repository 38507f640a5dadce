//! The static programs that go into images, and the command line that goes with them.

use std::path::PathBuf;
use std::process::Command;

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

/// A static program that can be loaded anywhere relocates itself, by a table that stays in memory:
/// packed (RELR), 4 kB are left of 343 in the proxy.
const PACKED: &str = "-C link-arg=-Wl,-z,pack-relative-relocs";

/// The first C library that unpacks the table; with an older one inside, a program would not start.
const UNPACKS: (u32, u32) = (2, 36);

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
        let folder = compile(workspace, profile, &PROGRAMS)?;
        Ok(Self { folder })
    }

    /// Where the program `name` is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Builds the programs of `packages` statically and returns the folder they are in.
///
/// # Errors
/// When one does not compile; cargo has then said why on the terminal.
pub(crate) fn compile(workspace: &Workspace, profile: &str, packages: &[&str]) -> Result<PathBuf> {
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
    cargo.args(packages.iter().flat_map(|package| ["--package", package]));
    cargo
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", flags());
    shell::run(&mut cargo)?;
    Ok(target.join(TARGET).join(profile))
}

fn flags() -> String {
    let library = shell::read(Command::new("getconf").arg("GNU_LIBC_VERSION"));
    match library.ok().as_deref().and_then(version) {
        Some(version) if version >= UNPACKS => format!("{STATIC} {PACKED}"),
        _ => STATIC.to_owned(),
    }
}

/// Reads what getconf says: `glibc 2.36`.
fn version(said: &str) -> Option<(u32, u32)> {
    let number = said.trim().strip_prefix("glibc ")?;
    let (major, minor) = number.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_c_library_is_read() {
        assert_eq!(version("glibc 2.36\n"), Some((2, 36)));
        assert!(version("glibc 2.9") < Some(UNPACKS));
        assert_eq!(version("musl 1.2"), None);
    }
}
