//! What an admission costs: our admission server under four clients that ask all the time, as API
//! servers do: over TLS, on kept connections, with the review of a pod of a Deployment.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use lateen_control::ca::{Authority, Subject as Certified};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Programs;
use super::measure::{Measure, Percentile};
use super::offline::{ADDRESS_FILE, SERVER_NAME};
use super::process::Process;
use super::table::{Subject, Table};
use crate::bed::within;
use crate::cluster::command::{host, run};

/// How many ask at the same time.
const CLIENTS: usize = 4;
/// Admissions of each client before what is measured.
const WARM_UP: usize = 200;
/// What an API server asks.
const REVIEW: &str = include_str!("review.json");

/// Adds CPU time and latency of admissions and the server's memory.
///
/// # Errors
/// When the server does not start or refuses a pod.
pub(crate) async fn measure(programs: &Programs, seconds: u32, table: &mut Table) -> Result<()> {
    let folder = tempfile::tempdir().context("Making a folder for the injector")?;
    let roots = prepare(programs, folder.path()).await?;
    let server = Process::start(command(programs, folder.path()), &folder.path().join("log"))?;
    let address = address(folder.path()).await?;

    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(address, &roots).await?;
        for _ in 0..WARM_UP {
            client.admit().await?;
        }
        clients.push(client);
    }
    let before = server.cpu()?;
    let until = Instant::now() + Duration::from_secs(seconds.into());
    let asking: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(client.ask_until(until)))
        .collect();
    let mut times = Vec::new();
    for client in asking {
        times.extend(client.await??);
    }
    let used = server.cpu()? - before;

    let mut add = |measure, value| table.add(measure, Subject::Lateen, value);
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^52")]
    let admissions = times.len() as f64;
    add(Measure::InjectionCpu, milliseconds(used) / admissions);
    add(
        Measure::InjectionLatency,
        milliseconds(percentile(times, Percentile::P99)),
    );
    add(Measure::InjectionMemory, server.memory()? / 1e6);
    server.end().await
}

/// Writes what the server needs: the objects of an installation, and a certificate. The answer is
/// whom to trust.
async fn prepare(programs: &Programs, folder: &Path) -> Result<RootCertStore> {
    let lateenctl = programs.lateenctl.to_string_lossy();
    let manifest = run(&mut host(&lateenctl, ["manifest", "generate"])).await?;
    let authority = Authority::load(&Authority::create("bench")?).map_err(anyhow::Error::msg)?;
    let server = Certified::Server(vec![SERVER_NAME.to_owned()]);
    let issued = authority.issue(&server, Duration::from_secs(86_400))?;
    for (name, text) in [
        ("manifest.yaml", manifest),
        ("tls.crt", issued.certificate_chain()),
        ("tls.key", issued.key),
        ("ca.crt", authority.roots_pem()),
    ] {
        std::fs::write(folder.join(name), text).with_context(|| format!("Writing {name}"))?;
    }
    let mut roots = RootCertStore::empty();
    for root in authority.roots() {
        roots.add(root.clone())?;
    }
    Ok(roots)
}

fn command(programs: &Programs, folder: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(&programs.webhook);
    command.arg("--folder").arg(folder);
    command.arg("--manifest").arg(folder.join("manifest.yaml"));
    command
}

/// Where the server listens, once it does.
async fn address(folder: &Path) -> Result<SocketAddr> {
    within(
        Duration::from_secs(10),
        "start of the injector",
        async || {
            let text = std::fs::read_to_string(folder.join(ADDRESS_FILE))?;
            anyhow::Ok(text.parse::<SocketAddr>()?)
        },
    )
    .await
    .with_context(|| std::fs::read_to_string(folder.join("log")).unwrap_or_default())
}

/// One connection of an API server.
struct Client(SendRequest<Full<Bytes>>);

impl Client {
    async fn connect(address: SocketAddr, roots: &RootCertStore) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(SERVER_NAME)?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Asks again and again; the answer is how long each admission took.
    async fn ask_until(mut self, end: Instant) -> Result<Vec<Duration>> {
        let mut times = Vec::new();
        while Instant::now() < end {
            let start = Instant::now();
            self.admit().await?;
            times.push(start.elapsed());
        }
        Ok(times)
    }

    async fn admit(&mut self) -> Result<()> {
        let request = Request::post("/inject")
            .header("host", SERVER_NAME)
            .header("content-type", "application/json")
            .body(Full::from(REVIEW))?;
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        let answer = std::str::from_utf8(&answer)?;
        ensure!(
            status.is_success() && answer.contains(r#""patchType":"JSONPatch""#),
            "the injector answered {status}: {answer}"
        );
        Ok(())
    }
}

/// The time that so many of a hundred did not exceed; zero if there are none.
fn percentile(mut times: Vec<Duration>, wanted: Percentile) -> Duration {
    times.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position among the times"
    )]
    let position = (times.len() as f64 * wanted.of_hundred() / 100.0).ceil() as usize;
    times
        .get(position.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_taken() {
        let times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(
            percentile(times.clone(), Percentile::P99),
            Duration::from_millis(198)
        );
        assert_eq!(
            percentile(times, Percentile::P50),
            Duration::from_millis(100)
        );
        assert_eq!(percentile(Vec::new(), Percentile::P99), Duration::ZERO);
    }

    #[test]
    fn the_review_is_of_a_pod() {
        let review: serde_json::Value = serde_json::from_str(REVIEW).unwrap();
        assert_eq!(review["request"]["object"]["kind"], "Pod");
    }
}
