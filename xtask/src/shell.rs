//! Running other programs, with errors that say what was run and what it answered.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};
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
    let mut ending = Vec::new();
    if let Some(output) = child.stdout.take() {
        ending = pass_on(BufReader::new(output), output::part).with_context(told)?;
    }
    let status = child.wait().with_context(told)?;
    if !status.success() {
        let ending = String::from_utf8_lossy(&ending);
        bail!("{} ended with {status}:\n{}", told(), ending.trim_end());
    }
    Ok(())
}

/// Passes on what comes, as soon as it comes; answers with how it ended.
fn pass_on(mut source: impl BufRead, to: impl Fn(&[u8])) -> io::Result<Vec<u8>> {
    let mut ending = VecDeque::new();
    loop {
        let part = source.fill_buf()?;
        let length = part.len();
        if length == 0 {
            return Ok(ending.into());
        }
        to(part);
        ending.extend(part);
        ending.drain(..ending.len().saturating_sub(ENDING));
        source.consume(length);
    }
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
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_failure_tells_what_was_said_last() {
        let error = tell(Command::new("sh").args(["-c", "echo; echo the reason; exit 3"]));
        let text = error.expect_err("it failed").to_string();
        assert!(text.contains("exit status: 3"), "{text}");
        assert!(text.ends_with("\nthe reason"), "{text}");
    }

    #[test]
    fn a_program_without_a_word_may_succeed() {
        tell(&mut Command::new("true")).expect("it succeeded");
    }

    #[test]
    fn all_is_passed_on_and_the_end_of_it_kept() {
        let said: Vec<u8> = (0..=u8::MAX).cycle().take(ENDING * 3 + 7).collect();
        let passed = RefCell::new(Vec::<u8>::new());
        let source = BufReader::with_capacity(100, said.as_slice());
        let ending = pass_on(source, |part| passed.borrow_mut().extend(part));
        assert_eq!(
            ending.expect("bytes can be read"),
            said[said.len() - ENDING..]
        );
        assert_eq!(passed.into_inner(), said);
    }
}
