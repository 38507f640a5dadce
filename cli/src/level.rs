//! How bad it is what `precheck` and `analyze` tell.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// How bad something is; the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Something will not work as people may think.
    Warning,
    /// Something cannot work.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Info => "Info",
            Self::Warning => "Warning",
            Self::Error => "Error",
        })
    }
}
