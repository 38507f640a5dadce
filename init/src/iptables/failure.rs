//! Why a program of the iptables family did not do what it was asked, and what helps: from its exit
//! status and what it printed to one line for a human.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;

/// How many of a program's lines one needs to see.
const MOST_LINES: usize = 3;

/// Why a program failed, or could not be run.
#[derive(Debug)]
pub enum Failure {
    /// There is no such program in PATH.
    Missing {
        /// The names that would have done.
        names: Vec<String>,
    },
    /// It is there but could not be run.
    NotRun {
        /// The program.
        program: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// It ran and reported failure.
    Reported {
        /// The program.
        program: PathBuf,
        /// What it printed, in one line, and which line of its input that is about.
        said: String,
        /// What that means.
        meaning: Meaning,
    },
}

/// What the words of a failed program mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// This process may not do it.
    NotPermitted,
    /// The kernel lacks a table.
    NoTable,
    /// The kernel lacks nf_tables.
    NoNftables,
    /// The kernel lacks a match or a target.
    NoExtension,
    /// Another program made a table that iptables cannot show.
    IncompatibleTable,
    /// The kernel does not show the tables of the legacy kind.
    HiddenTables,
    /// iptables lacks the shared object for a match or a target.
    NoSharedObject,
    /// A rule of somebody else needs a chain that is to go.
    InUse,
    /// Another program holds the lock.
    Locked,
    /// Anything else.
    Other,
}

impl Failure {
    /// A program ended with failure, after it had been given this input.
    pub(super) fn reported(program: &Path, output: &Output, input: &str) -> Self {
        let printed = String::from_utf8_lossy(&output.stderr);
        let is_help = |line: &&str| !line.is_empty() && !line.starts_with("Try `");
        let lines: Vec<_> = printed.lines().map(str::trim).filter(is_help).collect();
        let mut said = match lines.len() {
            0 => format!("{} without a word", output.status),
            1..=MOST_LINES => lines.join("; "),
            all => {
                let first = lines.iter().take(MOST_LINES).copied();
                let first = first.collect::<Vec<_>>().join("; ");
                format!("{first}; and {} lines more", all - MOST_LINES)
            }
        };
        let mut meaning = Meaning::of(&printed);
        if let Some(rejected) = rejected(&printed, input) {
            said.push_str(&format!(" ({rejected})"));
            if rejected.contains(": -X ") {
                meaning = Meaning::InUse;
            }
        }
        Self::Reported {
            program: program.to_owned(),
            said,
            meaning,
        }
    }

    /// A program succeeded, but said that it does not show everything.
    pub(super) fn hidden(program: &Path, said: &str) -> Self {
        Self::Reported {
            program: program.to_owned(),
            said: said.trim_matches(['#', ' ', '.']).to_owned(),
            meaning: Meaning::of(said),
        }
    }

    /// Whether the other kind of iptables may do better in this kernel.
    pub(crate) fn is_of_this_variant(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::NotRun { .. } => true,
            Self::Reported { meaning, .. } => matches!(
                meaning,
                Meaning::NoTable
                    | Meaning::NoNftables
                    | Meaning::NoExtension
                    | Meaning::NoSharedObject
                    | Meaning::IncompatibleTable
                    | Meaning::HiddenTables
            ),
        }
    }
}

/// The first line of the input that a program names by its number, with the table it stands in.
fn rejected(printed: &str, input: &str) -> Option<String> {
    let (_, after) = printed.split_once("line")?;
    let digits = after.trim_start_matches([':', ' ']);
    let digits = digits.split(|c: char| !c.is_ascii_digit()).next()?;
    let index = digits.parse::<usize>().ok()?.checked_sub(1)?;
    let rejected = input.lines().nth(index)?;
    let before = input.lines().take(index + 1);
    let table = before.filter(|line| line.starts_with('*')).last()?;
    Some(format!(
        "in table {}: {rejected}",
        table.trim_start_matches('*')
    ))
}

