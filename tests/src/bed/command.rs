//! Commands in pods, and `kubectl` and `lateenctl` on the host.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::AttachParams;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::{Bed, Report};

/// What a command left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether it exited with 0.
    pub success: bool,
}

impl Output {
    /// Standard output of a command that must have succeeded.
    ///
    /// # Errors
    /// Both streams, when it has not.
    pub fn stdout(self) -> Result<String> {
        if self.success {
            Ok(self.stdout)
        } else {
            bail!(
                "the command failed: {} {}",
                self.stdout.trim(),
                self.stderr.trim()
            )
        }
    }
}

impl Bed {
    /// Runs a command in a container of a pod.
    ///
    /// # Errors
    /// When it could not be started or its streams broke; a failing command is no error.
    pub async fn run(&self, pod: &str, container: &str, command: &[&str]) -> Result<Output> {
        let parameters = AttachParams::default()
            .container(container)
            .stdout(true)
            .stderr(true)
            .max_stdout_buf_size(1 << 20);
        let context = || {
            format!(
                "Running {command:?} in {pod}/{container} of {}",
                self.namespace
            )
        };
        let mut process = self
            .api::<Pod>()
            .exec(pod, command.iter().copied(), &parameters)
            .await
            .with_context(context)?;
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let mut out = process.stdout().context("no standard output")?;
        let mut err = process.stderr().context("no standard error")?;
        let status = process.take_status().context("no status")?;
        let (read_out, read_err, status) = tokio::join!(
            out.read_to_string(&mut stdout),
            err.read_to_string(&mut stderr),
            status
        );
        read_out.and(read_err).with_context(context)?;
        let success = status.is_some_and(|status| status.status.as_deref() == Some("Success"));
        Ok(Output {
            stdout,
            stderr,
            success,
        })
    }

    /// Runs the sample client in a pod whose container `app` has it, and reads its report. Failed
    /// requests are no error: the report tells of them.
    ///
    /// # Errors
    /// When the client could not run or printed no report.
    pub async fn send(&self, pod: &str, arguments: &[&str]) -> Result<Report> {
        let mut command = vec!["/usr/local/bin/lateen-samples", "client"];
        command.extend_from_slice(arguments);
        let output = self.run(pod, "app", &command).await?;
        Report::parse(&output.stdout).with_context(|| {
            format!(
                "{arguments:?} in {pod} printed: {} {}",
                output.stdout, output.stderr
            )
        })
    }

    /// `kubectl` in the bed's namespace: the program of `KUBECTL`, or of the `PATH`.
    #[must_use]
    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let program = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
        let mut command = Command::new(program);
        command
            .args(["--namespace", &self.namespace])
            .args(arguments);
        command
    }

    /// Runs `kubectl` in the bed's namespace, as a user would.
    ///
    /// # Errors
    /// When it is not there or fails; the message holds what it printed.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        run(&mut self.kubectl_command(arguments))
            .await?
            .stdout()
            .with_context(|| format!("kubectl {}", arguments.join(" ")))
    }
}

/// `lateenctl` of the cluster under test: the program of `LATEENCTL`, or of the `PATH`.
#[must_use]
pub fn lateenctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("LATEENCTL").unwrap_or("lateenctl".into()));
    command.args(arguments);
    command
}

/// Runs a program of the host to its end.
///
/// # Errors
/// When it could not be started; a failing program is no error.
pub async fn run(command: &mut Command) -> Result<Output> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("Running {command:?}"))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Output {
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        success: output.status.success(),
    })
}
