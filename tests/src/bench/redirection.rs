//! What programming redirection takes: a fresh network namespace each time.

use std::time::Instant;

use anyhow::Result;

use super::Programs;
use super::measure::{Means, Measure};
use super::table::{Subject, Table};
use crate::cluster::command::{host, run};

/// Adds wall time and memory of the default rules.
///
/// # Errors
/// When the rules cannot be programmed.
pub(crate) async fn measure(programs: &Programs, runs: usize, table: &mut Table) -> Result<()> {
    let means = [Means::Iptables, Means::Netlink];
    for means in means.into_iter().cycle().take(2 * runs.max(5)) {
        let namespace = format!("bench{:04x}-init", fastrand::u16(..));
        run(&mut host("ip", ["netns", "add", &namespace])).await?;
        let measured = once(programs, means, &namespace, table).await;
        run(&mut host("ip", ["netns", "delete", &namespace])).await?;
        measured?;
    }
    Ok(())
}

async fn once(programs: &Programs, means: Means, namespace: &str, table: &mut Table) -> Result<()> {
    let mut init = host("nsenter", [format!("--net=/run/netns/{namespace}")]);
    // GNU time tells the peak of resident memory of its child and that child's children.
    init.args(["/usr/bin/time", "--format=%M"])
        .arg(&programs.init);
    init.args([
        "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "",
    ]);
    init.args(["-b", "*", "-d", "15090,15021,15020"]);
    init.args([
        "--backend",
        match means {
            Means::Iptables => "iptables",
            Means::Netlink => "nftables",
        },
    ]);
    init.stdin(std::process::Stdio::null());
    let start = Instant::now();
    let output = init.output().await?;
    let elapsed = start.elapsed();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    anyhow::ensure!(output.status.success(), "lateen-init failed: {printed}");
    let kilobytes: f64 = printed.lines().last().unwrap_or_default().trim().parse()?;
    let milliseconds = elapsed.as_secs_f64() * 1e3;
    table.add(
        Measure::RedirectionTime(means),
        Subject::Lateen,
        milliseconds,
    );
    table.add(
        Measure::RedirectionMemory(means),
        Subject::Lateen,
        kilobytes * 1024.0 / 1e6,
    );
    Ok(())
}
