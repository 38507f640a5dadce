//! One request to one endpoint.

use std::error::Error as _;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

use super::Version;
use super::pool::Lease;
use super::request_body::RequestBody;
use crate::metrics::Flag;
use crate::shared::Worker;
use crate::upstream::{ConnectError, Endpoint};

/// A response has begun.
#[derive(Debug)]
pub struct Sent {
    /// The response.
    pub response: Response<Incoming>,
    /// The connection that carries its body.
    pub lease: Lease,
}

/// There is no response.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub kind: FailureKind,
    /// In words, for the log.
    pub detail: String,
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// There was no connection.
    Connect,
    /// The connection ended before anything of the request was written.
    Unsent,
    /// The peer says that it has not looked at the request (`REFUSED_STREAM`, GOAWAY).
    Refused,
    /// The connection ended before the response began.
    Closed,
    /// The peer reset the stream.
    Reset,
    /// The peer does not speak HTTP.
    Protocol,
}

impl FailureKind {
    /// Whether the request was certainly not executed, so that it may be sent elsewhere whatever
    /// it asks for.
    #[must_use]
    pub fn is_unexecuted(self) -> bool {
        matches!(self, Self::Connect | Self::Unsent | Self::Refused)
    }

    /// The response flag.
    #[must_use]
    pub fn flag(self) -> Flag {
        match self {
            Self::Connect => Flag::UpstreamConnectionFailure,
            Self::Unsent | Self::Closed => Flag::UpstreamConnectionTermination,
            Self::Refused | Self::Reset => Flag::UpstreamReset,
            Self::Protocol => Flag::UpstreamProtocolError,
        }
    }

    /// Envoy's words for it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Connect => "connection failure",
            Self::Unsent | Self::Closed => "connection termination",
            Self::Refused | Self::Reset => "remote reset",
            Self::Protocol => "protocol error",
        }
    }
}

/// Sends a request and waits for the beginning of the response. A pooled connection that turns out
/// to be closed before anything was written is replaced by another one, unseen from outside.
///
/// # Errors
/// When no response began; whether it may be tried elsewhere is in the kind.
pub async fn send(
    worker: &Worker,
    endpoint: &Arc<Endpoint>,
    version: Version,
    upgrade: bool,
    mut request: Request<RequestBody>,
) -> Result<Sent, Failure> {
    loop {
        let lease = if upgrade {
            worker.pools.open_for_upgrade(worker, endpoint).await
        } else {
            worker.pools.lease(worker, endpoint, version).await
        };
        let mut lease = lease.map_err(|error| Failure::connect(&error))?;
        let sent = match &mut lease {
            Lease::Http1(lease) => lease.sender.try_send_request(request).await,
            Lease::Http2(lease) => lease.sender.try_send_request(request).await,
        };
        match sent {
            Ok(response) => return Ok(Sent { response, lease }),
            Err(mut error) => match error.take_message() {
                Some(unsent) if lease.is_reused() => {
                    lease.discard();
                    request = unsent;
                }
                Some(_) => return Err(Failure::new(FailureKind::Unsent, error.error())),
                None => {
                    let failure = Failure::new(kind(error.error()), error.error());
                    if failure.kind == FailureKind::Refused {
                        lease.discard();
                    }
                    return Err(failure);
                }
            },
        }
    }
}

impl Failure {
    fn new(kind: FailureKind, error: &hyper::Error) -> Self {
        let detail = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Self { kind, detail }
    }

    fn connect(error: &ConnectError) -> Self {
        Self {
            kind: FailureKind::Connect,
            detail: error.to_string(),
        }
    }
}

fn kind(error: &hyper::Error) -> FailureKind {
    if let Some(h2) = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>())
    {
        let unseen = h2.reason() == Some(h2::Reason::REFUSED_STREAM) || h2.is_go_away();
        if unseen && h2.is_remote() {
            return FailureKind::Refused;
        }
        return if h2.is_io() || h2.is_go_away() {
            FailureKind::Closed
        } else if h2.is_library() {
            FailureKind::Protocol
        } else {
            FailureKind::Reset
        };
    }
    if error.is_parse() {
        FailureKind::Protocol
    } else {
        FailureKind::Closed
    }
}
