//! What needs more than one crate: the local cluster, and the tests and benches that run on it.

use std::env;
use std::path::PathBuf;

pub mod bed;
pub mod bench;
pub mod cluster;
pub mod interop;
pub mod lookup;

/// The checkout that these tests are of: as cargo says when it runs them, since a program that was
/// built in another checkout may be as new.
#[must_use]
pub fn checkout() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR");
    let mut path = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    path.pop();
    path
}
