//! What this program says: one line per event on standard error, answers on standard output.

use std::io::{self, Write};

use crate::Error;

/// Says what was done.
pub(crate) fn info(message: &str) {
    line("info", message);
}

/// Says what is not as it should be, though nothing failed.
pub(crate) fn warn(message: &str) {
    line("warn", message);
}

/// Says why the run failed: one line per problem.
pub(crate) fn error(error: &Error) {
    for problem in error.to_string().lines() {
        line("error", problem);
    }
}

/// Writes what was asked for to standard output.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn answer(text: &str) -> Result<(), Error> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|cause| Error::Write {
            path: "/dev/stdout".into(),
            cause,
        })
}

/// Standard error may be closed; then there is nobody to tell.
fn line(level: &str, message: &str) {
    let _ = writeln!(io::stderr(), "{level}: {message}");
}
