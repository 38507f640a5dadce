//! `cargo xtask test`: every class of tests, and a table of what each stage took.

mod cluster;
mod fuzz;
mod report;
mod unit;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use lateen_tests::cluster::{Name, prepare_for_redirection};

use self::report::Report;
use crate::blocking::wait_for;
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask test` can be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Which tests to run
    #[arg(value_enum, default_value_t = Class::All)]
    class: Class,
    /// Name of the cluster that the cluster tests make for themselves
    #[arg(long, default_value = "lateen-test")]
    name: Name,
    /// Run the cluster tests in this cluster instead of one of their own
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Push the images to this registry, which the cluster of `--kubeconfig` can read
    #[arg(long, value_name = "HUB", requires = "kubeconfig")]
    push: Option<String>,
}

/// The classes of tests, by what they need.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Class {
    /// Nothing but the toolchain: unit tests, lints, documentation, dependencies
    Unit,
    /// Sockets: whole proxies in process with peers that misbehave
    Proxy,
    /// Network namespaces: redirection by the kernel's netfilter, DNS capture, and Istio's sidecar as
    /// the peer
    Namespaces,
    /// A nightly toolchain: 80 seconds of fuzzing the parsers of what anybody can send
    Fuzz,
    /// A Kubernetes cluster of two nodes
    Cluster,
    /// All of them
    All,
}

impl Class {
    fn includes(self, other: Self) -> bool {
        self == other || self == Self::All
    }
}

/// Runs the chosen tests to the end, also past failures, and prints the summary.
///
/// # Errors
/// When anything failed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let report = Report::begin();
    let chosen = options.class;
    if chosen.includes(Class::Unit) {
        unit::run(workspace, &report);
    }
    if chosen.includes(Class::Proxy) {
        report.stage("proxy", || {
            cargo_test(workspace, &["--package=lateen-proxy", "--test=*"])
        });
    }
    if chosen.includes(Class::Namespaces) {
        report.stage("namespaces", || {
            wait_for(prepare_for_redirection())?;
            cargo_test(workspace, &["--package=lateen-init", "--test=namespaces"])
        });
        report.stage("interoperability", || whole_pods(workspace, "interop"));
        report.stage("DNS capture", || whole_pods(workspace, "lookup"));
    }
    if chosen.includes(Class::Fuzz) {
        fuzz::run(workspace, &report);
    }
    if chosen.includes(Class::Cluster) {
        cluster::run(workspace, options, &report);
    }
    report.finish()
}

/// A test of our proxy as a program. Our programs come first: cargo does not know that it runs them.
fn whole_pods(workspace: &Workspace, test: &str) -> Result<()> {
    let build = [
        "build",
        "--locked",
        "--quiet",
        "--package=lateen-init",
        "--package=lateen-proxy",
    ];
    shell::run(workspace.cargo().args(build))?;
    let test = format!("--test={test}");
    cargo_test(workspace, &["--package=lateen-tests", &test])
}

fn cargo_test(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    shell::tell(
        workspace
            .cargo()
            .args(["test", "--locked", "--quiet"])
            .args(arguments),
    )
}
