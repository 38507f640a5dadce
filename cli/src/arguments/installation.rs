//! Flags of the commands that install, remove and print what is installed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lateen_api::Duration;
use lateen_wire::Revision;

use super::{Connection, OutputFlags};
use crate::values::Sources;

pub(super) const INSTALL_EXAMPLES: &str = "Examples:
  # Install with the defaults, without asking
  lateenctl install -y

  # Log every request of every sidecar
  lateenctl install -y --set meshConfig.accessLogFile=/dev/stdout

  # Images of one's own, values from a file
  lateenctl install -y --set hub=registry.example/mesh --set tag=1.0 -f values.yaml

  # Say what would change
  lateenctl install --dry-run";

pub(super) const UNINSTALL_EXAMPLES: &str = "Examples:
  # Remove the mesh; its API, its resources and its root certificate stay for a later installation
  lateenctl uninstall -y

  # Remove those too, and all revisions
  lateenctl uninstall --purge -y

  # Remove one of several revisions
  lateenctl uninstall --revision canary -y";

pub(super) const VERSION_EXAMPLES: &str = "Examples:
  # All versions
  lateenctl version

  # Of this tool alone, in one line
  lateenctl version --remote=false --short

  # For programs
  lateenctl version -o json";

pub(super) const GENERATE_EXAMPLES: &str = "Examples:
  # What an installation with the defaults applies
  lateenctl manifest generate

  # What other values change
  lateenctl manifest generate -f values.yaml | kubectl diff --server-side -f -";

/// Values of an installation.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Values")]
pub struct ValueFlags {
    /// Values file: Helm values or an IstioOperator; later files win
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub filename: Vec<PathBuf>,
    /// One value, such as meshConfig.accessLogFile=/dev/stdout; wins over files
    #[arg(short = 's', long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Revision of the control plane
    #[arg(short = 'r', long)]
    pub revision: Option<String>,
}

impl ValueFlags {
    /// Where the values come from, given where the control plane is to be.
    #[must_use]
    pub fn sources(&self, connection: &Connection) -> Sources {
        Sources {
            files: self.filename.clone(),
            assignments: self.set.clone(),
            namespace: connection.istio_namespace.clone(),
            revision: self.revision.clone(),
        }
    }
}

/// Flags of `install`.
#[derive(Debug, Args)]
pub struct Install {
    /// Do not ask
    #[arg(short = 'y', long)]
    pub skip_confirmation: bool,
    /// Change nothing, only say what would change
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait for each part to become ready
    #[arg(long, value_name = "DURATION", default_value = "300s")]
    pub readiness_timeout: Duration,
    /// Overwrite fields that somebody changed by hand since the last installation
    #[arg(long)]
    pub force: bool,
    /// Values of the installation.
    #[command(flatten)]
    pub values: ValueFlags,
}

/// Flags of `uninstall`.
#[derive(Debug, Args)]
pub struct Uninstall {
    /// Remove this revision alone [default: the only one there is]
    #[arg(short = 'r', long)]
    pub revision: Option<Revision>,
    /// Remove all revisions, the custom resource definitions, with all resources of these kinds, and the root
    /// certificate too
    #[arg(long)]
    pub purge: bool,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub skip_confirmation: bool,
}

/// Flags of `version`.
#[derive(Debug, Args)]
pub struct Version {
    /// Ask the cluster too
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub remote: bool,
    /// With --remote=false, the number and nothing else
    #[arg(short = 's', long)]
    pub short: bool,
    /// Form of the answer.
    #[command(flatten)]
    pub output: OutputFlags,
}

/// What to print.
#[derive(Debug, Subcommand)]
pub enum Manifest {
    /// Print, as YAML, what `install` with the same values would apply
    #[command(after_help = GENERATE_EXAMPLES)]
    Generate(ValueFlags),
    /// Print the custom resource definitions as the chart `base` has them
    #[command(hide = true)]
    Crds,
}
