//! Commands and flags, named as `istioctl` names them.

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use lateen_api::Duration;
use lateen_wire::{Revision, names};

use crate::values::Sources;

/// What the program is called, unless somebody calls it `istioctl`.
const NAME: &str = "lateenctl";

/// Installs the mesh, takes it away again and looks into it.
#[derive(Debug, Parser)]
#[command(
    name = NAME,
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = EXIT_CODES
)]
pub struct Arguments {
    /// Which cluster, and where in it.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// Reads the arguments of this process, and ends it on wrong usage (exit code 2) or `--help`.
    /// Help and messages call the program what the user called it.
    #[must_use]
    pub fn from_process() -> Self {
        let mut arguments = std::env::args_os();
        let called = arguments.next().map(PathBuf::from);
        let answers_as_istioctl =
            called.is_some_and(|path| path.file_stem().is_some_and(|stem| stem == "istioctl"));
        let name = if answers_as_istioctl {
            "istioctl"
        } else {
            NAME
        };
        let command = with_examples_for(name, Self::command());
        let matches = command.name(name).bin_name(name).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The command with the program's name in its examples, and in those of its subcommands.
fn with_examples_for(name: &str, mut command: clap::Command) -> clap::Command {
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string().replace(NAME, name);
        command = command.after_help(examples);
    }
    command.mut_subcommands(|subcommand| with_examples_for(name, subcommand))
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Connection {
    /// Kubeconfig context to use in place of the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Kubeconfig file [default: $KUBECONFIG or ~/.kube/config]
    #[arg(short = 'c', long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the control plane [default: istio-system]
    #[arg(
        short = 'i',
        long = "istioNamespace",
        global = true,
        value_name = "NAMESPACE"
    )]
    pub istio_namespace: Option<String>,
    /// Namespace of resources that name none [default: that of the context]
    #[arg(short = 'n', long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

impl Connection {
    /// Namespace of the control plane.
    #[must_use]
    pub fn system_namespace(&self) -> &str {
        self.istio_namespace
            .as_deref()
            .unwrap_or(names::SYSTEM_NAMESPACE)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install the mesh, or bring an installation to this version and these values
    #[command(visible_aliases = ["apply", "upgrade"], after_help = INSTALL_EXAMPLES)]
    Install(Install),
    /// Remove the mesh
    #[command(after_help = UNINSTALL_EXAMPLES)]
    Uninstall(Uninstall),
    /// Print the versions of this tool, of the control plane and of the sidecars
    #[command(after_help = VERSION_EXAMPLES)]
    Version(Version),
    /// Add the sidecar to the workloads of a file
    #[command(after_help = KUBE_INJECT_EXAMPLES)]
    KubeInject(KubeInject),
    /// Print the objects that an installation consists of
    #[command(subcommand)]
    Manifest(Manifest),
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage.
Results go to standard output, all else to standard error; NO_COLOR takes the colours away.";

const INSTALL_EXAMPLES: &str = "Examples:
  # Install with the defaults, without asking
  lateenctl install -y

  # Log every request of every sidecar
  lateenctl install -y --set meshConfig.accessLogFile=/dev/stdout

  # Images of one's own, values from a file
  lateenctl install -y --set hub=registry.example/mesh --set tag=1.0 -f values.yaml

  # Say what would change
  lateenctl install --dry-run";

const UNINSTALL_EXAMPLES: &str = "Examples:
  # Remove the mesh; its API, its resources and its root certificate stay for a later installation
  lateenctl uninstall -y

  # Remove those too, and all revisions
  lateenctl uninstall --purge -y

  # Remove one of several revisions
  lateenctl uninstall --revision canary -y";

const VERSION_EXAMPLES: &str = "Examples:
  # All versions
  lateenctl version

  # Of this tool alone, in one line
  lateenctl version --remote=false --short

  # For programs
  lateenctl version -o json";

const KUBE_INJECT_EXAMPLES: &str = "Examples:
  # Inject with the configuration of the cluster
  lateenctl kube-inject -f deployment.yaml | kubectl apply -f -

  # Inject without a cluster
  lateenctl kube-inject -f deployment.yaml --meshConfigFile mesh.yaml \\
    --injectConfigFile config.yaml --valuesFile values.json";

const GENERATE_EXAMPLES: &str = "Examples:
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
    /// Form of the answer [default: text]
    #[arg(short = 'o', long, value_name = "FORM")]
    pub output: Option<OutputForm>,
}

/// A form that programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Flags of `kube-inject`.
#[derive(Debug, Args)]
pub struct KubeInject {
    /// Manifest to inject; - is standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    pub filename: PathBuf,
    /// Where to write the result [default: standard output]
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
    /// ConfigMap with the mesh configuration
    #[arg(long = "meshConfigMapName", value_name = "NAME", default_value = names::MESH_CONFIG_MAP)]
    pub mesh_config_map_name: String,
    /// ConfigMap with the injection configuration
    #[arg(long = "injectConfigMapName", value_name = "NAME", default_value = names::INJECTOR, hide = true)]
    pub inject_config_map_name: String,
    /// Revision of the control plane
    #[arg(short = 'r', long)]
    pub revision: Option<String>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_for_the_name_it_is_called_by() {
        fn check(command: &clap::Command) {
            let subcommands: Vec<_> = command.get_subcommands().collect();
            if subcommands.is_empty() && !command.is_hide_set() {
                let examples = command.get_after_help().map(ToString::to_string);
                let examples = examples.unwrap_or_default();
                let name = command.get_name();
                assert!(examples.starts_with("Examples:\n"), "{name}: {examples}");
                assert!(examples.contains("  other "), "{name}: {examples}");
                assert!(!examples.contains(NAME), "{name}: {examples}");
            }
            subcommands.into_iter().for_each(check);
        }
        check(&with_examples_for("other", Arguments::command()));
    }

    #[test]
    fn istioctls_flags_are_understood() {
        for line in [
            "istioctl install -y --set profile=default --set values.global.hub=h -i mesh -c kubeconfig --context c",
            "istioctl apply --skip-confirmation --filename a.yaml -f b.yaml --readiness-timeout 5m --force --revision default",
            "istioctl version --remote=false --short -o json",
            "istioctl -n default kube-inject -f - --meshConfigFile m --injectConfigFile i --valuesFile v --meshConfigMapName istio",
            "istioctl uninstall --purge -y --istioNamespace istio-system",
            "istioctl manifest generate -s hub=h",
        ] {
            Arguments::try_parse_from(line.split(' ')).unwrap();
        }
    }

    #[test]
    fn wrong_durations_are_refused_with_what_is_allowed() {
        let error =
            Arguments::try_parse_from(["lateenctl", "install", "--readiness-timeout", "soon"])
                .unwrap_err();
        assert!(error.to_string().contains("10s"), "{error}");
    }
}
