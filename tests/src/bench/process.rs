//! What a running process has used, as the kernel counts it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// Kernel ticks per second of `/proc/PID/stat` (`USER_HZ`, fixed on Linux).
const TICKS: f64 = 100.0;

/// A process of the lab; it ends with this value.
pub(crate) struct Process {
    child: Child,
    pid: u32,
}

/// A core that a process has for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Core(usize);

impl Core {
    /// Keeps the calling thread off this core, if there is another.
    ///
    /// # Errors
    /// When the kernel does not let it.
    pub(crate) fn spare(self) -> Result<()> {
        let this = Pid::from_raw(0);
        let mut others = sched_getaffinity(this).context("Asking where a thread may run")?;
        others.unset(self.0)?;
        if cores(&others).next().is_some() {
            sched_setaffinity(this, &others).context("Keeping a thread off a core")?;
        }
        Ok(())
    }

    /// Gives this core work that yields to everybody else's, for as long as the value lives. A core
    /// that sleeps between two requests, a virtual one above all, loses its caches meanwhile, and
    /// what it takes to wake up is charged to whoever is woken.
    ///
    /// # Errors
    /// When `chrt` (util-linux) cannot be started.
    pub(crate) fn keep_awake(self, log: &Path) -> Result<Process> {
        let mut command = Command::new("chrt");
        command.args(["--idle", "0", "sh", "-c", "while :; do :; done"]);
        let process = Process::start(command, log)?;
        self.hold(process.id())?;
        Ok(process)
    }

    fn hold(self, process: Pid) -> Result<()> {
        let mut one = CpuSet::new();
        one.set(self.0)?;
        sched_setaffinity(process, &one).context("Keeping a process on one core")
    }
}

fn cores(set: &CpuSet) -> impl Iterator<Item = usize> {
    (0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false))
}

impl Process {
    /// Starts `command` with its output in a file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = fs::File::create(log).with_context(|| format!("Writing {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("Starting {:?}", command.as_std().get_program()))?;
        let pid = child.id().context("the process has ended at once")?;
        Ok(Self { child, pid })
    }

    /// Keeps the process on the first of the cores that it may run on. To be called before it has
    /// started threads.
    ///
    /// # Errors
    /// When the process has ended.
    pub(crate) fn pin_to_one_core(&self) -> Result<Core> {
        let allowed = sched_getaffinity(self.id()).context("Asking where a process may run")?;
        let core = Core(cores(&allowed).next().context("no core")?);
        core.hold(self.id())?;
        Ok(core)
    }

    const fn id(&self) -> Pid {
        Pid::from_raw(self.pid.cast_signed())
    }

    /// CPU time used so far, user and system.
    ///
    /// # Errors
    /// When the process has ended.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name in brackets may hold spaces; fields 14 and 15 are counted from behind it.
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        let ticks: f64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        Ok(Duration::from_secs_f64(ticks / TICKS))
    }

    /// Resident memory now, in bytes.
    ///
    /// # Errors
    /// When the process has ended.
    pub(crate) fn memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kilobytes.context("no VmRSS")? * 1024.0)
    }

    /// Ends the process and waits for it.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.child
            .kill()
            .await
            .context("Ending a process of the lab")
    }
}
