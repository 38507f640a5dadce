//! Programs the redirection of a pod's traffic to its sidecar: the work of the container
//! `istio-init`, with the flags, the environment and the exit codes of `istio-iptables`.
//!
//! The path of one run: [`options`] are parsed and checked, [`rules`] turns them into rules (a pure
//! function, one rule set per address family), [`apply`] brings the kernel from the state it is in
//! to those rules through [`iptables`], and `probe` opens a connection to see that they work.
//!
//! No async runtime, no TLS, no Kubernetes: it runs in every pod, with the most privilege of all,
//! and is gone after a few milliseconds.

pub mod apply;
mod error;
pub mod family;
pub mod iptables;
mod netlink;
pub mod options;
pub mod pod;
mod probe;
mod report;
pub mod rules;
mod turn;

use std::ffi::OsString;
use std::process::ExitCode;

pub use error::Error;
use options::{Invocation, Options};

/// The exit code when the rules could not be made, or the options are wrong.
const FAILURE: u8 = 1;
/// The exit code when the rules do not redirect. Repair controllers look for this number.
const NOT_REDIRECTED: u8 = 126;

/// Runs with these command line arguments (without the program's name) and this environment, and
/// answers with the process's exit code: 0, 1 or 126.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<String>,
) -> ExitCode {
    match invoke(arguments, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error);
            ExitCode::from(match error {
                Error::NotRedirected(_) => NOT_REDIRECTED,
                _ => FAILURE,
            })
        }
    }
}

fn invoke(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(), Error> {
    let container = pod::Container::read();
    match Invocation::parse(arguments, environment, &container)? {
        Invocation::Help => report::answer(&options::help()),
        Invocation::Version => report::answer(concat!(env!("CARGO_PKG_VERSION"), "\n")),
        Invocation::Run(options) => program(&options),
    }
}

/// Brings redirection about as the options say.
fn program(options: &Options) -> Result<(), Error> {
    let ipv6 = pod::Ipv6::detect();
    if options.run.dry_run {
        return dry_run(options, ipv6);
    }
    if !options.run.skip_rules {
        apply::apply(options, ipv6)?;
    }
    if options.run.validate && !options.run.cleanup_only {
        probe::probe(options, ipv6)?;
    }
    Ok(())
}

/// Prints what would be handed to `iptables-restore` in a namespace without rules.
fn dry_run(options: &Options, ipv6: pod::Ipv6) -> Result<(), Error> {
    let mut text = String::new();
    for family in ipv6.families() {
        let wanted = iptables::State::from(&rules::build(options, family));
        let change = iptables::State::default().change_to(&wanted);
        text.push_str(&format!("# {family}\n{change}"));
    }
    if let Some(path) = &options.run.dry_run_file {
        std::fs::write(path, &text).map_err(|cause| Error::Write {
            path: path.clone(),
            cause,
        })?;
    }
    report::answer(&text)
}
