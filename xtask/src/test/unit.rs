//! What needs nothing but the toolchain.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use lateen_tests::cluster::{Cache, HELM, Progress};

use super::cargo_test;
use super::report::Report;
use crate::blocking::wait_for;
use crate::workspace::Workspace;
use crate::{generate, lengths, output, shell};

/// The checker of licences and dependencies. Pinned, so that it finds the same tomorrow.
const CARGO_DENY: &str = "0.20.2";

/// Runs the checks from quick to slow.
pub(crate) fn run(workspace: &Workspace, report: &Report) {
    report.stage("unit: format", || {
        shell::run(workspace.cargo().args(["fmt", "--all", "--check"]))?;
        let fuzz = ["fmt", "--manifest-path=fuzz/Cargo.toml", "--check"];
        shell::run(workspace.cargo().args(fuzz))
    });
    report.stage("unit: file lengths", || lengths::check(workspace));
    report.stage("unit: generated code", || generate::check(workspace));
    report.stage("unit: lints", || {
        let clippy = [
            "clippy",
            "--locked",
            "--quiet",
            "--workspace",
            "--all-targets",
        ];
        shell::run(
            workspace
                .cargo()
                .args(clippy)
                .args(["--", "--deny", "warnings"]),
        )
    });
    report.stage("unit: tests", || unit_tests(workspace));
    report.stage("unit: charts", || charts(workspace));
    report.stage("unit: documentation", || documentation(workspace));
    report.stage("unit: dependencies", || dependencies(workspace));
}

/// Everything but the test programs of other classes.
fn unit_tests(workspace: &Workspace) -> Result<()> {
    let elsewhere = [
        "--exclude=lateen-init",
        "--exclude=lateen-proxy",
        "--exclude=lateen-tests",
    ];
    cargo_test(workspace, &[&["--workspace"][..], &elsewhere].concat())?;
    let init = ["--package=lateen-init", "--lib", "--bins", "--test=goldens"];
    cargo_test(workspace, &init)?;
    cargo_test(workspace, &["--package=lateen-proxy", "--lib", "--bins"])?;
    cargo_test(workspace, &["--package=lateen-tests", "--lib"])
}

/// What helm makes of the charts, which it takes helm to know.
fn charts(workspace: &Workspace) -> Result<()> {
    wait_for(HELM.get(&Cache::locate()?, &Progress::begin()))?;
    cargo_test(workspace, &["--package=lateenctl", "--test=helm"])
}

/// Every link leads somewhere. One to a private item does so for whoever reads the code.
fn documentation(workspace: &Workspace) -> Result<()> {
    let doc = ["doc", "--locked", "--quiet", "--workspace", "--no-deps"];
    let flags = "--deny warnings --allow rustdoc::private_intra_doc_links";
    shell::run(workspace.cargo().args(doc).env("RUSTDOCFLAGS", flags))
}

/// Licences, banned crates and where crates come from. Advisories are left out, since a new one
/// would fail a commit that did not change.
fn dependencies(workspace: &Workspace) -> Result<()> {
    let deny = cargo_deny(workspace)?;
    let checks = [
        "--log-level=error",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ];
    shell::run(Command::new(deny).current_dir(&workspace.root).args(checks))
}

/// The path of cargo-deny, installed in the cache unless it is there.
fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.cache.join(format!("cargo-deny-{CARGO_DENY}"));
    let program = folder.join("bin/cargo-deny");
    if !program.exists() {
        output::step("Installing cargo-deny");
        let install = [
            "install",
            "--locked",
            "--quiet",
            "--version",
            CARGO_DENY,
            "cargo-deny",
        ];
        let mut cargo = workspace.cargo();
        cargo.args(install).arg("--root").arg(&folder);
        cargo
            .arg("--target-dir")
            .arg(workspace.target.join("tools"));
        shell::run(&mut cargo).context("Installing cargo-deny")?;
    }
    Ok(program)
}
