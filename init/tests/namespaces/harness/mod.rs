//! What the tests stand on: namespaces ([`namespace`]), a pod and what is outside of it
//! ([`world`]), connections between them and who got them ([`flow`]).

pub(crate) mod flow;
pub(crate) mod namespace;
pub(crate) mod world;

pub(crate) use flow::{Arrival, Flow, Listeners, Place};
pub(crate) use namespace::Namespace;
pub(crate) use world::World;

/// The flags that the injector gives by default.
pub(crate) const DEFAULT: &[&str] = &[
    "-p",
    "15001",
    "-z",
    "15006",
    "-u",
    "1337",
    "-m",
    "REDIRECT",
    "-i",
    "*",
    "-x",
    "",
    "-b",
    "*",
    "-d",
    "15090,15021,15020",
];

/// Both kinds of iptables.
pub(crate) const VARIANTS: [&str; 2] = ["nft", "legacy"];

/// Everything that can program the kernel: flags that choose it.
pub(crate) const MEANS: [&[&str]; 3] = [
    &["--force-iptables-binary", "nft"],
    &["--force-iptables-binary", "legacy"],
    &["--backend", "nftables"],
];

/// The user of an application.
pub(crate) const APPLICATION: u32 = 1000;
/// The user and group of the proxy.
pub(crate) const PROXY: u32 = 1337;
