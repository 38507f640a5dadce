//! What a check found.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// How bad a finding is; the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Something will not work as people may think.
    Warning,
    /// The mesh cannot be installed, or does not work.
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

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) check: &'static str,
    pub(super) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn error(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Level::Error, check, message.into())
    }

    pub(super) fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Level::Warning, check, message.into())
    }

    pub(super) fn info(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Level::Info, check, message.into())
    }

    /// The finding with what to do about it.
    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }

    fn new(level: Level, check: &'static str, message: String) -> Self {
        Self {
            level,
            check,
            message,
            remedy: None,
        }
    }
}
