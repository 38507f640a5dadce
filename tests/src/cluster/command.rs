//! Running other programs to their end, with errors that say what was run and what it answered.

use std::process::{Output, Stdio};

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// How much of a failed program's output an error repeats.
const QUOTED_LINES: usize = 15;

/// A program of the host with its arguments.
pub(crate) fn host<S: AsRef<std::ffi::OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Runs `command` to its end and returns what it wrote to its standard output.
///
/// # Errors
/// When it cannot be started or fails; the error repeats the last lines it wrote.
pub(crate) async fn run(command: &mut Command) -> Result<String> {
    output_of(command.stdin(Stdio::null())).await
}

/// Like [`run`], for a program that reads `input` from its standard input.
///
/// # Errors
/// As for [`run`].
pub(crate) async fn run_with_input(command: &mut Command, input: &str) -> Result<String> {
    let shown = show(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("Starting `{shown}`"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that stops reading tells why by its status and its output.
        stdin.write_all(input.as_bytes()).await.ok();
    }
    let output = child
        .wait_with_output()
        .await
        .with_context(|| format!("Waiting for `{shown}`"))?;
    stdout_of(&shown, &output)
}

/// Like [`run`], for a program that reads a file as its standard input.
///
/// # Errors
/// As for [`run`].
pub(crate) async fn run_with_stdin(command: &mut Command, input: std::fs::File) -> Result<String> {
    output_of(command.stdin(input)).await
}

async fn output_of(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command
        .output()
        .await
        .with_context(|| format!("Starting `{shown}`"))?;
    stdout_of(&shown, &output)
}

fn stdout_of(shown: &str, output: &Output) -> Result<String> {
    if !output.status.success() {
        let said = [&*output.stdout, &*output.stderr]
            .map(String::from_utf8_lossy)
            .concat();
        let lines: Vec<&str> = said.lines().collect();
        let last = lines.iter().skip(lines.len().saturating_sub(QUOTED_LINES));
        let last = last.copied().collect::<Vec<_>>().join("\n");
        bail!("`{shown}` failed ({}):\n{last}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn show(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
