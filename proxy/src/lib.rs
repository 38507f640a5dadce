//! The data plane: captures a pod's connections, finds out what they carry and who they are for,
//! and carries them to a peer over mutual TLS.
//!
//! The life of a connection is told in order by [`outbound::serve`] and [`inbound::serve`]; the
//! end of the process by [`drain`]. [`runtime`] puts the parts on threads.

pub mod access_log;
pub mod agent;
pub mod config;
pub mod control;
pub mod detect;
pub mod discover;
pub mod dns;
pub mod drain;
pub mod http;
pub mod inbound;
pub mod listen;
pub mod metrics;
pub mod net;
pub mod outbound;
pub mod ready;
pub mod runtime;
pub mod shared;
pub mod sniff;
pub mod tcp;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod upstream;
pub mod workers;
