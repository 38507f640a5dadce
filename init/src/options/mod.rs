//! What one run is asked to do: the flags and environment of `istio-iptables`, parsed into types
//! that cannot hold nonsense. All mistakes are reported at once, each with the name as the user
//! wrote it, the value and what is allowed.
//!
//! What cannot be done is refused, for a pod whose traffic takes other ways than its owner asked for
//! is worse than one that does not start. Flags that cannot change what happens (those of logging,
//! `--dual-stack`, `--reconcile`, `--cni-mode`) are accepted.
//!
//! Unlike Istio a value in the environment that cannot be parsed is a mistake too.

mod flags;
mod reader;
mod values;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use crate::Error;
use crate::pod::Container;

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Print the flags.
    Help,
    /// Print the version.
    Version,
    /// Program redirection.
    Run(Box<Options>),
}

impl Invocation {
    /// Parses command line and environment.
    ///
    /// # Errors
    /// [`Error::Options`] with every mistake there is.
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl Fn(&str) -> Option<String>,
        container: &Container,
    ) -> Result<Self, Error> {
        let mut problems = Vec::new();
        let values = flags::Values::collect(arguments, environment, &mut problems);
        if values.help {
            return Ok(Self::Help);
        }
        if values.version {
            return Ok(Self::Version);
        }
        let options = reader::Reader::new(&values, &mut problems).options(container);
        if problems.is_empty() {
            Ok(Self::Run(Box::new(options)))
        } else {
            Err(Error::Options(problems))
        }
    }
}

/// Everything that decides which rules there are, and what to do with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where redirected outbound connections go.
    pub outbound_capture: u16,
    /// Where redirected inbound connections go.
    pub inbound_capture: u16,
    /// The tunnel's port, which is never redirected.
    pub tunnel: u16,
    /// Users whose traffic is the proxy's own. At least one.
    pub proxy_uids: Vec<u32>,
    /// Groups whose traffic is the proxy's own. At least one.
    pub proxy_gids: Vec<u32>,
    /// Which inbound ports are redirected.
    pub inbound: InboundPorts,
    /// How inbound connections reach the proxy.
    pub inbound_mode: InboundMode,
    /// Which outbound destinations are redirected.
    pub destinations: Destinations,
    /// Outbound destinations that are not redirected, though `destinations` has them.
    pub excluded_destinations: Vec<IpNet>,
    /// Outbound ports that are redirected, though `destinations` lacks the address.
    pub outbound_ports: Vec<u16>,
    /// Outbound ports that are never redirected.
    pub excluded_outbound_ports: Vec<u16>,
    /// Interfaces whose traffic is not redirected, in or out.
    pub excluded_interfaces: Vec<Interface>,
    /// Interfaces of virtual machines: what comes in from them is treated as outbound.
    pub virtual_interfaces: Vec<Interface>,
    /// Whose outbound traffic is redirected.
    pub groups: Groups,
    /// Which questions to name servers are redirected.
    pub dns: DnsCapture,
    /// Destinations that count as "this pod, by loopback" for IPv4.
    pub loopback: Ipv4Net,
    /// Whether packets that conntrack calls invalid are dropped.
    pub drop_invalid: bool,
    /// What programs the kernel.
    pub backend: Backend,
    /// Which kind of iptables to use, if the user decides.
    pub variant: Option<Variant>,
    /// What to do with the rules.
    pub run: Run,
}

impl Options {
    /// Whether any inbound port is captured.
    pub fn captures_inbound(&self) -> bool {
        self.inbound != InboundPorts::Only(Vec::new())
    }

    /// The mark and the routing table of inbound packets, if they are to be routed to the proxy.
    pub fn marked_route(&self) -> Option<(u32, u32)> {
        match self.inbound_mode {
            InboundMode::Tproxy { mark, route_table } if self.captures_inbound() => {
                Some((mark, route_table))
            }
            _ => None,
        }
    }
}