impl Meaning {
    fn of(printed: &str) -> Self {
        let printed = printed.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| printed.contains(words));
        if says(&["xtables lock", "xtables.lock", "lock file"]) {
            Self::Locked
        } else if says(&["use 'nft' tool"]) {
            Self::IncompatibleTable
        } else if says(&["tables_names"]) {
            Self::HiddenTables
        } else if says(&[
            "permission denied",
            "operation not permitted",
            "must be root",
        ]) {
            Self::NotPermitted
        } else if says(&["couldn't load match", "couldn't load target"]) {
            Self::NoSharedObject
        } else if says(&[
            "could not fetch rule set generation id",
            "failed to initialize nft",
            "protocol not supported",
        ]) {
            Self::NoNftables
        } else if says(&[
            "initialize table",
            "initialize iptables table",
            "initialize ip6tables table",
            "table does not exist",
        ]) {
            Self::NoTable
        } else if says(&[
            "no chain/target/match by that name",
            "missing kernel module",
            "not supported",
            "no such file or directory",
            "append failed (invalid argument)",
        ]) {
            Self::NoExtension
        } else {
            Self::Other
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::NotPermitted => {
                "The capability is missing: add NET_ADMIN and NET_RAW to securityContext.capabilities of the container, in a namespace whose pod security level allows them"
            }
            Self::NoTable => {
                "The node's kernel lacks the table: load iptable_nat and ip6table_nat (iptable_mangle with --drop-invalid and TPROXY, iptable_raw with DNS capture) on the node, or use --force-iptables-binary=nft"
            }
            Self::NoNftables => {
                "The node's kernel lacks nf_tables: load nf_tables and nft_compat on the node, or use --force-iptables-binary=legacy"
            }
            Self::NoExtension => {
                "The node's kernel lacks a match or a target, or does not know an id in the pod's user namespace: load xt_owner, xt_tcpudp, xt_conntrack, xt_REDIRECT and nft_compat (xt_mark, xt_connmark and xt_TPROXY in TPROXY mode, xt_CT with DNS capture) on the node"
            }
            Self::NoSharedObject => {
                "The image lacks a shared object of iptables (libxt_*.so): use the image as it was released, or set XTABLES_LIBDIR"
            }
            Self::IncompatibleTable => {
                "Another program keeps rules in this table that iptables cannot show (nft list ruleset can): use --backend=nftables"
            }
            Self::HiddenTables => {
                "The kernel does not show tables of the legacy kind here, as in some user namespaces (hostUsers: false): use --force-iptables-binary=nft or --backend=nftables"
            }
            Self::InUse => {
                "A rule of somebody else jumps to this chain of ours: that rule has to go first"
            }
            Self::Locked => {
                "Another program held the lock for too long, or the lock file cannot be made: look for iptables processes of the node that hang"
            }
            Self::Other => "No rule was changed by this step",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { names } => write!(
                formatter,
                "there is no {} in PATH. Install iptables into the image, or use the image as it was released",
                names.join(" or ")
            ),
            Self::NotRun { program, cause } => {
                write!(formatter, "{} could not be run: {cause}", program.display())
            }
            Self::Reported {
                program,
                said,
                meaning,
            } => {
                write!(
                    formatter,
                    "{}: {said}. {}",
                    program.display(),
                    meaning.advice()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_print_is_understood() {
        let cases = [
            (
                "Could not fetch rule set generation id: Permission denied (you must be root)",
                Meaning::NotPermitted,
            ),
            (
                "iptables-save v1.8.9 (nf_tables): Could not fetch rule set generation id: Invalid argument",
                Meaning::NoNftables,
            ),
            (
                "iptables-restore: unable to initialize table 'nat'\nError occurred at line: 1",
                Meaning::NoTable,
            ),
            (
                "iptables v1.8.4 (legacy): can't initialize iptables table `nat': Table does not exist (do you need to insmod?)",
                Meaning::NoTable,
            ),
            (
                "Warning: Extension owner revision 0 not supported, missing kernel module?\niptables-restore: line 9 failed",
                Meaning::NoExtension,
            ),
            (
                "iptables-nft-restore: line 9: RULE_APPEND failed (No such file or directory): rule in chain OUTPUT",
                Meaning::NoExtension,
            ),
            (
                "iptables: No chain/target/match by that name.",
                Meaning::NoExtension,
            ),
            (
                "iptables-restore v1.8.9 (legacy): Couldn't load match `owner':No such file or directory",
                Meaning::NoSharedObject,
            ),
            (
                "Another app is currently holding the xtables lock; still 0s 0us time ahead to have a chance to grab the lock...",
                Meaning::Locked,
            ),
            (
                "Fatal: can't open lock file /run/xtables.lock: Permission denied",
                Meaning::Locked,
            ),
            (
                "# Table `nat' is incompatible, use 'nft' tool.",
                Meaning::IncompatibleTable,
            ),
            (
                "Failed to list table names in /proc/net/ip_tables_names: Permission denied",
                Meaning::HiddenTables,
            ),
            (
                "line 27: RULE_APPEND failed (Invalid argument): rule in chain ISTIO_OUTPUT",
                Meaning::NoExtension,
            ),
            ("iptables-restore: line 3 failed", Meaning::Other),
        ];
        for (printed, meaning) in cases {
            assert_eq!(Meaning::of(printed), meaning, "{printed}");
        }
    }

    #[test]
    fn the_line_that_a_program_rejects_is_named() {
        let input = "*mangle\nCOMMIT\n*nat\n-A ISTIO_OUTPUT -j RETURN\nCOMMIT\n";
        let rejected = |printed| rejected(printed, input);
        assert_eq!(
            rejected("iptables-restore: line 4 failed").as_deref(),
            Some("in table nat: -A ISTIO_OUTPUT -j RETURN")
        );
        assert_eq!(
            rejected("unable to initialize table\nError occurred at line: 1").as_deref(),
            Some("in table mangle: *mangle")
        );
        for printed in ["line 0 failed", "line 9 failed", "no line at all", ""] {
            assert_eq!(rejected(printed), None, "{printed}");
        }
    }
}
