//! `cargo xtask bench`: measures what ships, built as for a release.

use anyhow::Result;
use lateen_tests::bench::{self, Options, Programs};

use crate::blocking::wait_for;
use crate::images::compile;
use crate::output;
use crate::workspace::Workspace;

/// The programs under test, and the control that serves them made-up clusters.
const PACKAGES: [&str; 3] = ["lateen-init", "lateen-proxy", "lateen-tests"];

/// Builds the programs, measures them and prints the figures.
///
/// # Errors
/// When a program does not build, or a measurement fails.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    output::step("Building the programs as for a release");
    let programs = Programs::in_folder(&compile(workspace, "release", &PACKAGES)?);
    let table = wait_for(bench::run(&programs, options))?;
    if options.json {
        output::line(&serde_json::to_string_pretty(&table)?);
    } else {
        output::line(&table.to_string());
    }
    Ok(())
}
