//! What anybody can send, thrown at the parsers that read it: libFuzzer and the targets in `fuzz/`.
//!
//! Each run begins with the inputs in `fuzz/corpus` and those that earlier runs found, which stay in
//! the cache. An input that a parser failed on is among these, so it is tried again until the parser
//! is mended; then it belongs into `fuzz/corpus`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::report::Report;
use crate::workspace::Workspace;
use crate::{output, shell};

/// The programs of `fuzz/Cargo.toml`.
const TARGETS: [&str; 4] = ["annotations", "configuration", "dns", "review"];

/// How long each target is fed, in seconds.
const TIME: u32 = 20;

/// How long one input may take, in seconds. Most take less than a millisecond.
const TIME_OF_ONE: u32 = 5;

/// Which nightly does not matter: the code is stable Rust, and only the flags below are not.
const NIGHTLY: &str = "nightly";

/// Naming the target keeps the flags away from build scripts and macros, which run here and now.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// What cargo-fuzz compiles with: coverage and comparisons, by which libFuzzer finds its way, and
/// the address sanitizer.
const FLAGS: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Zsanitizer=address",
];

/// Builds the targets and runs one after the other.
pub(crate) fn run(workspace: &Workspace, report: &Report) {
    let Some(programs) = report.stage("fuzz: build", || build(workspace)) else {
        return;
    };
    for target in TARGETS {
        let program = programs.join(target);
        report.stage(&format!("fuzz: {target}"), || {
            feed(workspace, target, &program)
        });
    }
}

/// Builds the targets with a nightly toolchain and returns the folder they are in.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.root.join("fuzz");
    let target = workspace.target.join("fuzz");
    let mut cargo = nightly_cargo(workspace);
    cargo
        .current_dir(&folder)
        .args(["build", "--quiet", "--release", "--target", TRIPLE])
        .arg("--target-dir")
        .arg(&target)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", FLAGS.join(" "));
    shell::run(&mut cargo)?;
    Ok(target.join(TRIPLE).join("release"))
}

/// Cargo of a nightly toolchain, which is installed where there is none. Without one, the pinned
/// toolchain is told to take the flags all the same.
fn nightly_cargo(workspace: &Workspace) -> Command {
    let has_nightly =
        || shell::succeeds(Command::new("rustup").args(["run", NIGHTLY, "rustc", "-V"]));
    let install = || {
        output::step("Installing a nightly toolchain");
        let install = ["toolchain", "install", NIGHTLY, "--profile=minimal"];
        shell::read(Command::new("rustup").args(install))
    };
    if !has_nightly()
        && let Err(error) = install()
    {
        output::line(&format!("Fuzzing with the pinned toolchain: {error:#}"));
        let mut cargo = workspace.cargo();
        cargo.env("RUSTC_BOOTSTRAP", "1");
        return cargo;
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["run", NIGHTLY, "cargo"]);
    rustup
}

/// Feeds a target, and keeps what reached something new.
fn feed(workspace: &Workspace, target: &str, program: &Path) -> Result<()> {
    let found = workspace.cache.join("fuzz").join(target);
    fs::create_dir_all(&found).with_context(|| format!("Making {}", found.display()))?;
    let mut fuzzer = Command::new(program);
    fuzzer
        .arg(format!("-max_total_time={TIME}"))
        .arg(format!("-timeout={TIME_OF_ONE}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        // Looking for names and leaks takes longer than the inputs do.
        .args(["-verbosity=0", "-print_funcs=0", "-detect_leaks=0"])
        .arg(&found)
        .arg(workspace.root.join("fuzz/corpus").join(target));
    shell::read(&mut fuzzer).map(drop).with_context(|| {
        format!(
            "The parser failed on an input: `Test unit written to` names it below. \
             To try it again, run {} INPUT",
            program.display()
        )
    })
}
