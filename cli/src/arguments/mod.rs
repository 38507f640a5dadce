//! Commands and flags, named as `istioctl` names them.

mod analyze;
mod injection;
mod injector;
mod installation;
mod output;
mod precheck;
mod tag;

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use lateen_wire::names;

pub use analyze::Analyze;
pub use injection::{CheckInject, DiscoveryFlags, KubeInject};
pub use injector::{Injector, ListInjectors};
pub use installation::{Install, Manifest, Uninstall, ValueFlags, Version};
pub use output::{OutputFlags, OutputForm};
pub use precheck::Precheck;
pub use tag::{ListTags, RemoveTag, SetTag, Tag};

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
    #[command(visible_aliases = ["apply", "upgrade"], after_help = installation::INSTALL_EXAMPLES)]
    Install(Install),
    /// Remove the mesh
    #[command(after_help = installation::UNINSTALL_EXAMPLES)]
    Uninstall(Uninstall),
    /// Print the versions of this tool, of the control plane and of the sidecars
    #[command(after_help = installation::VERSION_EXAMPLES)]
    Version(Version),
    /// Add the sidecar to the workloads of a file
    #[command(after_help = injection::KUBE_INJECT_EXAMPLES)]
    KubeInject(Box<KubeInject>),
    /// Explain who would inject a pod, and why
    #[command(after_help = injection::CHECK_INJECT_EXAMPLES)]
    CheckInject(CheckInject),
    /// Look whether the mesh can be installed into a cluster, or works in it
    #[command(after_help = precheck::PRECHECK_EXAMPLES)]
    Precheck(Precheck),
    /// Tell what is suspicious about the objects of a cluster or of files
    #[command(after_help = analyze::ANALYZE_EXAMPLES)]
    Analyze(Analyze),
    /// Sidecar injectors, and whom they inject
    #[command(subcommand)]
    Injector(Injector),
    /// Second names of revisions, by which namespaces follow them
    #[command(subcommand)]
    Tag(Tag),
    /// Print the objects that an installation consists of
    #[command(subcommand)]
    Manifest(Manifest),
    /// Commands that istioctl has here
    #[command(subcommand, visible_alias = "x")]
    Experimental(Experimental),
}

/// Commands that `istioctl` calls experimental; they exist without this prefix too.
#[derive(Debug, Subcommand)]
pub enum Experimental {
    /// Explain who would inject a pod, and why
    #[command(after_help = injection::CHECK_INJECT_EXAMPLES)]
    CheckInject(CheckInject),
    /// Look whether the mesh can be installed into a cluster, or works in it
    #[command(after_help = precheck::PRECHECK_EXAMPLES)]
    Precheck(Precheck),
    /// Sidecar injectors, and whom they inject
    #[command(subcommand)]
    Injector(Injector),
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage.
Results go to standard output, all else to standard error; NO_COLOR takes the colours away.";

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
            "istioctl kube-inject -f a -o b --webhookConfig istio-sidecar-injector --operatorFileName o --injectConfigMapName i",
            "istioctl kube-inject -f a --revision canary --xds-address x:1 --xds-label a=b --xds-port 1 --cert-dir c --timeout 1s --authority d --insecure --plaintext",
            "istioctl uninstall --purge -y --istioNamespace istio-system",
            "istioctl manifest generate -s hub=h",
            "istioctl uninstall --revision canary -y",
            "istioctl check-inject deployment/web -n shop",
            "istioctl x check-inject web-1.shop",
            "istioctl experimental check-inject -n shop -l app=web -o json",
            "istioctl precheck",
            "istioctl x precheck --skip-controlplane --output-threshold Warning -o json",
            "istioctl experimental precheck --revision canary -n default",
            "istioctl x precheck --from-version 1.10",
            "istioctl precheck -f 1.21.3 -o json",
            "istioctl x injector list",
            "istioctl analyze -A --failure-threshold Warning --output-threshold warning -o json",
            "istioctl analyze --use-kube=false --recursive -S IST0103=Pod/*.shop a.yaml - folder",
            "istioctl analyze -L",
            "istioctl analyze -k --analyzer webhook.Analyzer --ignore-unknown -n shop -o log",
            "istioctl experimental injector list -n shop -o json",
            "istioctl tag set prod --revision 1-2-0 --overwrite --auto-inject-namespaces --webhook-name x -y",
            "istioctl tag generate prod -r 1-2-0",
            "istioctl tag list -o json",
            "istioctl tag list --output table",
            "istioctl precheck -o log",
            "istioctl tag show -o yaml",
            "istioctl tag remove prod --skip-confirmation",
            "istioctl tag delete prod -y",
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
