//! Programs the redirection of a pod's traffic to its sidecar: the work of the container
//! `istio-init`, with the flags, the environment and the exit codes of `istio-iptables`.
//!
//! The path of one run: [`options`] are parsed and checked, [`rules`] turns them into rules (a pure
//! function, one rule set per address family), [`apply`] brings the kernel from the state it is in
//! to those rules through [`iptables`] or [`nftables`], and `probe` opens a connection to see that
//! they work.
//!
//! No async runtime, no TLS, no Kubernetes: it runs in every pod, with the most privilege of all,
//! and is gone after a few milliseconds.

pub mod apply;
mod error;
pub mod family;
pub mod iptables;
mod netlink;
pub mod nftables;
pub mod options;
pub mod pod;
mod probe;
mod report;
pub mod rules;
mod turn;

use std::ffi::OsString;
use std::process::ExitCode;

pub use error::Error;
use family::Family;
use options::{Backend, DnsCapture, Invocation, Options};

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
    if let Some(path) = &options.run.network_namespace {
        let cause = |cause| Error::Namespace {
            path: path.clone(),
            cause,
        };
        pod::enter(path).map_err(cause)?;
    }
    let ipv6 = pod::Ipv6::detect();
    if options.dns == DnsCapture::Servers(Vec::new()) {
        report::warn(
            "DNS is not captured: /etc/resolv.conf names no server. --capture-all-dns needs none",
        );
    }
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

/// Prints what would be applied in a namespace without rules: for `iptables-restore`, or for `nft`.
fn dry_run(options: &Options, ipv6: pod::Ipv6) -> Result<(), Error> {
    let mut text = String::new();
    for family in ipv6.families() {
        let rules = rules::build(options, family);
        text.push_str(&format!("# {family}\n"));
        text.push_str(&match options.backend {
            Backend::Nftables => nftables::text::write(&rules, family),
            Backend::Auto | Backend::Iptables => {
                iptables::State::default().change_to(&iptables::State::from(&rules))
            }
        });
        text.push_str(&routes(options, family));
    }
    if let Some(path) = &options.run.dry_run_file {
        std::fs::write(path, &text).map_err(|cause| Error::Write {
            path: path.clone(),
            cause,
        })?;
    }
    report::answer(&text)
}

/// The way of marked packets, as comments: neither language can say it.
fn routes(options: &Options, family: Family) -> String {
    let Some((mark, table)) = options.marked_route() else {
        return String::new();
    };
    let ip = match family {
        Family::V4 => "ip -4",
        Family::V6 => "ip -6",
    };
    format!(
        "# {ip} route add local default dev lo table {table}\n# {ip} rule add fwmark {mark:#x} lookup {table}\n"
    )
}
