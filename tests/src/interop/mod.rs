//! Istio's sidecar as the peer of ours: Envoy on one side of a lab, set up as Istio sets it up, with a
//! certificate of the mesh's own authority, and our proxy on the other.

mod envoy;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use lateen_wire::ports;
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bed::Metrics;
use crate::bed::inside::{connect_as_sidecar, connect_within};
use crate::bed::secure::{CONTROL as CONTROL_NAME, read_roots, request_certificate, shake_hands};
use crate::bench::lab::{CONTROL, Lab, Mesh, SERVER};
use crate::bench::pair::Pair;
use crate::bench::process::Process;
use crate::bench::{self, Programs};
use crate::cluster::command::run;
use crate::cluster::{Cache, FORTIO, Progress};

/// Where the server speaks HTTP.
pub const HTTP_PORT: u16 = bench::lab::PORT;
/// Where an Envoy of the client's speaks HTTP/2 to that.
pub const HTTP2_PORT: u16 = 8081;
/// Where the server sends back every byte.
pub const TCP_PORT: u16 = 9000;

/// A side of the lab.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The one that calls.
    Client,
    /// The one that is called.
    Server,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// The identity of a side.
#[must_use]
pub fn identity(side: Side) -> String {
    format!("spiffe://cluster.local/ns/bench/sa/{}", side.name())
}

/// Two pods, of which one has Envoy and the other has our proxy.
pub struct Interop {
    lab: Lab,
    ours: Side,
    processes: Vec<Process>,
}

impl Interop {
    /// Starts both pods, Envoy on one `side`. Our programs are those in `folder`.
    ///
    /// # Errors
    /// When a program cannot be had or does not start.
    pub async fn with_envoy(side: Side, folder: &Path) -> Result<Self> {
        let (cache, progress) = (Cache::locate()?, Progress::begin());
        let fortio = FORTIO.get(&cache, &progress).await?.join("fortio");
        let program = bench::envoy::get(&cache, &progress).await?;
        let lab = Lab::new(&Programs::of(folder), &fortio, Some(Mesh { services: 0 })).await?;
        let mut interop = Self {
            lab,
            ours: side.other(),
            processes: Vec::new(),
        };
        match interop.start(side, &program).await {
            Ok(()) => Ok(interop),
            Err(error) => {
                let log = interop.lab.log("envoy");
                let log = std::fs::read_to_string(log).unwrap_or_default();
                interop.end().await?;
                Err(error.context(format!("Envoy says: {log}")))
            }
        }
    }

    async fn start(&mut self, side: Side, program: &Path) -> Result<()> {
        let mut echo = self.lab.command("server", &self.lab.fortio);
        echo.args(["tcp-echo", "-tcp-port", &TCP_PORT.to_string()]);
        self.processes
            .push(Process::start(echo, &self.lab.log("echo"))?);
        self.lab.listening("server", TCP_PORT).await?;
        let ours = Pair::Lateen.start(&self.lab, self.ours.name()).await?;
        self.processes.push(ours);
        let envoy = self.start_envoy(side, program).await?;
        self.processes.push(envoy);
        let port = match side {
            Side::Client => ports::OUTBOUND,
            Side::Server => ports::INBOUND,
        };
        self.lab.listening(side.name(), port).await
    }

    async fn start_envoy(&self, side: Side, program: &Path) -> Result<Process> {
        let folder = self.lab.folder.path();
        self.certify(side).await?;
        let file = folder.join("envoy.json");
        std::fs::write(&file, envoy::configuration(folder, side).to_string())?;
        let mut envoy = self.lab.proxy_command(side.name(), program);
        envoy.arg("--config-path").arg(&file);
        envoy.args(["--concurrency", "1", "--log-level", "warning"]);
        envoy.arg("--use-dynamic-base-id");
        Process::start(envoy, &self.lab.log("envoy"))
    }

    /// Gets a certificate for Envoy as Istio's agent does: with the pod's token, from its address.
    async fn certify(&self, side: Side) -> Result<()> {
        let (folder, name) = (self.lab.folder.path(), side.name());
        let key = KeyPair::generate()?;
        let csr = CertificateParams::default()
            .serialize_request(&key)?
            .pem()?;
        let control = SocketAddr::new(CONTROL.into(), ports::DISCOVERY);
        let stream = connect_as_sidecar(&self.lab.network(name), control).await?;
        let roots = read_roots(&std::fs::read_to_string(folder.join("root-cert.pem"))?)?;
        let stream = shake_hands(Box::new(stream), roots, CONTROL_NAME, &["h2"], None).await?;
        let token = format!("bench/{name}/{name}/{name}-uid");
        let chain = request_certificate(stream, &token, csr).await??;
        std::fs::write(folder.join(format!("{name}.pem")), chain.concat())?;
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem())
            .context("Writing Envoy's key")
    }

    /// What the server saw of a request by the client, as text.
    ///
    /// # Errors
    /// When it was not answered with 200.
    pub async fn request(&self, port: u16, http2: bool) -> Result<String> {
        let mut fortio = self.lab.command("client", &self.lab.fortio);
        fortio.args(["curl", "-quiet"]);
        fortio.args(http2.then_some("-h2"));
        run(fortio.arg(format!("http://{SERVER}:{port}/debug"))).await
    }

    /// What the server sends back over a connection that is no HTTP.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn echo(&self, text: &str) -> Result<String> {
        let address = SocketAddr::new(SERVER.into(), TCP_PORT);
        let mut stream = connect_within(&self.lab.network("client"), address).await?;
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        let mut echoed = String::new();
        stream.read_to_string(&mut echoed).await?;
        Ok(echoed)
    }

    /// The metrics of our proxy.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        self.lab.metrics(self.ours.name()).await
    }

    /// Ends everything.
    ///
    /// # Errors
    /// When a process cannot be ended.
    pub async fn end(self) -> Result<()> {
        for process in self.processes {
            process.end().await?;
        }
        self.lab.end().await
    }
}
