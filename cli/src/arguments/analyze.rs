//! Flags of `analyze`.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::OutputFlags;
use crate::analyze::Suppression;
use crate::level::Level;

pub(super) const ANALYZE_EXAMPLES: &str = "Examples:
  # The namespace of the context, and all
  lateenctl analyze
  lateenctl analyze -A

  # The cluster as it would be with these files, or files alone
  lateenctl analyze web.yaml manifests/
  lateenctl analyze --use-kube=false manifests/

  # Do not tell of one pod, or of all of a namespace, that it has no sidecar
  lateenctl analyze -S \"IST0103=Pod web.shop\" -S \"IST0103=Pod *.test\"

  # Which analyzers there are
  lateenctl analyze -L

What concerns injection is analyzed: namespaces, webhook configurations, pods, Deployments and their annotations. Routing, security and telemetry (VirtualService, DestinationRule, Gateway and so on) are not analyzed yet.
Codes and levels are istioctl's. Exit codes: 79 if a message reaches --failure-threshold, 65 if a file cannot be read; with -o json or yaml both are 0, as istioctl's are.";

/// Flags of `analyze`.
#[derive(Debug, Args)]
pub struct Analyze {
    /// Files and folders to analyze besides the cluster, whose objects they replace; - is standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Analyze the cluster too
    #[arg(short = 'k', long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub use_kube: bool,
    /// Analyze all namespaces of the cluster, whatever -n says
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Leave out a message about resources, such as "IST0103=Pod *.shop"; can be repeated
    #[arg(short = 'S', long, value_name = "CODE=RESOURCE")]
    pub suppress: Vec<Suppression>,
    /// Leave out messages that are less than this
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = Level::Info, ignore_case = true)]
    pub output_threshold: Level,
    /// Fail if there is a message of this level or worse
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = Level::Error, ignore_case = true)]
    pub failure_threshold: Level,
    /// Run this analyzer only; can be repeated
    #[arg(long = "analyzer", value_name = "NAME")]
    pub analyzers: Vec<String>,
    /// List the analyzers and do nothing else
    #[arg(short = 'L', long)]
    pub list_analyzers: bool,
    /// Do not fail because of documents that cannot be read
    #[arg(long)]
    pub ignore_unknown: bool,
    /// Enter folders; that is done in any case
    #[arg(short = 'R', long, hide = true)]
    pub recursive: bool,
    /// Form of the answer.
    #[command(flatten)]
    pub output: OutputFlags,
}
