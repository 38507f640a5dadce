//! Where requests and connections can be sent: endpoints, the choice between them, and connecting.

mod balance;
mod connect;
mod endpoint;

pub use self::balance::{Choice, EndpointSet, Member};
pub use self::connect::{ConnectError, Wanted, connect};
pub use self::endpoint::{ActiveRequest, Endpoint, Security};
