//! The body of a request on its way to an endpoint. What passes is kept, up to 64 KiB, until the
//! response has begun, so that a request that was certainly not executed can be sent to another
//! endpoint with the same body.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;

use super::grpc::MessageCounter;

/// Bytes that are kept for another attempt.
const KEPT: usize = 64 * 1_024;

/// Where a body comes from; shared by the attempts to send it.
#[derive(Clone, Debug)]
pub struct Source {
    inner: Option<Arc<Mutex<Inner>>>,
}

/// The body as one attempt sends it.
#[derive(Debug)]
pub struct RequestBody {
    inner: Option<Arc<Mutex<Inner>>>,
    attempt: u32,
    /// Kept frames that this attempt has sent.
    sent: usize,
}

/// The body cannot be sent to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client's connection failed.
    #[error("the client's request ended early: {0}")]
    Client(#[from] hyper::Error),
    /// A later attempt has taken the body over.
    #[error("the request is sent elsewhere")]
    Superseded,
}

#[derive(Debug)]
struct Inner {
    incoming: Incoming,
    attempt: u32,
    kept: Kept,
    /// The client's connection failed: the fault of a broken request is its own.
    client_failed: bool,
    bytes: u64,
    messages: Option<MessageCounter>,
}

/// What has passed, for another attempt.
#[derive(Debug, Default)]
struct Kept {
    /// While nothing is missing from them.
    frames: Vec<Bytes>,
    bytes: usize,
    keeping: Keeping,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Keeping {
    /// Everything that passed is kept.
    #[default]
    All,
    /// Nobody will ask for it again.
    Nothing,
    /// Something passed that was not kept: the body cannot be sent again.
    Lost,
}

impl Source {
    /// Takes a body over; messages are counted in gRPC requests.
    #[must_use]
    pub fn new(incoming: Incoming, is_grpc: bool) -> Self {
        if incoming.is_end_stream() {
            return Self { inner: None };
        }
        Self {
            inner: Some(Arc::new(Mutex::new(Inner {
                incoming,
                attempt: 0,
                kept: Kept::default(),
                client_failed: false,
                bytes: 0,
                messages: is_grpc.then(MessageCounter::default),
            }))),
        }
    }

    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self { inner: None }
    }

    /// The body for the next attempt; an earlier attempt gets nothing more.
    #[must_use]
    pub fn attempt(&self) -> RequestBody {
        let attempt = self.inner.as_ref().map_or(0, |inner| {
            let mut inner = inner.lock();
            inner.attempt += 1;
            inner.attempt
        });
        RequestBody {
            inner: self.inner.clone(),
            attempt,
            sent: 0,
        }
    }

    /// Whether another attempt could send the whole body.
    #[must_use]
    pub fn can_repeat(&self) -> bool {
        self.inner
            .as_ref()
            .is_none_or(|inner| inner.lock().kept.keeping == Keeping::All)
    }

    /// Says that there will be no further attempt.
    pub fn settle(&self) {
        if let Some(inner) = &self.inner {
            inner.lock().kept.settle();
        }
    }

    /// Bytes and gRPC messages that have passed.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        self.inner.as_ref().map_or((0, 0), |inner| {
            let inner = inner.lock();
            (
                inner.bytes,
                inner.messages.map_or(0, |counter| counter.messages),
            )
        })
    }

    /// Whether the client's side of the body broke.
    #[must_use]
    pub fn client_failed(&self) -> bool {
        self.inner
            .as_ref()
            .is_some_and(|inner| inner.lock().client_failed)
    }
}

impl Inner {
    fn poll_incoming(
        &mut self,
        context: &mut Context<'_>,
        sent: &mut usize,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(context);
        if let Poll::Ready(Some(frame)) = &polled {
            match frame {
                Ok(frame) => match frame.data_ref() {
                    Some(data) => self.pass(data, sent),
                    // Trailers are read once: a body that has them all is not repeated.
                    None => self.kept.lose(),
                },
                Err(_) => self.client_failed = true,
            }
        }
        polled.map_err(BodyError::from)
    }

    fn pass(&mut self, data: &Bytes, sent: &mut usize) {
        self.bytes += data.len() as u64;
        if let Some(counter) = &mut self.messages {
            counter.count(data);
        }
        if self.kept.keep(data) {
            *sent = self.kept.frames.len();
        }
    }
}

impl Kept {
    /// Keeps a frame, if everything before it was kept and there is room. Empty ones are nothing
    /// to repeat, and their number has no limit.
    fn keep(&mut self, data: &Bytes) -> bool {
        if self.keeping != Keeping::All || data.is_empty() {
            return false;
        }
        if self.bytes + data.len() > KEPT {
            self.lose();
            return false;
        }
        self.bytes += data.len();
        self.frames.push(data.clone());
        true
    }

    fn settle(&mut self) {
        if self.keeping == Keeping::All {
            self.keeping = Keeping::Nothing;
        }
    }

    fn lose(&mut self) {
        *self = Self {
            keeping: Keeping::Lost,
            ..Self::default()
        };
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(inner) = &this.inner else {
            return Poll::Ready(None);
        };
        let mut inner = inner.lock();
        if inner.attempt != this.attempt {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(frame) = inner.kept.frames.get(this.sent) {
            this.sent += 1;
            return Poll::Ready(Some(Ok(Frame::data(frame.clone()))));
        }
        inner.poll_incoming(context, &mut this.sent)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| {
            let inner = inner.lock();
            self.sent >= inner.kept.frames.len() && inner.incoming.is_end_stream()
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(inner) = &self.inner else {
            return SizeHint::with_exact(0);
        };
        let inner = inner.lock();
        let kept: u64 = inner
            .kept
            .frames
            .iter()
            .skip(self.sent)
            .map(|frame| frame.len() as u64)
            .sum();
        let rest = inner.incoming.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + kept);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + kept);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_kept_up_to_a_size_and_empty_ones_not_at_all() {
        let mut kept = Kept::default();
        assert!(kept.keep(&Bytes::from_static(b"one")));
        for _ in 0..1_000 {
            assert!(!kept.keep(&Bytes::new()));
        }
        assert_eq!((kept.frames.len(), kept.keeping), (1, Keeping::All));
        assert!(!kept.keep(&Bytes::from(vec![0; KEPT])));
        assert_eq!((kept.frames.len(), kept.keeping), (0, Keeping::Lost));
    }
}
