//! One HTTP connection of a client that is opened when it is needed and opened again once it is gone.

use std::time::Duration;

use anyhow::Context as _;
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

type Body = Full<Bytes>;

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// A connection to one address.
pub(super) struct Connection {
    address: String,
    version: Version,
    sender: Option<Sender>,
    opened: u64,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Connection {
    /// A connection to `HOST:PORT` that is not open yet.
    pub(super) const fn new(address: String, version: Version) -> Self {
        Self {
            address,
            version,
            sender: None,
            opened: 0,
        }
    }

    /// How often it was opened.
    pub(super) const fn opened(&self) -> u64 {
        self.opened
    }

    /// Sends the next request on a new connection.
    pub(super) fn close(&mut self) {
        self.sender = None;
    }

    /// Sends a request. When the peer closed the connection before any byte of the request was
    /// written, the request goes out on a new one, as every client does; otherwise that is an error.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> anyhow::Result<Response<Incoming>> {
        let reused = self.sender.is_some();
        match self.try_send(request).await {
            Ok(response) => Ok(response),
            Err(Unsent {
                request: Some(request),
                ..
            }) if reused => {
                self.sender = None;
                self.try_send(*request).await.map_err(|unsent| unsent.error)
            }
            Err(Unsent { error, .. }) => {
                self.sender = None;
                Err(error)
            }
        }
    }

    async fn try_send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Unsent> {
        if self.sender.is_none() {
            match self.open().await {
                Ok(sender) => self.sender = Some(sender),
                Err(error) => {
                    return Err(Unsent {
                        error,
                        request: None,
                    });
                }
            }
        }
        match &mut self.sender {
            Some(Sender::Http1(sender)) => {
                if let Err(error) = sender.ready().await {
                    return Err(Unsent::before(error, request));
                }
                sender.try_send_request(request).await.map_err(Unsent::from)
            }
            Some(Sender::Http2(sender)) => {
                if let Err(error) = sender.ready().await {
                    return Err(Unsent::before(error, request));
                }
                sender.try_send_request(request).await.map_err(Unsent::from)
            }
            None => Err(Unsent {
                error: anyhow::anyhow!("no connection"),
                request: Some(Box::new(request)),
            }),
        }
    }

    async fn open(&mut self) -> anyhow::Result<Sender> {
        self.opened += 1;
        let connection = connect(&self.address).await?;
        let io = TokioIo::new(connection);
        match self.version {
            Version::Http1 => {
                let (sender, driver) = http1::handshake(io).await.context("HTTP/1.1 handshake")?;
                tokio::spawn(driver);
                Ok(Sender::Http1(sender))
            }
            Version::Http2 => {
                let handshake = http2::handshake(TokioExecutor::new(), io).await;
                let (sender, driver) = handshake.context("HTTP/2 handshake")?;
                tokio::spawn(driver);
                Ok(Sender::Http2(sender))
            }
        }
    }
}

/// A request that got no response; with the request if it never left.
struct Unsent {
    error: anyhow::Error,
    request: Option<Box<Request<Body>>>,
}

impl Unsent {
    fn before(error: hyper::Error, request: Request<Body>) -> Self {
        Self {
            error: error.into(),
            request: Some(Box::new(request)),
        }
    }
}

impl From<TrySendError<Request<Body>>> for Unsent {
    fn from(mut error: TrySendError<Request<Body>>) -> Self {
        let request = error.take_message().map(Box::new);
        Self {
            error: error.into_error().into(),
            request,
        }
    }
}

/// Opens a TCP connection to `HOST:PORT` within five seconds.
pub(super) async fn connect(address: &str) -> anyhow::Result<TcpStream> {
    const LIMIT: Duration = Duration::from_secs(5);
    let connection = tokio::time::timeout(LIMIT, TcpStream::connect(address))
        .await
        .with_context(|| format!("cannot connect to {address} within {LIMIT:?}"))?
        .with_context(|| format!("cannot connect to {address}"))?;
    connection.set_nodelay(true)?;
    Ok(connection)
}
