//! A pair of proxies, the client's and the server's, and what they cost under a load.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lateen_wire::ports;

use super::lab::{CLIENT, CONTROL, CONTROL_NAME, Lab, SERVER};
use super::load::Load;
use super::process::Process;
use super::{Programs, Table, envoy};
use crate::bed::within;
use crate::cluster::command::run;

/// Whose proxies.
pub(crate) enum Pair {
    /// Ours.
    Lateen,
    /// Envoy's, by its program.
    Envoy(PathBuf),
}

impl Pair {
    /// The name in tables.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Lateen => "lateen",
            Self::Envoy(_) => "envoy",
        }
    }

    /// Starts the pair, sends the load, and adds what it cost.
    ///
    /// # Errors
    /// When a proxy does not start, or a request fails.
    pub(crate) async fn measure(&self, lab: &Lab, load: &Load, table: &mut Table) -> Result<()> {
        let whom = self.name();
        let proxies = [
            self.start(lab, "client").await?,
            self.start(lab, "server").await?,
        ];
        let row = |what: &str| format!("{}: {what}", load.name);
        for proxy in &proxies {
            table.add("memory idle", whom, "MB", proxy.memory()? / 1e6);
        }
        // The first requests fetch what they need to know, in both cases.
        Load::all(1)[0].send(lab, false).await?;
        let before = total(&proxies)?;
        let outcome = load.send(lab, false).await?;
        let used = total(&proxies)? - before;
        let each = used.as_secs_f64() * 1e6 / outcome.requests / 2.0;
        table.add(row("CPU per request and proxy"), whom, "us", each);
        table.add(row("latency p50"), whom, "ms", outcome.p50);
        table.add(row("latency p99"), whom, "ms", outcome.p99);
        for proxy in &proxies {
            table.add(row("memory"), whom, "MB", proxy.memory()? / 1e6);
        }
        for proxy in proxies {
            proxy.end().await?;
        }
        Ok(())
    }

    async fn start(&self, lab: &Lab, side: &'static str) -> Result<Process> {
        let process = match self {
            Self::Lateen => lateen(lab, side),
            Self::Envoy(program) => envoy::start(lab, side, program).await,
        }?;
        let port = if side == "client" {
            ports::OUTBOUND
        } else {
            ports::INBOUND
        };
        lab.listening(side, port).await?;
        if matches!(self, Self::Lateen) {
            ready(lab, side).await?;
        }
        Ok(process)
    }
}

fn total(proxies: &[Process; 2]) -> Result<Duration> {
    proxies.iter().map(Process::cpu).sum()
}

/// Starts our proxy for a pod that control knows by the name of its side.
fn lateen(lab: &Lab, side: &'static str) -> Result<Process> {
    let address = if side == "client" { CLIENT } else { SERVER };
    let token = lab.folder.path().join(format!("{side}.token"));
    std::fs::write(&token, format!("bench/{side}/{side}/{side}-uid"))?;
    let mut proxy = lab.proxy_command(side, &lab.programs.proxy);
    proxy
        .args(["proxy", "sidecar"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("POD_NAME", side)
        .env("POD_NAMESPACE", "bench")
        .env("SERVICE_ACCOUNT", side)
        .env("INSTANCE_IP", address.to_string())
        .env("CA_ADDR", format!("{CONTROL_NAME}:{}", ports::DISCOVERY))
        .env(
            "PROXY_CONFIG",
            format!(
                "{{\"discoveryAddress\":\"{CONTROL_NAME}:{}\"}}",
                ports::DISCOVERY
            ),
        )
        .env("LATEEN_TOKEN_PATH", &token)
        .env(
            "LATEEN_ROOT_CERT_PATH",
            lab.folder.path().join("root-cert.pem"),
        );
    Process::start(proxy, &lab.log(&format!("lateen-{side}")))
}

async fn ready(lab: &Lab, side: &str) -> Result<()> {
    within(
        Duration::from_secs(20),
        &format!("readiness of the {side}'s proxy"),
        async || {
            let mut wait = lab.command(side, &lab.programs.proxy);
            run(wait.args(["wait", "--timeoutSeconds", "1"]))
                .await
                .map(drop)
        },
    )
    .await
    .with_context(|| {
        let log = std::fs::read_to_string(lab.log(&format!("lateen-{side}"))).unwrap_or_default();
        format!("Its log:\n{log}")
    })
}

/// How much one sidecar is told among many services, and what control needs to know them all.
///
/// # Errors
/// When the lab does not come up.
pub(crate) async fn configuration(
    programs: &Programs,
    services: usize,
    table: &mut Table,
) -> Result<()> {
    let fortio = crate::cluster::Cache::locate()?.programs().join("fortio");
    let lab = Lab::new(programs, &fortio, services).await?;
    let measured = async {
        let pair = [
            Pair::Lateen.start(&lab, "client").await?,
            Pair::Lateen.start(&lab, "server").await?,
        ];
        // Three services are called: the server by three names.
        Load::all(1)[0].send(&lab, false).await?;
        let what = format!("{services} services: received by a sidecar");
        table.add(what, "lateen", "KB", received(&lab, "client").await? / 1e3);
        let what = format!("{services} services: memory of control");
        table.add(what, "lateen", "MB", lab.control_memory()? / 1e6);
        for proxy in pair {
            proxy.end().await?;
        }
        anyhow::Ok(())
    }
    .await;
    lab.end().await?;
    measured
}

/// Bytes that a pod's connections to control have received, as the kernel counts them.
async fn received(lab: &Lab, side: &str) -> Result<f64> {
    let mut ss = lab.command(side, Path::new("ss"));
    let listed = run(ss.args(["-Htin", "dst", &CONTROL.to_string()])).await?;
    let counts = listed
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("bytes_received:")?.parse::<f64>().ok());
    let sum: f64 = counts.sum();
    ensure!(sum > 0.0, "no connection to control in: {listed}");
    Ok(sum)
}
