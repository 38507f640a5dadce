//! The data plane: captures a pod's connections, finds out what they carry and who they are for,
//! and carries them to a peer over mutual TLS.
pub mod config;
pub mod control;
pub mod discover;
pub mod drain;
pub mod listen;
pub mod metrics;
pub mod net;
pub mod ready;
pub mod sniff;
pub mod tls;
pub mod upstream;
