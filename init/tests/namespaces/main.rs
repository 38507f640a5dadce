//! The program against the real kernel, in network namespaces of its own. Needs root, iproute2,
//! iptables of both kinds, nft and strace; a test that cannot run fails and says what is missing.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod dns;
mod failures;
mod flows;
mod harness;
mod killed;
mod matrix;
mod nftables;
mod oracle;
mod sidecar;
mod state;
mod tproxy;
