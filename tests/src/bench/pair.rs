//! A pair of proxies, the client's and the server's, and what they cost under a load.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lateen_wire::ports;

use super::envoy;
use super::lab::{CLIENT, CONTROL_NAME, Lab, SERVER};
use super::load::{Load, Outcome};
use super::measure::Measure;
use super::process::Process;
use super::table::{Subject, Table};
use crate::bed::within;
use crate::cluster::command::run;

/// Seconds of load before what is measured.
const WARM_UP: u32 = 1;

/// Whose proxies.
pub(crate) enum Pair {
    /// Ours.
    Lateen,
    /// Envoy's, by its program.
    Envoy(PathBuf),
}

impl Pair {
    /// Whose figures its are.
    pub(crate) const fn subject(&self) -> Subject {
        match self {
            Self::Lateen => Subject::Lateen,
            Self::Envoy(_) => Subject::Envoy,
        }
    }

    /// Starts the pair, sends the load, and adds what it cost. The answer is what came of the load.
    ///
    /// # Errors
    /// When a proxy does not start, or a request fails.
    pub(crate) async fn measure(
        &self,
        lab: &Lab,
        load: Load,
        seconds: u32,
        table: &mut Table,
    ) -> Result<Outcome> {
        let subject = self.subject();
        let proxies = self.start_both(lab).await?;
        for proxy in &proxies {
            table.add(Measure::IdleMemory, subject, proxy.memory()? / 1e6);
        }
        // The first requests fetch what the proxies need to know, and open connections.
        load.send(lab, WARM_UP).await?;
        let before = total(&proxies)?;
        let outcome = load.send(lab, seconds).await?;
        let used = total(&proxies)? - before;
        let each = used.as_secs_f64() * 1e6 / outcome.requests / 2.0;
        table.add(Measure::Cpu(load), subject, each);
        for proxy in &proxies {
            table.add(Measure::Memory(load), subject, proxy.memory()? / 1e6);
        }
        for proxy in proxies {
            proxy.end().await?;
        }
        Ok(outcome)
    }

    /// The client's proxy and the server's, ready.
    ///
    /// # Errors
    /// When one does not start.
    pub(crate) async fn start_both(&self, lab: &Lab) -> Result<[Process; 2]> {
        Ok([
            self.start(lab, "client").await?,
            self.start(lab, "server").await?,
        ])
    }

    /// One proxy of the pair, ready.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn start(&self, lab: &Lab, side: &'static str) -> Result<Process> {
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
        .envs(lab.environment.iter().copied())
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
