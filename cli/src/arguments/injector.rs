//! Flags of `injector`.

use clap::{Args, Subcommand};

use super::OutputFlags;

const LIST_EXAMPLES: &str = "Examples:
  # Which namespaces are injected by which revision, and by which image
  lateenctl injector list

  # One namespace, for programs
  lateenctl injector list -n shop -o json";

/// What to do with injectors.
#[derive(Debug, Subcommand)]
pub enum Injector {
    /// List namespaces with the revisions of their pods, and injectors with their namespaces
    #[command(after_help = LIST_EXAMPLES)]
    List(ListInjectors),
}

/// Flags of `injector list`.
#[derive(Debug, Args)]
pub struct ListInjectors {
    /// Form of the answer.
    #[command(flatten)]
    pub output: OutputFlags,
}