/// Which inbound ports are redirected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboundPorts {
    /// All but these.
    AllExcept(Vec<u16>),
    /// These; none if there are none.
    Only(Vec<u16>),
}

/// Which outbound destinations are redirected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destinations {
    /// All of them.
    All,
    /// These; none if there are none.
    Only(Vec<IpNet>),
}

/// How inbound connections reach the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboundMode {
    /// Their destination is changed; the kernel remembers the original one.
    Redirect,
    /// Their addresses stay as they are, and their packets are marked.
    Tproxy {
        /// The mark.
        mark: u32,
        /// The routing table of marked packets.
        route_table: u32,
    },
}

/// Whose outbound traffic is redirected, by the group of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Everybody's but that of these.
    AllExcept(Vec<u32>),
    /// That of these.
    Only(Vec<u32>),
}

/// Which questions to name servers are redirected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsCapture {
    /// None.
    Off,
    /// Those to these servers; none if there are none.
    Servers(Vec<IpAddr>),
    /// All of them.
    All,
}

/// What programs the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The programs of iptables where they are there and work, else nf_tables over netlink.
    Auto,
    /// The programs of iptables.
    Iptables,
    /// nf_tables over netlink, without any program.
    Nftables,
}

/// The two kinds of iptables, which keep separate rules in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The one that keeps its rules in x_tables.
    Legacy,
    /// The one that keeps its rules in nf_tables.
    Nft,
}

/// What to do with the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Print them, change nothing.
    pub dry_run: bool,
    /// The file that a dry run writes as well.
    pub dry_run_file: Option<PathBuf>,
    /// The network namespace to work in, if not one's own.
    pub network_namespace: Option<PathBuf>,
    /// Leave the kernel's rules as they are.
    pub skip_rules: bool,
    /// Remove our rules.
    pub cleanup_only: bool,
    /// Replace the kernel's rules even if they are right.
    pub force_apply: bool,
    /// Try out afterwards whether connections are redirected.
    pub validate: bool,
    /// The destination port of that trial.
    pub probe_port: u16,
    /// How long that trial may take, per family.
    pub probe_timeout: Duration,
}

/// The name of a network interface; with `+` at its end, of all that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface(String);

impl Interface {
    /// The loopback interface.
    pub fn loopback() -> Self {
        Self("lo".to_owned())
    }

    /// Parses a name as iptables takes it.
    pub fn parse(name: &str) -> Option<Self> {
        values::interface(name).ok()
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One mistake in the options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The flag or variable, as the user wrote it; `command line` if it is neither.
    source: String,
    /// The value.
    value: String,
    /// What is wrong with it, and what is allowed.
    reason: String,
}

impl Problem {
    /// The command line cannot be read.
    fn of_command_line(error: &lexopt::Error) -> Self {
        let reason = format!("{error}; --help lists the flags");
        Self {
            source: "command line".to_owned(),
            value: String::new(),
            reason,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            value,
            reason,
        } = self;
        if value.is_empty() {
            write!(formatter, "{source}: {reason}")
        } else {
            write!(formatter, "{source}={value}: {reason}")
        }
    }
}

/// What `--help` prints.
pub fn help() -> String {
    let mut text = String::from(
        "Redirects the traffic of a pod to its sidecar.\n\nUsage: lateen-init [flags]\n\nFlags (the environment has them too, --proxy-uid as PROXY_UID; --envoy-port excepted):\n",
    );
    for flag in flags::ALL.iter().filter(|flag| flag.on_command_line()) {
        text.push_str(&format!("  {:<46} {}\n", flag.synopsis(), flag.help));
    }
    text.push_str("\nOnly in the environment:\n");
    for flag in flags::ALL.iter().filter(|flag| !flag.on_command_line()) {
        text.push_str(&format!("  {:<46} {}\n", flag.name, flag.help));
    }
    text.push_str("\nExit codes: 0, 1 (wrong options, or the rules could not be made), 126 (the rules do not redirect).\n");
    text
}
