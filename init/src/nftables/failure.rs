//! Why the kernel did not do what it was asked, and what helps.

use std::fmt;
use std::io;

use nix::errno::Errno;

use crate::family::Family;

/// What a request is about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// Whose it is, if one family's.
    pub(super) family: Option<Family>,
    /// What it is, in words.
    pub(super) what: String,
}

/// Why nf_tables could not be read or changed.
#[derive(Debug)]
pub struct Failure {
    /// What the kernel objected to, if it said so.
    subject: Option<Subject>,
    cause: io::Error,
}

impl Failure {
    pub(super) fn unreachable(cause: io::Error) -> Self {
        let subject = Some(Subject {
            family: None,
            what: "a netlink socket to netfilter".to_owned(),
        });
        Self { subject, cause }
    }

    pub(super) fn of_reading(cause: io::Error) -> Self {
        Self {
            subject: None,
            cause,
        }
    }

    pub(super) fn of_changing(subject: Option<Subject>, cause: io::Error) -> Self {
        Self { subject, cause }
    }

    /// The one family that is to blame, if it is one.
    pub(crate) fn family(&self) -> Option<Family> {
        self.subject.as_ref()?.family
    }

    /// Whether somebody else changed rules at the same moment.
    pub(super) fn is_race(&self) -> bool {
        let errno = self.cause.raw_os_error();
        errno == Some(Errno::ERESTART as i32) || self.cause.kind() == io::ErrorKind::Interrupted
    }

    fn advice(&self) -> &'static str {
        match self.cause.raw_os_error().map(Errno::from_raw) {
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
            _ => "No rule was changed by this step",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, cause } = self;
        match subject {
            Some(Subject { family, what }) => {
                let family = family
                    .map(|family| format!("{family} "))
                    .unwrap_or_default();
                write!(formatter, "the kernel refused {family}{what}: {cause}. ")?;
            }
            None => write!(
                formatter,
                "the kernel does not say what it holds: {cause}. "
            )?,
        }
        formatter.write_str(self.advice())
    }
}
