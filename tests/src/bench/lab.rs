//! Two pods and control: three network namespaces on one bridge, with redirection in the pods or
//! without.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lateen_wire::ports::METRICS;
use tempfile::TempDir;
use tokio::process::Command;

use super::Programs;
use super::offline::APPLICATIONS;
use super::process::Process;
use crate::bed::{Metrics, within};
use crate::cluster::command::{host, run};

/// The client's pod, the server's pod, and control.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 2);
pub(crate) const CONTROL: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 3);
/// The name that control's certificate is for.
pub(crate) const CONTROL_NAME: &str = "istiod.istio-system.svc";
/// Where the server listens.
pub(crate) const PORT: u16 = 8080;
/// How long a part of the lab may take to start.
const START: Duration = Duration::from_secs(60);

/// The namespaces and what runs in them, but for the proxies.
pub(crate) struct Lab {
    pub(crate) programs: Programs,
    pub(crate) fortio: PathBuf,
    pub(crate) folder: TempDir,
    /// Further variables of our proxies.
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    prefix: String,
    mesh: Option<Mesh>,
    server: Option<Process>,
    control: Option<Process>,
}

/// What the pods are part of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mesh {
    /// Services that control knows beside those that are called.
    pub(crate) services: usize,
}

impl Lab {
    /// Makes the namespaces and starts the server; with a mesh, also redirection and control.
    ///
    /// # Errors
    /// When the kernel refuses (root is needed), or a part does not start.
    pub(crate) async fn new(
        programs: &Programs,
        fortio: &Path,
        mesh: Option<Mesh>,
    ) -> Result<Self> {
        let folder = tempfile::tempdir().context("Making a folder for the lab")?;
        let mut lab = Self {
            programs: programs.clone(),
            fortio: fortio.to_owned(),
            folder,
            environment: Vec::new(),
            prefix: format!("bench{:04x}", fastrand::u16(..)),
            mesh,
            server: None,
            control: None,
        };
        if let Err(error) = lab.set_up().await {
            lab.take_down().await;
            return Err(error);
        }
        Ok(lab)
    }

    async fn set_up(&mut self) -> Result<()> {
        for (name, address) in [("control", CONTROL), ("client", CLIENT), ("server", SERVER)] {
            self.namespace(name, address).await?;
        }
        for other in APPLICATIONS.iter().filter(|other| other.pod != SERVER) {
            self.address("server", &format!("{}/32", other.pod), "eth0")
                .await?;
        }
        if let Some(mesh) = self.mesh {
            self.redirect("client", &[]).await?;
            self.redirect("server", &[]).await?;
            self.control = Some(self.start_control(mesh.services).await?);
        }
        let mut fortio = self.command("server", &self.fortio.clone());
        fortio.args([
            "server",
            "-http-port",
            "8080",
            "-tcp-port",
            "disabled",
            "-udp-port",
            "disabled",
        ]);
        fortio.args(["-grpc-port", "disabled", "-redirect-port", "disabled"]);
        self.server = Some(Process::start(fortio, &self.log("fortio"))?);
        self.listening("server", PORT).await
    }

    /// A namespace with an address on the bridge, which is in control's.
    async fn namespace(&self, name: &str, address: Ipv4Addr) -> Result<()> {
        let (namespace, bridge) = (self.name(name), self.name("control"));
        let names = hosts(&namespace);
        std::fs::create_dir_all(&names).context("Making a folder for the namespace's names")?;
        std::fs::write(names.join("hosts"), self.hosts())?;
        ip(&["netns", "add", &namespace]).await?;
        ip(&["-n", &namespace, "link", "set", "lo", "up"]).await?;
        if namespace == bridge {
            ip(&["-n", &bridge, "link", "add", "br0", "type", "bridge"]).await?;
            ip(&["-n", &bridge, "link", "set", "br0", "up"]).await?;
            return self.address(name, &format!("{address}/24"), "br0").await;
        }
        let veth = [
            "-n", &bridge, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns",
        ];
        ip(&[&veth[..], &[&namespace]].concat()).await?;
        ip(&["-n", &bridge, "link", "set", name, "master", "br0", "up"]).await?;
        self.address(name, &format!("{address}/24"), "eth0").await?;
        ip(&["-n", &namespace, "link", "set", "eth0", "up"]).await?;
        ip(&[
            "-n",
            &namespace,
            "route",
            "add",
            "default",
            "via",
            &CONTROL.to_string(),
        ])
        .await
    }

    /// Gives an interface one more address.
    pub(crate) async fn address(&self, name: &str, address: &str, interface: &str) -> Result<()> {
        let namespace = self.name(name);
        let add = ["-n", &namespace, "address", "add", address, "dev"];
        // An IPv6 address could not be used before it is known that nobody else has it.
        ip(&[&add[..], &[interface, "nodad"]].concat()).await
    }

