//! How much one sidecar is told among many services, and what control needs to know them all.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::Programs;
use super::lab::{CONTROL, Lab, Mesh, PORT};
use super::measure::Measure;
use super::offline::APPLICATIONS;
use super::pair::Pair;
use super::table::{Subject, Table};
use crate::cluster::command::run;

/// Nothing has arrived for this long: control has said what it had to say.
const QUIET: Duration = Duration::from_millis(500);

/// Adds both for a mesh of `services` services, three of which are called.
///
/// # Errors
/// When the lab does not come up or a call fails.
pub(crate) async fn measure(
    programs: &Programs,
    fortio: &Path,
    services: usize,
    table: &mut Table,
) -> Result<()> {
    let mesh = Mesh {
        services: services.saturating_sub(APPLICATIONS.len()),
    };
    let lab = Lab::new(programs, fortio, Some(mesh)).await?;
    let measured = add(&lab, services, table).await;
    lab.end().await?;
    measured
}

async fn add(lab: &Lab, services: usize, table: &mut Table) -> Result<()> {
    let proxies = Pair::Lateen.start_both(lab).await?;
    for application in &APPLICATIONS {
        let mut fortio = lab.command("client", &lab.fortio);
        let url = format!("http://{}:{PORT}/echo", application.name);
        run(fortio.args(["curl", "-quiet", &url])).await?;
    }
    let kilobytes = received_until_quiet(lab).await? / 1e3;
    table.add(
        Measure::Configuration { services },
        Subject::Lateen,
        kilobytes,
    );
    let megabytes = lab.control_memory()? / 1e6;
    table.add(
        Measure::ControlMemory { services },
        Subject::Lateen,
        megabytes,
    );
    for proxy in proxies {
        proxy.end().await?;
    }
    Ok(())
}

async fn received_until_quiet(lab: &Lab) -> Result<f64> {
    let mut before = received(lab).await?;
    loop {
        tokio::time::sleep(QUIET).await;
        let now = received(lab).await?;
        if now.to_bits() == before.to_bits() {
            return Ok(now);
        }
        before = now;
    }
}

/// Bytes that the client's connections to control have received, as the kernel counts them.
async fn received(lab: &Lab) -> Result<f64> {
    let mut ss = lab.command("client", Path::new("ss"));
    let listed = run(ss.args(["-Htin", "dst", &CONTROL.to_string()])).await?;
    let counts = listed
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("bytes_received:")?.parse::<f64>().ok());
    let sum: f64 = counts.sum();
    ensure!(sum > 0.0, "no connection to control in: {listed}");
    Ok(sum)
}
