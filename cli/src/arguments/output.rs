//! `-o`: the form of an answer.

use clap::{Args, ValueEnum};

/// Flags of commands that answer.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct OutputFlags {
    /// Form of the answer: text, json or yaml
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORM",
        default_value = "text",
        hide_possible_values = true
    )]
    pub form: OutputForm,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// For people. `istioctl` calls it `table` or `log`, each where that is the default.
    #[default]
    #[value(aliases = ["table", "log"])]
    Text,
    /// For programs.
    Json,
    /// For programs.
    Yaml,
}
