//! What needs more than one crate: the local cluster, and the tests and benches that run on it.

pub mod bed;
pub mod bench;
pub mod cluster;
pub mod interop;
