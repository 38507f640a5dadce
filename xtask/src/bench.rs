//! `cargo xtask bench`: measures what ships, built as for a release.

use anyhow::Result;
use lateen_tests::bench::{self, Measure, Options, Subject};

use crate::blocking::wait_for;
use crate::images;
use crate::output;
use crate::workspace::Workspace;

/// Builds the programs, measures them and prints the figures.
///
/// # Errors
/// When a program does not build, or a measurement fails.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    output::step("Building the programs as for a release");
    let shipped = images::Programs::build(workspace, true)?;
    // By themselves: built together with what ships, they would add features to it.
    let offline = images::compile(workspace, "release", &["lateen-tests"])?;
    let programs = bench::Programs {
        proxy: shipped.path("lateen-proxy"),
        init: shipped.path("lateen-init"),
        lateenctl: shipped.path("lateenctl"),
        control: offline.join("lateen-offline-control"),
        webhook: offline.join("lateen-offline-webhook"),
    };
    let mut table = wait_for(bench::run(&programs, options))?;
    for (name, bytes) in images::sizes(workspace, &shipped)? {
        table.add(Measure::Image(name), Subject::Lateen, bytes as f64 / 1e6);
    }
    if options.json {
        output::line(&serde_json::to_string_pretty(&table)?);
    } else {
        output::line(&table.to_string());
    }
    Ok(())
}
