//! Running other programs, with errors that say what was run and what it answered.

use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};

/// Runs `command` with its output on the terminal.
///
/// # Errors
/// When the program cannot be started or does not end with 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| describe(command))?;
    if !status.success() {
        bail!("{} ended with {status}", describe(command));
    }
    Ok(())
}

/// Runs `command` in silence and returns what it wrote to its standard output.
///
/// # Errors
/// When the program cannot be started or does not end with 0; its own words are in the error.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().with_context(|| describe(command))?;
    if !status.success() {
        bail!(
            "{} ended with {status}:\n{}{}",
            describe(command),
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr).trim_end(),
        );
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Whether `command` can be started and ends with 0. Says nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("Running `{}`", line.join(" "))
}
