//! All that people see: progress, warnings, questions. Results that programs read go to standard
//! output, everything else to standard error; colours only where a terminal shows them.

use std::fmt;
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde::Serialize;

use crate::arguments::{OutputFlags, OutputForm};

/// What standard error is able to show.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    colour: bool,
}

/// Colours by their ANSI codes.
#[derive(Clone, Copy)]
enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
}

impl Console {
    /// The console of this process. `NO_COLOR` takes the colours away.
    #[must_use]
    pub fn for_terminal() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: io::stderr().is_terminal() && !plain,
        }
    }

    /// A step is done.
    pub fn done(&self, what: &str, elapsed: Duration) {
        let mark = self.paint(Colour::Green, "✔");
        say(format_args!(
            "{mark} {what} ({:.1} s)",
            elapsed.as_secs_f64()
        ));
    }

    /// A step is not done yet, and why.
    pub fn waiting(&self, why: &str) {
        let mark = self.paint(Colour::Yellow, "…");
        say(format_args!("{mark} {}", indented(why)));
    }

    /// Something is told in passing.
    pub fn note(&self, what: &str) {
        say(format_args!("  {what}"));
    }

    /// Something may not be as the user thinks.
    pub fn warning(&self, what: &str) {
        let mark = self.paint(Colour::Yellow, "!");
        say(format_args!("{mark} {what}"));
    }

    /// The command failed.
    pub fn error(&self, error: &anyhow::Error) {
        let mark = self.paint(Colour::Red, "✘");
        say(format_args!("{mark} {}", indented(&chain(error))));
    }

    /// The result of a command.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn result(&self, text: &str) -> Result<()> {
        let mut output = io::stdout().lock();
        output.write_all(text.as_bytes())?;
        Ok(output.flush()?)
    }

    /// The answer of a command in the form that is asked for, given how people read it.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn answer(
        &self,
        flags: OutputFlags,
        answer: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<()> {
        self.result(&match flags.form {
            OutputForm::Text => text(),
            OutputForm::Json => serde_json::to_string_pretty(answer)? + "\n",
            OutputForm::Yaml => serde_saphyr::to_string(answer)?,
        })
    }

    /// Asks a question that is answered by yes or no.
    ///
    /// # Errors
    /// The answer is no, or there is nobody to ask.
    pub fn confirm(&self, question: &str) -> Result<()> {
        ensure!(
            io::stdin().is_terminal(),
            "{question} There is no terminal to ask at; confirm with -y."
        );
        let mut output = io::stderr().lock();
        write!(output, "{question} Proceed? (y/N) ")?;
        output.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => bail!("not confirmed, nothing was changed"),
        }
    }

    fn paint(self, colour: Colour, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{}m{text}\u{1b}[0m", colour as u8)
        } else {
            text.to_owned()
        }
    }
}

/// An error and its causes in one line, a cause that its effect quotes already only once. What the API
/// server refuses is told in its own words.
#[must_use]
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let refusal = refusal(cause);
        let told = refusal.map_or_else(|| cause.to_string(), str::to_owned);
        if text.is_empty() {
            text = told;
        } else if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        if refusal.is_some() {
            break;
        }
    }
    text
}

/// The API server's words, if it is its refusal.
fn refusal<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a str> {
    match cause.downcast_ref() {
        Some(kube::Error::Api(status)) if !status.message.is_empty() => Some(&status.message),
        _ => None,
    }
}

/// Text whose further lines stand below the first.
fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}

/// Writes a line to standard error. Nobody is left to tell if that fails.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use kube::core::Status;

    use super::*;

    #[test]
    fn causes_are_told_once() {
        let error = anyhow!("the disk is full")
            .context("cannot write a: the disk is full")
            .context("cannot save");
        assert_eq!(
            chain(&error),
            "cannot save: cannot write a: the disk is full"
        );
    }

    #[test]
    fn the_api_server_is_quoted_and_nothing_else() {
        let status = Status::failure("nodes is forbidden", "Forbidden").with_code(403);
        let error = anyhow::Error::new(kube::Error::Api(status.boxed()));
        assert_eq!(chain(&error), "nodes is forbidden");
        let error = error.context("cannot list nodes");
        assert_eq!(chain(&error), "cannot list nodes: nodes is forbidden");
    }

    #[test]
    fn colours_are_only_for_terminals() {
        assert_eq!(Console { colour: false }.paint(Colour::Green, "x"), "x");
        assert_eq!(
            Console { colour: true }.paint(Colour::Green, "x"),
            "\u{1b}[32mx\u{1b}[0m"
        );
    }
}
