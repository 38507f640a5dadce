//! The body of a response on its way to the client: when it ends, the connection it came over is
//! given back and the request is recorded, however it ended.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::exchange::Exchange;
use super::pool::Lease;

/// A response's body.
#[derive(Debug)]
pub struct ResponseBody {
    content: Content,
    exchange: Option<Box<Exchange>>,
}

#[derive(Debug)]
enum Content {
    /// Made by the proxy, or nothing.
    Own(Option<Bytes>),
    /// From an endpoint, with the connection that carries it.
    Upstream {
        incoming: Incoming,
        lease: Option<Lease>,
    },
}

impl ResponseBody {
    /// A body made by the proxy.
    #[must_use]
    pub fn own(bytes: Bytes, exchange: Box<Exchange>) -> Self {
        let content = Content::Own(Some(bytes).filter(|bytes| !bytes.is_empty()));
        let mut body = Self {
            content,
            exchange: Some(exchange),
        };
        if body.is_end_stream() {
            body.finish();
        }
        body
    }

    /// No body, of a request that goes on as something else.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            content: Content::Own(None),
            exchange: None,
        }
    }

    /// A body from an endpoint.
    #[must_use]
    pub fn upstream(incoming: Incoming, lease: Lease, exchange: Box<Exchange>) -> Self {
        let content = Content::Upstream {
            incoming,
            lease: Some(lease),
        };
        let mut body = Self {
            content,
            exchange: Some(exchange),
        };
        if body.is_end_stream() {
            body.finish();
        }
        body
    }

    /// The response is complete.
    fn finish(&mut self) {
        if let Content::Upstream { lease, .. } = &mut self.content
            && let Some(lease) = lease.take()
        {
            lease.give_back();
        }
        if let Some(mut exchange) = self.exchange.take() {
            exchange.complete();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let polled = match &mut this.content {
            Content::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Upstream { incoming, .. } => Pin::new(incoming).poll_frame(context),
        };
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => this.finish(),
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(exchange) = &mut this.exchange {
                    exchange.pass(frame);
                }
                if this.is_end_stream() {
                    this.finish();
                }
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(mut exchange) = this.exchange.take() {
                    exchange.broken_upstream(error);
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(bytes) => bytes.is_none(),
            Content::Upstream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Upstream { incoming, .. } => incoming.size_hint(),
        }
    }
}
