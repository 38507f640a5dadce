//! A node: namespaces of network, mounts, processes and host name round one first process, with the
//! machine's own files inside. Kubelet and containerd find their usual paths there, and when the
//! first process is killed the kernel ends every other, pods included, and drops the mounts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;

use super::cgroup;
use super::command::{host, run};
use super::network::namespace_file;
use super::plan::{Address, Plan, Range};
use super::process::{NamespaceId, Process};
use super::wait::until;

/// How long the kernel may take to end a node's processes.
const END_OF_PROCESSES: Duration = Duration::from_secs(30);

/// Joins the control groups named before `--` and becomes the program after it.
const JOIN_GROUPS: &str = r#"while [ "$1" != -- ]; do echo 0 >"$1"; shift; done; shift; exec "$@""#;

/// A node of a cluster, running or not.
#[derive(Clone, Debug)]
pub struct Node {
    name: String,
    number: u8,
    plan: Plan,
    folder: PathBuf,
}

impl Node {
    pub(crate) fn new(cluster: &str, number: u8, plan: Plan, cluster_folder: &Path) -> Self {
        let folder = cluster_folder.join(format!("node{number}"));
        Self {
            name: format!("{cluster}-node{number}"),
            number,
            plan,
            folder,
        }
    }

    /// Its name in Kubernetes, which is also that of its network namespace in `/run/netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its addresses.
    pub fn address(&self) -> Address {
        self.plan.node(self.number)
    }

    /// The ranges of its pods.
    pub fn pods(&self) -> Range {
        self.plan.pods_of_node(self.number)
    }

    /// Its zone; every node has one of its own.
    pub fn zone(&self) -> String {
        format!("local-{}", self.number)
    }

    /// The folder of its log files, which it sees as `/var/log`.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// A command that runs on the node, as root, in all of its namespaces.
    ///
    /// # Errors
    /// When the node does not run.
    pub fn command(&self, program: &str) -> Result<Command> {
        let first = self
            .first_process()
            .with_context(|| format!("{} does not run", self.name))?;
        let mut command = enter(first.pid, &["--mount", "--uts", "--net", "--pid"]);
        command.arg(program);
        Ok(command)
    }

    /// Whether it is the node of the API server.
    pub(crate) fn is_first(&self) -> bool {
        self.number == 1
    }

    /// The name of its port on the bridge.
    pub(crate) fn port(&self) -> String {
        format!("node{}", self.number)
    }

    /// A file of its configuration.
    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.folder.join("etc").join(name)
    }

    /// The first process, if the node runs.
    pub(crate) fn first_process(&self) -> Option<Process> {
        first_process(&self.name)
    }

    /// The processes that were started on it by [`Self::start_program`], none if it does not run.
    pub(crate) fn programs(&self) -> Vec<Process> {
        let Some(first) = self.first_process() else {
            return Vec::new();
        };
        let mut all = Process::all();
        all.retain(|process| process.parent == first.pid);
        all
    }

    /// Starts the first process unless it runs.
    ///
    /// # Errors
    /// When the node's namespaces, mounts or control groups cannot be made.
    pub(crate) async fn start(&self, first_program: &Path) -> Result<()> {
        if self.first_process().is_some() {
            return Ok(());
        }
        for folder in ["etc", "lib", "log", "log/pods", "log/containers"] {
            let folder = self.folder.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("Making {}", folder.display()))?;
        }
        let mut start = self.in_groups()?;
        start
            .arg("nsenter")
            .arg(format!("--net={}", namespace_file(&self.name).display()))
            .args(["unshare", "--mount", "--uts", "--propagation", "private"])
            .args(["sh", "-c", include_str!("node.sh"), "sh", &self.name])
            .args([&self.folder, first_program]);
        run(&mut start)
            .await
            .with_context(|| format!("Making the node {}", self.name))?;
        // Only a process inside can mount what shows the processes inside.
        run(self.command("mount")?.args(["-t", "proc", "proc", "/proc"]))
            .await
            .map(drop)
    }

    /// Starts a program that stays when this process ends, and whose output goes to a log file.
    ///
    /// # Errors
    /// When the node does not run or the program cannot be started.
    pub(crate) async fn start_program(&self, program: &Detached) -> Result<()> {
        let first = self
            .first_process()
            .with_context(|| format!("{} does not run", self.name))?;
        let log = self.logs().join(format!("{}.log", program.name));
        let log = fs::File::options().create(true).append(true).open(&log)?;
        let namespaces: &[&str] = match program.network {
            NetworkOf::Host => &["--mount", "--uts", "--pid"],
            NetworkOf::Node => &["--mount", "--uts", "--net", "--pid"],
        };
        let entered = enter(first.pid, namespaces);
        let mut start = self.in_groups()?;
        let status = start
            .arg(entered.as_std().get_program())
            .args(entered.as_std().get_args())
            .args(["setsid", "--fork"])
            .arg(&program.path)
            .args(&program.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status();
        let status = status
            .await
            .with_context(|| format!("Starting {}", program.name))?;
        ensure!(
            status.success(),
            "Starting {} on {} failed ({status})",
            program.name,
            self.name
        );
        Ok(())
    }

    /// A shell that joins the node's control groups and becomes the program that is still to be
    /// added.
    fn in_groups(&self) -> Result<Command> {
        let groups = cgroup::make(&self.name)?;
        let mut command = host("sh", ["-c", JOIN_GROUPS, "sh"]);
        command.args(groups).arg("--");
        Ok(command)
    }
}

/// A program that outlives the process that starts it.
#[derive(Debug)]
pub(crate) struct Detached {
    /// The name of its log file.
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) network: NetworkOf,
}

/// Whose network a program uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NetworkOf {
    Host,
    Node,
}

fn enter(first: Pid, namespaces: &[&str]) -> Command {
    let mut command = host("nsenter", ["--target", &first.to_string()]);
    command.args(namespaces).arg("--");
    command
}

/// Ends every process on the node of this name, and with the last one its mounts.
///
/// # Errors
/// When processes don't end in time or control groups cannot be removed.
pub(crate) async fn stop(name: &str) -> Result<()> {
    if let Some(first) = first_process(name) {
        kill(first.pid, Signal::SIGKILL)
            .with_context(|| format!("Ending the first process of {name}"))?;
    }
    until(
        END_OF_PROCESSES,
        &format!("the end of {name}"),
        async || cgroup::remove(name).map(|()| first_process(name).is_none()),
    )
    .await
}

fn first_process(node: &str) -> Option<Process> {
    let network = NamespaceId::of(&namespace_file(node))?;
    Process::all()
        .into_iter()
        .find(|process| process.namespace("net") == Some(network) && process.is_first_below())
}
