//! Flags of the commands that inject by hand, and explain injection.

use std::path::PathBuf;

use clap::Args;

use super::OutputFlags;

pub(super) const KUBE_INJECT_EXAMPLES: &str = "Examples:
  # Inject with the configuration of the cluster
  lateenctl kube-inject -f deployment.yaml | kubectl apply -f -

  # Inject with the configuration of a revision, or of the one that a tag leads to
  lateenctl kube-inject -f deployment.yaml --revision canary

  # Inject without a cluster, with the values of an installation
  lateenctl kube-inject -f deployment.yaml --operatorFileName operator.yaml

  # Inject without a cluster
  lateenctl kube-inject -f deployment.yaml --meshConfigFile mesh.yaml \\
    --injectConfigFile config.yaml --valuesFile values.json";

pub(super) const CHECK_INJECT_EXAMPLES: &str = "Examples:
  # Would new pods of a Deployment be injected, and why?
  lateenctl check-inject deployment/web -n shop

  # A pod that runs
  lateenctl check-inject web-5c7d8f9b6-x2x4z.shop

  # A pod of a namespace, with and without labels
  lateenctl check-inject namespace/shop
  lateenctl check-inject -n shop -l app=web,sidecar.istio.io/inject=true";

/// Flags of `check-inject`.
#[derive(Debug, Args)]
pub struct CheckInject {
    /// What to explain: a pod, or a workload or namespace by its type
    #[arg(value_name = "[TYPE/]NAME[.NAMESPACE]")]
    pub resource: Option<String>,
    /// Labels of a pod that does not exist
    #[arg(short = 'l', long, value_name = "KEY=VALUE,...")]
    pub labels: Option<String>,
    /// Form of the answer.
    #[command(flatten)]
    pub output: OutputFlags,
}

/// Flags of `kube-inject`.
#[derive(Debug, Args)]
pub struct KubeInject {
    /// Manifest to inject; - is standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    pub filename: PathBuf,
    /// File to write the result to, as YAML [default: standard output]
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Mesh configuration from a file in place of the cluster's
    #[arg(long = "meshConfigFile", value_name = "FILE")]
    pub mesh_config_file: Option<PathBuf>,
    /// Injection configuration from a file in place of the cluster's
    #[arg(long = "injectConfigFile", value_name = "FILE")]
    pub inject_config_file: Option<PathBuf>,
    /// Injection values from a file in place of the cluster's
    #[arg(long = "valuesFile", value_name = "FILE")]
    pub values_file: Option<PathBuf>,
    /// Mesh configuration and values from an IstioOperator or a values file; they win over those
    /// of other flags. The injection configuration comes from it too, unless --injectConfigFile is
    /// given, so that no cluster is asked
    #[arg(long = "operatorFileName", value_name = "FILE")]
    pub operator_file_name: Option<PathBuf>,
    /// ConfigMap with the mesh configuration [default: istio, or that of the revision]
    #[arg(long = "meshConfigMapName", value_name = "NAME")]
    pub mesh_config_map_name: Option<String>,
    /// ConfigMap with the injection configuration
    #[arg(long = "injectConfigMapName", value_name = "NAME", hide = true)]
    pub inject_config_map_name: Option<String>,
    /// Webhook configuration whose revision and namespace are meant, in place of --revision
    #[arg(
        long = "webhookConfig",
        value_name = "NAME",
        conflicts_with = "revision"
    )]
    pub webhook_config: Option<String>,
    /// Revision of the control plane, or a tag that leads to it
    #[arg(short = 'r', long)]
    pub revision: Option<String>,
    /// How `istioctl` reaches its injector.
    #[command(flatten)]
    pub discovery: DiscoveryFlags,
}

/// Flags by which `istioctl` reaches the control plane that injects for it. They are understood and
/// have no effect.
#[derive(Debug, Default, Args)]
pub struct DiscoveryFlags {
    #[arg(long = "xds-address", hide = true)]
    xds_address: Option<String>,
    #[arg(long = "xds-label", hide = true)]
    xds_label: Option<String>,
    #[arg(long = "xds-port", hide = true)]
    xds_port: Option<u16>,
    #[arg(long = "cert-dir", hide = true)]
    cert_dir: Option<PathBuf>,
    #[arg(long, hide = true)]
    timeout: Option<String>,
    #[arg(long, hide = true)]
    authority: Option<String>,
    #[arg(long, hide = true)]
    insecure: bool,
    #[arg(long, hide = true)]
    plaintext: bool,
}

impl DiscoveryFlags {
    /// One of the flags that are given.
    #[must_use]
    pub fn first_given(&self) -> Option<&'static str> {
        let given = [
            ("--xds-address", self.xds_address.is_some()),
            ("--xds-label", self.xds_label.is_some()),
            ("--xds-port", self.xds_port.is_some()),
            ("--cert-dir", self.cert_dir.is_some()),
            ("--timeout", self.timeout.is_some()),
            ("--authority", self.authority.is_some()),
            ("--insecure", self.insecure),
            ("--plaintext", self.plaintext),
        ];
        let mut given = given.into_iter().filter(|(_, given)| *given);
        given.next().map(|(flag, _)| flag)
    }
}
