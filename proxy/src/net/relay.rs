//! Bytes between two streams in both directions, each with its own end: half-closed connections
//! stay half open for as long as the other half lasts.
//!
//! No connection owns a buffer while it waits: a read goes into the thread's scratch buffer, and
//! only what the other side does not take at once is kept by the connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at a time.
const SCRATCH: usize = 64 * 1_024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// Is told about bytes that were relayed.
pub trait Counts {
    /// From the first stream to the second.
    fn forward(&self, bytes: usize);
    /// From the second stream to the first.
    fn back(&self, bytes: usize);
}

/// Counts nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoCounts;

/// How a relay ended.
#[derive(Debug)]
pub enum Relayed {
    /// Both sides said that they were done.
    Finished,
    /// The first stream failed.
    FirstFailed(io::Error),
    /// The second stream failed.
    SecondFailed(io::Error),
}

/// Relays until both directions have ended or one stream has failed.
pub async fn relay<A, B>(first: &mut A, second: &mut B, counts: &impl Counts) -> Relayed
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut forward = Half::default();
    let mut back = Half::default();
    poll_fn(|context| {
        let one = forward.poll(context, first, second, |bytes| counts.forward(bytes));
        if let Poll::Ready(Err(failure)) = one {
            return Poll::Ready(failure.into_relayed(true));
        }
        let other = back.poll(context, second, first, |bytes| counts.back(bytes));
        if let Poll::Ready(Err(failure)) = other {
            return Poll::Ready(failure.into_relayed(false));
        }
        if one.is_ready() && other.is_ready() {
            Poll::Ready(Relayed::Finished)
        } else {
            Poll::Pending
        }
    })
    .await
}

/// One direction.
#[derive(Default)]
struct Half {
    /// Read, but not yet taken by the writer.
    waiting: Bytes,
    state: HalfState,
    unflushed: bool,
}

#[derive(Default)]
enum HalfState {
    #[default]
    Open,
    /// The reader has ended; the writer is being told.
    Ending,
    Ended,
}

/// Which end of a direction failed.
enum Failure {
    Reader(io::Error),
    Writer(io::Error),
}

impl Failure {
    fn into_relayed(self, reader_is_first: bool) -> Relayed {
        match (self, reader_is_first) {
            (Self::Reader(error), true) | (Self::Writer(error), false) => {
                Relayed::FirstFailed(error)
            }
            (Self::Reader(error), false) | (Self::Writer(error), true) => {
                Relayed::SecondFailed(error)
            }
        }
    }
}

impl Half {
    fn poll<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        count: impl Fn(usize),
    ) -> Poll<Result<(), Failure>> {
        loop {
            match self.state {
                HalfState::Open => {
                    ready!(self.poll_waiting(context, writer)).map_err(Failure::Writer)?;
                    match self.poll_pass(context, reader, writer, &count)? {
                        Poll::Ready(true) => {}
                        Poll::Ready(false) => self.state = HalfState::Ending,
                        Poll::Pending => return self.poll_flush(context, writer),
                    }
                }
                HalfState::Ending => {
                    match ready!(Pin::new(&mut *writer).poll_shutdown(context)) {
                        // The peer closed as well: there is nobody left to tell.
                        Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                        result => result.map_err(Failure::Writer)?,
                    }
                    self.state = HalfState::Ended;
                }
                HalfState::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Writes what an earlier pass had to keep.
    fn poll_waiting<W: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<io::Result<()>> {
        while self.waiting.has_remaining() {
            let written = ready!(Pin::new(&mut *writer).poll_write(context, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
            self.unflushed = true;
        }
        self.waiting = Bytes::new();
        Poll::Ready(Ok(()))
    }

    /// Reads once and writes as much of it as the writer takes; false at the end.
    fn poll_pass<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        count: &impl Fn(usize),
    ) -> Result<Poll<bool>, Failure> {
        BUFFER.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(reader).poll_read(context, &mut buffer) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(result) => result.map_err(Failure::Reader)?,
            }
            let mut bytes = buffer.filled();
            if bytes.is_empty() {
                return Ok(Poll::Ready(false));
            }
            count(bytes.len());
            while !bytes.is_empty() {
                match Pin::new(&mut *writer).poll_write(context, bytes) {
                    Poll::Ready(Ok(0)) => {
                        return Err(Failure::Writer(io::ErrorKind::WriteZero.into()));
                    }
                    Poll::Ready(Ok(written)) => {
                        self.unflushed = true;
                        bytes = bytes.get(written..).unwrap_or_default();
                    }
                    Poll::Ready(Err(error)) => return Err(Failure::Writer(error)),
                    Poll::Pending => {
                        self.waiting = Bytes::copy_from_slice(bytes);
                        break;
                    }
                }
            }
            Ok(Poll::Ready(true))
        })
    }

    fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<Result<(), Failure>> {
        if self.unflushed
            && Pin::new(writer)
                .poll_flush(context)
                .map_err(Failure::Writer)?
                .is_ready()
        {
            self.unflushed = false;
        }
        Poll::Pending
    }
}

impl Counts for NoCounts {
    fn forward(&self, _: usize) {}
    fn back(&self, _: usize) {}
}
