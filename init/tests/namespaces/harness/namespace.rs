//! A network namespace that has no name: it lives as long as the file that stands for it is open or
//! a process is in it, so that nothing is left behind however a test ends.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::process::{Command, Output, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace.
#[derive(Debug)]
pub(crate) struct Namespace(File);

impl Namespace {
    /// A new one, with `lo` up.
    pub(crate) fn new() -> Self {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET)
                .expect("a new network namespace: the tests need root (CAP_SYS_ADMIN)");
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        let namespace = Self(thread::scope(|scope| scope.spawn(make).join().unwrap()));
        namespace.ip("link set lo up");
        namespace
    }

    /// Works in this namespace, on a thread of its own: sockets made and programs started there
    /// belong to it.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let entered = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(entered).join())
            .unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// A path by which `ip` can find this namespace.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Runs a command line of `ip`.
    pub(crate) fn ip(&self, arguments: &str) {
        let mut command = Command::new("ip");
        self.succeed(command.args(arguments.split_whitespace()));
    }

    /// Runs a program that must succeed, and answers with what it printed.
    pub(crate) fn succeed(&self, command: &mut Command) -> String {
        let output = self.output(command);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{command:?}: {}: {errors}",
            output.status
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a program.
    pub(crate) fn output(&self, command: &mut Command) -> Output {
        let output = self.enter(|| command.stdin(Stdio::null()).output());
        output.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// What both families' tables hold, as `iptables-save` prints it, with counters.
    pub(crate) fn saved(&self, variant: &str) -> String {
        let save = |family| {
            let saved = self.succeed(Command::new(format!("{family}-{variant}-save")).arg("-c"));
            let lines = saved.lines().filter(|line| !line.starts_with('#'));
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        save("iptables") + &save("ip6tables")
    }

    /// Feeds `iptables-restore` for one family.
    pub(crate) fn restore(&self, family: &str, variant: &str, input: &str) {
        let output = self.try_restore(family, variant, &[], input);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{input}\n{errors}");
    }

    /// Feeds `iptables-restore --noflush` and lets it fail.
    pub(crate) fn try_restore(
        &self,
        family: &str,
        variant: &str,
        arguments: &[&str],
        input: &str,
    ) -> Output {
        use std::io::Write as _;
        let mut command = Command::new(format!("{family}-{variant}-restore"));
        command.arg("--noflush").args(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.enter(|| {
            let mut child = command.spawn().unwrap();
            child
                .stdin
                .take()
                .unwrap()
                .write_all(input.as_bytes())
                .unwrap();
            child.wait_with_output().unwrap()
        })
    }
}
