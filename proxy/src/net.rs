//! Sockets and bytes: listeners and connections with the options they need, one stream type for
//! plain and encrypted connections, and the relay between two of them.

mod relay;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

pub use self::relay::{Counts, NoCounts, Relayed, relay};
pub use self::socket::{Source, connect, listen, prepare_accepted, take_any_destination};
pub use self::stream::{Stream, Transport};
