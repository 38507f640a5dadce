//! The admission server under test, on a core of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lateen_control::ca::{Authority, Subject};
use rustls::RootCertStore;
use tempfile::TempDir;
use tokio::process::Command;

use crate::bed::within;
use crate::bench::Programs;
use crate::bench::offline::{ADDRESS_FILE, SERVER_NAME};
use crate::bench::process::Process;
use crate::cluster::command::{host, run};

/// One replica.
pub(super) struct Server {
    /// Its process.
    pub(super) process: Process,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Whom to trust.
    pub(super) roots: RootCertStore,
    /// What keeps its core awake.
    _awake: Process,
    /// Its files, which are gone with it.
    _folder: TempDir,
}

impl Server {
    /// Starts one and waits until it listens. The calling thread leaves it its core.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) async fn start(programs: &Programs) -> Result<Self> {
        let folder = tempfile::tempdir().context("Making a folder for the injector")?;
        let roots = prepare(programs, folder.path()).await?;
        let mut command = Command::new(&programs.webhook);
        command.arg("--folder").arg(folder.path());
        command
            .arg("--manifest")
            .arg(folder.path().join("manifest.yaml"));
        let process = Process::start(command, &folder.path().join("log"))?;
        let core = process.pin_to_one_core()?;
        core.spare()?;
        let awake = core.keep_awake(&folder.path().join("awake"))?;
        Ok(Self {
            process,
            _awake: awake,
            address: address(folder.path()).await?,
            roots,
            _folder: folder,
        })
    }
}

/// Writes what the server needs: the objects of an installation, and a certificate. The answer is
/// whom to trust.
async fn prepare(programs: &Programs, folder: &Path) -> Result<RootCertStore> {
    let lateenctl = programs.lateenctl.to_string_lossy();
    let manifest = run(&mut host(&lateenctl, ["manifest", "generate"])).await?;
    let authority = Authority::load(&Authority::create("bench")?).map_err(anyhow::Error::msg)?;
    let server = Subject::Server(vec![SERVER_NAME.to_owned()]);
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
