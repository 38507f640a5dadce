//! The packet filter by way of the iptables programs: `iptables-save` to read, one
//! `iptables-restore` per family to change, whole or not at all.
//!
//! There are two kinds of iptables, with separate rules in the kernel. Which one counts is decided
//! as Istio does: the legacy one if it holds rules already, else the nft one if it works in this
//! kernel, else what is simply called `iptables`. Unlike Istio no rule is written to find out, and
//! nothing is run to learn that legacy tables are empty: the kernel lists them in `/proc`.

mod failure;
mod state;
mod text;

#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use failure::{Failure, Meaning};
pub(crate) use state::OURS;
pub use state::State;

use crate::family::Family;
use crate::options::Variant;
use crate::rules::Table;

/// How long `iptables-restore` waits for the lock; the nft kind has none and ignores it.
const WAIT: &str = "--wait=30";
/// The lock that all programs of the legacy kind share.
const LOCK: &str = "/run/xtables.lock";
/// A lock where there is no place for a file: programs that look at this namespace share it.
const NAMESPACE_LOCK: &str = "/proc/self/ns/net";

/// The iptables programs of one family and kind.
#[derive(Debug)]
pub struct Iptables {
    variant: Option<Variant>,
    save: PathBuf,
    restore: PathBuf,
}

impl Iptables {
    /// Finds the programs to use for a family, and our rules as they see them.
    ///
    /// # Errors
    /// When there are none, or when they cannot read the rules. If no kind can, the failure of the
    /// preferred one.
    pub fn choose(family: Family, forced: Option<Variant>) -> Result<(Self, State), Failure> {
        let variants = match forced {
            Some(variant) => &[Some(variant)][..],
            None if legacy_has_rules(family) => &[Some(Variant::Legacy)],
            None => &[Some(Variant::Nft), None, Some(Variant::Legacy)],
        };
        let mut first_failure = None;
        for iptables in variants
            .iter()
            .filter_map(|variant| Self::find(family, *variant))
        {
            match iptables.state() {
                Ok(state) => return Ok((iptables, state)),
                Err(failure) if !failure.is_of_this_variant() => return Err(failure),
                Err(failure) => first_failure.get_or_insert(failure),
            };
        }
        let names = variants
            .iter()
            .map(|variant| program_name(family, *variant, "save"));
        Err(first_failure.unwrap_or_else(|| Failure::Missing {
            names: names.collect(),
        }))
    }

    /// The programs of the other kind, if they see rules of ours: left by a run that chose them.
    pub fn with_leftovers(&self, family: Family) -> Option<(Self, State)> {
        let other = match self.variant? {
            Variant::Legacy => Variant::Nft,
            Variant::Nft if legacy_in_use(family) => Variant::Legacy,
            Variant::Nft => return None,
        };
        Self::of_variant_with_rules(family, other)
    }

    /// The programs of the legacy kind, if they see rules of ours.
    pub fn legacy_leftovers(family: Family) -> Option<(Self, State)> {
        legacy_in_use(family).then(|| Self::of_variant_with_rules(family, Variant::Legacy))?
    }

    fn of_variant_with_rules(family: Family, variant: Variant) -> Option<(Self, State)> {
        let iptables = Self::find(family, Some(variant))?;
        let state = iptables.state().ok().filter(|state| !state.is_empty())?;
        Some((iptables, state))
    }

    /// The programs of the legacy kind, if the nft kind failed for want of something in the kernel.
    pub fn alternative(&self, family: Family, failure: &Failure) -> Option<(Self, State)> {
        if self.variant == Some(Variant::Legacy) || !failure.is_of_this_variant() {
            return None;
        }
        let legacy = Self::find(family, Some(Variant::Legacy))?;
        let state = legacy.state().ok()?;
        Some((legacy, state))
    }

    fn find(family: Family, variant: Option<Variant>) -> Option<Self> {
        let program = |action| in_path(&program_name(family, variant, action));
        Some(Self {
            variant,
            save: program("save")?,
            restore: program("restore")?,
        })
    }

    /// Our rules as they are now.
    ///
    /// # Errors
    /// When the rules cannot be read.
    pub fn state(&self) -> Result<State, Failure> {
        let saved = self.saved()?;
        match saved.lines().find(|line| hides_a_table(line)) {
            Some(line) => Err(Failure::hidden(&self.save, line)),
            None => Ok(State::from_saved(&saved)),
        }
    }

    fn saved(&self) -> Result<String, Failure> {
        let mut command = Command::new(&self.save);
        let not_run = |cause| Failure::NotRun {
            program: self.save.clone(),
            cause,
        };
        let output = command.stdin(Stdio::null()).output().map_err(not_run)?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(Failure::reported(&self.save, &output, ""))
        }
    }

    /// Changes the rules as [`State::change_to`] says: all of it or nothing, per table.
    ///
    /// # Errors
    /// When nothing was changed in the table at fault, and those after it.
    pub fn restore(&self, change: &str) -> Result<(), Failure> {
        let mut command = Command::new(&self.restore);
        command.args(["--noflush", WAIT]);
        if std::env::var_os("XTABLES_LOCKFILE").is_none() && !can_open(LOCK) {
            command.env("XTABLES_LOCKFILE", NAMESPACE_LOCK);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let not_run = |cause| Failure::NotRun {
            program: self.restore.clone(),
            cause,
        };
        let mut child = command.spawn().map_err(not_run)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends early says itself why.
            let _ = stdin.write_all(change.as_bytes());
        }
        let output = child.wait_with_output().map_err(not_run)?;
        if output.status.success() {
            Ok(())
        } else {
            Err(Failure::reported(&self.restore, &output, change))
        }
    }

    /// The program that changes rules, for messages.
    pub fn program(&self) -> &Path {
        &self.restore
    }
}

/// Whether a line of `iptables-nft-save` says that it cannot show a table in which rules of ours may be:
/// one that another program made, with what iptables does not know.
fn hides_a_table(line: &str) -> bool {
    let is = |table: Table| line.contains(&format!("`{}' is incompatible", table.name()));
    line.starts_with('#') && Table::ALL.into_iter().any(is)
}

/// Whether the kernel has tables of the legacy kind in this namespace. Reading them with the programs
/// of that kind would make them.
fn legacy_in_use(family: Family) -> bool {
    let names = match family {
        Family::V4 => "/proc/thread-self/net/ip_tables_names",
        Family::V6 => "/proc/thread-self/net/ip6_tables_names",
    };
    fs::read_to_string(names).is_ok_and(|names| !names.trim().is_empty())
}

/// Whether tables of the legacy kind hold anybody's rules.
fn legacy_has_rules(family: Family) -> bool {
    let saved = || Iptables::find(family, Some(Variant::Legacy))?.saved().ok();
    legacy_in_use(family)
        && saved().is_some_and(|saved| saved.lines().any(|line| line.starts_with("-A ")))
}

/// The name of a program: `ip6tables-nft-save`, `iptables-restore`.
fn program_name(family: Family, variant: Option<Variant>, action: &str) -> String {
    let prefix = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    match variant {
        Some(Variant::Legacy) => format!("{prefix}-legacy-{action}"),
        Some(Variant::Nft) => format!("{prefix}-nft-{action}"),
        None => format!("{prefix}-{action}"),
    }
}

/// The first file of this name in PATH.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH");
    let path = path
        .as_deref()
        .unwrap_or(OsStr::new("/usr/sbin:/sbin:/usr/bin:/bin"));
    std::env::split_paths(path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Whether a file of this name is there to be locked, or can be made.
fn can_open(path: &str) -> bool {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .is_ok()
}
