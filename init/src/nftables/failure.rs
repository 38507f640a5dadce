//! Why the kernel did not do what it was asked, and what helps.

use std::fmt;
use std::io;

use nix::errno::Errno;

use crate::family::Family;

/// Why nf_tables could not be read or changed.
#[derive(Debug)]
pub enum Failure {
    /// The kernel does not say what it holds.
    Unread {
        /// Why not.
        cause: io::Error,
    },
    /// The kernel did not want to do something.
    Refused {
        /// What that was about, if the kernel said so.
        subject: Option<Subject>,
        /// Why not.
        cause: io::Error,
    },
    /// Rules that iptables programs made would have to be made again.
    Irreversible,
}

/// What a request is about.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Whose it is, if one family's.
    pub(super) family: Option<Family>,
    /// What it is, in words.
    pub(super) what: String,
}

impl Failure {
    /// The one family that is to blame, if it is one.
    pub(crate) fn family(&self) -> Option<Family> {
        match self {
            Self::Refused { subject, .. } => subject.as_ref()?.family,
            _ => None,
        }
    }

    /// Whether somebody else changed rules at the same moment.
    pub(super) fn is_race(&self) -> bool {
        let (Self::Unread { cause } | Self::Refused { cause, .. }) = self else {
            return false;
        };
        let errno = cause.raw_os_error();
        errno == Some(Errno::ERESTART as i32) || cause.kind() == io::ErrorKind::Interrupted
    }
}

fn advice(cause: &io::Error) -> &'static str {
    match cause.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => {
            "The capability is missing, or a process that still runs keeps our table for itself: add NET_ADMIN and NET_RAW to securityContext.capabilities of the container, in a namespace whose pod security level allows them"
        }
        Some(
            Errno::ENOENT
            | Errno::EINVAL
            | Errno::EOPNOTSUPP
            | Errno::EAFNOSUPPORT
            | Errno::EPROTONOSUPPORT,
        ) => {
            "The node's kernel lacks a part of nf_tables: load nf_tables, nft_chain_nat, nft_redir and nft_ct (and nft_tproxy in TPROXY mode) on the node, or use --backend=iptables"
        }
        Some(Errno::EBUSY) => {
            "A rule of somebody else jumps to this chain of ours: that rule has to go first"
        }
        Some(Errno::EMSGSIZE) => {
            "These are more rules than one transaction may have here: give fewer networks and ports, raise net.core.wmem_max of the node, or use --backend=iptables"
        }
        _ => "No rule was changed by this step",
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = match self {
            Self::Unread { cause } => {
                write!(
                    formatter,
                    "the kernel does not say what it holds: {cause}. "
                )?;
                cause
            }
            Self::Refused { subject, cause } => {
                formatter.write_str("the kernel refused ")?;
                match subject {
                    None => formatter.write_str("it")?,
                    Some(Subject { family, what }) => {
                        let family = family.map(|family| format!("{family} "));
                        write!(formatter, "{}{what}", family.unwrap_or_default())?;
                    }
                }
                write!(formatter, ": {cause}. ")?;
                cause
            }
            Self::Irreversible => {
                return formatter.write_str("rules that iptables programs made are gone already");
            }
        };
        formatter.write_str(advice(cause))
    }
}
