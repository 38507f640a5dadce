//! Running other programs, with errors that say what was run and what it answered.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::output;

/// How much of what a failed program wrote an error of [`tell`] repeats, in bytes.
const ENDING: usize = 16 * 1024;

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

/// As [`run`], for a program whose failure is worth saying once more when all is done.
///
/// # Errors
/// As [`run`]; how its standard output ended is in the error.
pub(crate) fn tell(command: &mut Command) -> Result<()> {
    let child = command.stdout(Stdio::piped()).spawn();
    let told = || describe(command);
    let mut child = child.with_context(told)?;
    let mut ending = VecDeque::new();
    let mut output = child.stdout.take().map(BufReader::new);
    while let Some(output) = &mut output {
        let part = output.fill_buf().with_context(told)?;
        let length = part.len();
        if length == 0 {
            break;
        }
        output::part(part);
        ending.extend(part);
        ending.drain(..ending.len().saturating_sub(ENDING));
        output.consume(length);
    }
    let status = child.wait().with_context(told)?;
    if !status.success() {
        let ending = Vec::from(ending);
        let ending = String::from_utf8_lossy(&ending);
        bail!("{} ended with {status}:\n{}", told(), ending.trim_end());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_how_the_output_ended() {
        let script = format!("yes | head -c {ENDING}; echo the reason; exit 3");
        let error = tell(Command::new("sh").args(["-c", &script])).expect_err("it failed");
        let text = error.to_string();
        assert!(text.contains("exit status: 3"), "{text}");
        assert!(text.ends_with("\nthe reason"), "{text}");
        assert!(text.len() < ENDING + 200, "{} bytes", text.len());
    }

    #[test]
    fn a_program_without_a_word_may_succeed() {
        tell(&mut Command::new("true")).expect("it succeeded");
    }
}
