//! What images take from Debian.

use super::debian::{Program, Selection};

/// The kernel's packet filter from the command line, by its new interface and by its old one. Names
/// without an interface lead to nf_tables, as on every current distribution.
pub(crate) const IPTABLES: Selection = Selection {
    name: "iptables",
    packages: &["iptables"],
    programs: &[
        Program {
            path: "usr/sbin/xtables-nft-multi",
            names: &[
                "iptables",
                "iptables-restore",
                "iptables-save",
                "iptables-nft",
                "iptables-nft-restore",
                "iptables-nft-save",
                "ip6tables",
                "ip6tables-restore",
                "ip6tables-save",
                "ip6tables-nft",
                "ip6tables-nft-restore",
                "ip6tables-nft-save",
            ],
        },
        Program {
            path: "usr/sbin/xtables-legacy-multi",
            names: &[
                "iptables-legacy",
                "iptables-legacy-restore",
                "iptables-legacy-save",
                "ip6tables-legacy",
                "ip6tables-legacy-restore",
                "ip6tables-legacy-save",
            ],
        },
    ],
    extensions: &["usr/lib/x86_64-linux-gnu/xtables"],
    // Where the legacy programs keep their lock.
    folders: &["run"],
};

/// What people type in a pod of the samples: `curl`, and the few commands that go round it.
pub(crate) const CURL: Selection = Selection {
    name: "curl",
    packages: &["busybox-static", "curl"],
    programs: &[
        Program {
            path: "usr/bin/curl",
            names: &[],
        },
        Program {
            path: "bin/busybox",
            names: &[
                "cat", "date", "echo", "env", "grep", "head", "ls", "nc", "nslookup", "seq", "sh",
                "sleep", "tail", "time", "wc", "wget",
            ],
        },
    ],
    extensions: &[],
    folders: &[],
};

/// The database that many shops keep their carts in, and its command line.
pub(crate) const REDIS: Selection = Selection {
    name: "redis",
    packages: &["redis-tools"],
    programs: &[
        // One program that goes by its name.
        Program {
            path: "usr/bin/redis-check-rdb",
            names: &["redis-server"],
        },
        Program {
            path: "usr/bin/redis-cli",
            names: &[],
        },
    ],
    extensions: &[],
    folders: &[],
};