    /// Gives the programs of a namespace a file of their own in place of one of `/etc`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn replace_file(&self, name: &str, file: &str, text: &str) -> Result<()> {
        let path = hosts(&self.name(name)).join(file);
        std::fs::write(&path, text).with_context(|| format!("Writing {}", path.display()))
    }

    /// The names that programs in the namespaces know: in a mesh those of Services, otherwise those
    /// of the pods themselves.
    fn hosts(&self) -> String {
        let applications = APPLICATIONS.iter().map(|application| {
            let address = match self.mesh {
                Some(_) => application.service,
                None => application.pod,
            };
            format!("{address} {}\n", application.name)
        });
        applications.collect::<String>() + &format!("{CONTROL} {CONTROL_NAME}\n")
    }

    /// The rules that the injector asks for, and what more flags ask for.
    ///
    /// # Errors
    /// What `lateen-init` says.
    pub(crate) async fn redirect(&self, name: &str, more: &[&str]) -> Result<()> {
        let mut init = self.command(name, &self.programs.init);
        init.args([
            "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "",
        ]);
        init.args(["-b", "*", "-d", "15090,15021,15020"]).args(more);
        run(&mut init)
            .await
            .map(drop)
            .context("Programming redirection")
    }

    async fn start_control(&self, services: usize) -> Result<Process> {
        let mut control = self.command("control", &self.programs.control);
        control
            .arg("--services")
            .arg(services.to_string())
            .arg("--folder")
            .arg(self.folder.path());
        let control = Process::start(control, &self.log("control"))?;
        self.listening("control", lateen_wire::ports::DISCOVERY)
            .await?;
        Ok(control)
    }

    /// Control's resident memory in bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn control_memory(&self) -> Result<f64> {
        self.control
            .as_ref()
            .context("control is not running")?
            .memory()
    }

    /// A namespace of the lab, for those who enter it themselves.
    pub(crate) fn network(&self, name: &str) -> PathBuf {
        Path::new("/run/netns").join(self.name(name))
    }

    /// A command in a namespace of the lab.
    pub(crate) fn command(&self, name: &str, program: &Path) -> Command {
        let mut command = host("ip", ["netns", "exec", &self.name(name)]);
        command.arg(program);
        command
    }

    /// As [`Lab::command`], as the user whose traffic is not redirected.
    pub(crate) fn proxy_command(&self, name: &str, program: &Path) -> Command {
        let mut command = self.command(name, Path::new("setpriv"));
        command
            .args(["--reuid", "1337", "--regid", "1337", "--clear-groups"])
            .arg(program);
        command
    }

    /// The metrics of the proxy in a namespace.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn metrics(&self, name: &str) -> Result<Metrics> {
        let url = format!("http://127.0.0.1:{METRICS}/stats/prometheus");
        let mut fortio = self.command(name, &self.fortio);
        run(fortio.args(["curl", "-quiet", &url]))
            .await
            .map(Metrics::of_text)
    }

    /// Waits until somebody listens on a TCP port of a namespace.
    ///
    /// # Errors
    /// When nobody does in time.
    pub(crate) async fn listening(&self, name: &str, port: u16) -> Result<()> {
        within(START, &format!("port {port} in {name}"), async || {
            let filter = format!("sport = :{port}");
            let listed = run(self.command(name, Path::new("ss")).args(["-Hltn", &filter])).await?;
            ensure!(!listed.trim().is_empty(), "nobody listens");
            Ok(())
        })
        .await
        .with_context(|| format!("The logs are in {}", self.folder.path().display()))
    }

    /// The file for a part's output.
    pub(crate) fn log(&self, part: &str) -> PathBuf {
        self.folder.path().join(format!("{part}.log"))
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Ends everything and removes the namespaces.
    ///
    /// # Errors
    /// When a process cannot be ended.
    pub(crate) async fn end(mut self) -> Result<()> {
        for process in [self.server.take(), self.control.take()]
            .into_iter()
            .flatten()
        {
            process.end().await?;
        }
        self.take_down().await;
        Ok(())
    }

    async fn take_down(&mut self) {
        drop((self.server.take(), self.control.take()));
        for name in ["client", "server", "control"] {
            // Half of a lab has only some of them.
            ip(&["netns", "delete", &self.name(name)]).await.ok();
            std::fs::remove_dir_all(hosts(&self.name(name))).ok();
        }
    }
}

/// Where `ip netns exec` finds the files that stand in for those of `/etc` (ip-netns(8)).
fn hosts(namespace: &str) -> PathBuf {
    Path::new("/etc/netns").join(namespace)
}

async fn ip(arguments: &[&str]) -> Result<()> {
    run(&mut host("ip", arguments)).await.map(drop)
}
