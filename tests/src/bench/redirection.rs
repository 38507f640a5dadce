//! What programming redirection takes: a fresh network namespace each time.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sched::{CloneFlags, unshare};

use super::Programs;
use super::measure::{Means, Measure};
use super::table::{Subject, Table};

/// The arguments that an injected pod has unless it says otherwise.
const DEFAULTS: [[&str; 2]; 8] = [
    ["-p", "15001"],
    ["-z", "15006"],
    ["-u", "1337"],
    ["-m", "REDIRECT"],
    ["-i", "*"],
    ["-x", ""],
    ["-b", "*"],
    ["-d", "15090,15021,15020"],
];

/// Adds wall time and memory of the default rules, by each means.
///
/// # Errors
/// When the rules cannot be programmed.
pub(crate) fn measure(programs: &Programs, runs: usize, table: &mut Table) -> Result<()> {
    for _ in 0..runs.max(5) {
        for means in [Means::Iptables, Means::Netlink] {
            let milliseconds = time(&programs.init, means)?.as_secs_f64() * 1e3;
            let megabytes = memory(&programs.init, means)? / 1e6;
            table.add(
                Measure::RedirectionTime(means),
                Subject::Lateen,
                milliseconds,
            );
            table.add(
                Measure::RedirectionMemory(means),
                Subject::Lateen,
                megabytes,
            );
        }
    }
    Ok(())
}

/// From the start of the program to its end, with nothing in between: what another program takes to
/// start it would be as much as it takes itself.
fn time(init: &Path, means: Means) -> Result<Duration> {
    let mut command = Command::new(init);
    command.args(arguments(means));
    run_in_new_network(command).map(|(elapsed, _)| elapsed)
}

/// The peak of resident memory in bytes, of the program or of one that it starts: GNU time tells it.
fn memory(init: &Path, means: Means) -> Result<f64> {
    let mut command = Command::new("/usr/bin/time");
    command.arg("--format=%M").arg(init).args(arguments(means));
    let (_, printed) = run_in_new_network(command)?;
    let kilobytes: f64 = printed.lines().last().unwrap_or_default().trim().parse()?;
    Ok(kilobytes * 1024.0)
}

fn arguments(means: Means) -> impl Iterator<Item = &'static str> {
    let backend = match means {
        Means::Iptables => "iptables",
        Means::Netlink => "nftables",
    };
    let all = DEFAULTS.into_iter().chain([["--backend", backend]]);
    all.flatten()
}

/// Runs a program in a network namespace that ends with it: how long it took, and what it said on
/// standard error.
fn run_in_new_network(mut command: Command) -> Result<(Duration, String)> {
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).context("Making a network namespace")?;
        let start = Instant::now();
        let output = command.stdin(Stdio::null()).output();
        let elapsed = start.elapsed();
        let output = output.with_context(|| format!("Running {command:?}"))?;
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "lateen-init failed: {printed}");
        Ok((elapsed, printed))
    };
    // A thread of its own, which ends with the namespace that it is in.
    let thread = thread::spawn(run).join();
    thread.map_err(|_| anyhow!("The thread ended early"))?
}
