//! HTTP/1 and HTTP/2 through the proxy: serving a connection, one request to one endpoint over
//! pooled connections, bodies that are counted and can be sent once more, and the answers the
//! proxy gives itself.

mod exchange;
mod grpc;
pub(crate) mod headers;
mod pool;
mod reply;
mod request_body;
mod response_body;
mod send;
mod serve;
#[cfg(test)]
mod tests;
mod upgrade;

pub use self::exchange::{Exchange, Record};
pub use self::grpc::{is_grpc, status as grpc_status};
pub use self::headers::{
    NOT_EXECUTED, assemble, authority, prepare_request, prepare_response, request_id,
};
pub use self::pool::{Http1Lease, Http2Lease, Lease, Pools};
pub use self::reply::Reply;
pub use self::request_body::{RequestBody, Source};
pub use self::response_body::ResponseBody;
pub use self::send::{Failure, FailureKind, Sent, send};
pub use self::serve::{Ends, Handle, Handled, serve};
pub use self::upgrade::{Upgrade, splice};

/// The versions a connection can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0 and 1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Longest header section taken, in bytes.
pub const MAX_HEADERS: usize = 64 * 1_024;
