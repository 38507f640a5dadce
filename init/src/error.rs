//! Why a run failed.

use std::io;
use std::path::PathBuf;

use crate::family::Family;
use crate::iptables::Failure;
use crate::nftables;
use crate::options::Problem;
use crate::probe::NotRedirected;

/// Everything that ends a run. Each is told in one line; options in one line per problem.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Options that make no sense: all of them, not just the first.
    #[error("{}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
    Options(Vec<Problem>),
    /// The process may not change the rules.
    #[error(
        "Cannot change packet rules: the capability CAP_NET_ADMIN is missing. Run as root with NET_ADMIN and NET_RAW in securityContext.capabilities.add of the container, in a namespace whose pod security level allows them"
    )]
    Capability,
    /// Another run in this network namespace does not end.
    #[error(
        "Cannot begin while another run changes the packet rules of this pod: {cause}. Look for lateen-init processes that hang"
    )]
    Turn {
        /// Why this run's turn did not come.
        cause: io::Error,
    },
    /// The network namespace of another pod could not be entered.
    #[error(
        "Cannot work in the network namespace {}: {cause}. It takes CAP_SYS_ADMIN, and a path such as /proc/PID/ns/net", .path.display()
    )]
    Namespace {
        /// The file that stands for it.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A program of the packet filter failed, or is not there.
    #[error("Cannot {attempt} the {family} packet rules: {failure}")]
    Iptables {
        /// What was tried: a verb.
        attempt: &'static str,
        /// Whose rules.
        family: Family,
        /// What went wrong.
        failure: Failure,
    },
    /// The kernel's own packet filter failed, or is not there.
    #[error("Cannot {attempt} the packet rules in nf_tables: {failure}")]
    Nftables {
        /// What was tried: a verb.
        attempt: &'static str,
        /// What went wrong.
        failure: nftables::Failure,
    },
    /// The kernel holds other rules than those it was given.
    #[error(
        "Applied the {} packet rules, but the kernel holds others: {difference}. Look for another program that changes the rules of this pod", .family.map_or_else(String::new, |family| family.to_string())
    )]
    NotHeld {
        /// Whose rules, if one family's.
        family: Option<Family>,
        /// The first difference.
        difference: String,
    },
    /// The address that the proxy sends from could not be added to `lo`, or removed from it.
    #[error(
        "Cannot {attempt} address ::6 on interface lo: {cause}. If IPv6 is switched off for lo (sysctl net.ipv6.conf.lo.disable_ipv6), switch it on, or off for the whole pod"
    )]
    Address {
        /// What was tried: a verb.
        attempt: &'static str,
        /// The answer of the kernel.
        cause: io::Error,
    },
    /// The way of marked packets to the proxy could not be made, or removed.
    #[error(
        "Cannot {attempt} the {family} routes of TPROXY mode: {cause}. The node's kernel needs CONFIG_IP_MULTIPLE_TABLES and CONFIG_IPV6_MULTIPLE_TABLES; REDIRECT mode needs neither"
    )]
    Route {
        /// What was tried: a verb.
        attempt: &'static str,
        /// Whose routes.
        family: Family,
        /// The answer of the kernel.
        cause: io::Error,
    },
    /// Marked packets do not reach the proxy, though their way was made.
    #[error(
        "The {family} packets of TPROXY mode do not come to this pod: another route in table {table}, or another rule before ours, leads them elsewhere. See ip rule and ip route show table {table}, or choose another table (--istio-inbound-tproxy-route-table)"
    )]
    OtherRoute {
        /// Whose packets.
        family: Family,
        /// The routing table.
        table: u32,
    },
    /// A run failed, and what it had changed by then could not be taken back.
    #[error(
        "{error}; the rules made before that are left in place, for taking them back failed: {cause}"
    )]
    Unfinished {
        /// Why the run failed.
        error: Box<Self>,
        /// Why its first part could not be taken back.
        cause: Box<Self>,
    },
    /// Redirection was tried out and does not work.
    #[error(transparent)]
    NotRedirected(#[from] NotRedirected),
    /// An answer could not be written.
    #[error("Cannot write {}: {cause}", .path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

impl Error {
    /// The one family that is to blame, if it is one.
    pub(crate) fn family(&self) -> Option<Family> {
        match self {
            Self::Iptables { family, .. }
            | Self::Route { family, .. }
            | Self::OtherRoute { family, .. } => Some(*family),
            Self::NotHeld { family, .. } => *family,
            Self::Nftables { failure, .. } => failure.family(),
            Self::Address { .. } => Some(Family::V6),
            _ => None,
        }
    }

    /// Whether this pod lacks iptables programs, or the kernel what they need.
    pub(crate) fn is_for_want_of_iptables(&self) -> bool {
        matches!(self, Self::Iptables { failure, .. } if failure.is_of_this_variant())
    }
}
