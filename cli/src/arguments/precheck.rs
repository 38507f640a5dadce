//! Flags of `precheck`.

use clap::Args;

use super::OutputFlags;
use crate::level::Level;
use crate::precheck::IstioVersion;

pub(super) const PRECHECK_EXAMPLES: &str = "Examples:
  # Can the mesh be installed, or does it work?
  lateenctl precheck

  # What will be different for workloads that come from an Istio
  lateenctl precheck --from-version 1.21

  # With the images of an installation to come
  lateenctl precheck --set hub=registry.example/lateen --set tag=0.1.0

  # For programs, and without making a pod
  lateenctl precheck --skip-kernel -o json";

/// Flags of `precheck`.
#[derive(Debug, Args)]
pub struct Precheck {
    /// One value of the installation to come, such as hub=registry.example/lateen
    #[arg(short = 's', long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Revision of the installation to come
    #[arg(short = 'r', long)]
    pub revision: Option<String>,
    /// Tell what differs from this version of Istio, such as 1.21
    #[arg(short = 'f', long, value_name = "VERSION")]
    pub from_version: Option<IstioVersion>,
    /// Leave out what is only about installing: rights, and meshes that are there
    #[arg(long)]
    pub skip_controlplane: bool,
    /// Make no pods to try redirection on the nodes
    #[arg(long)]
    pub skip_kernel: bool,
    /// Namespace of these pods; it must let NET_ADMIN in [default: default]
    #[arg(long, value_name = "NAMESPACE")]
    pub kernel_namespace: Option<String>,
    /// Leave out findings that are less than this
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = Level::Info, ignore_case = true)]
    pub output_threshold: Level,
    /// Form of the answer.
    #[command(flatten)]
    pub output: OutputFlags,
}
