//! Reads request bodies within bounds: each by itself, those of one peer, and all together. Memory
//! counts once it is filled, not once it is announced, so that nobody can reserve it by promising.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use lateen_wire::slots::{Slot, Slots};
use tokio::time::timeout;

/// Longest body in bytes, as in Istio.
pub const LONGEST: usize = 6 * 1024 * 1024;

/// Bytes of a body that is too long which are read and thrown away, so that the sender is done
/// sending and gets the answer.
const LONGEST_DISCARDED: usize = 64 * 1024 * 1024;

/// How long a body may take to arrive. The API server waits 10 s for the whole answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The unit that memory is counted in, in bytes. Most reviews of pods are shorter.
const UNIT: usize = 16 * 1024;

/// Units of all bodies at one time,
const UNITS: usize = 4 * LONGEST / UNIT;

/// and of those of one peer: two of the longest, or a review on each of its connections.
const UNITS_OF_ONE_PEER: usize = UNITS / 2;

/// A body that cannot be used. The message is the answer's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection ended before the body did.
    #[error("the request body ended early")]
    Broken,
    /// There is no body.
    #[error("the request has no body; an AdmissionReview is expected")]
    Empty,
    /// Other bodies take all the memory there is for bodies, or for those of this peer.
    #[error("there is no memory left for the request body; try again")]
    NoMemory,
    /// The body did not arrive in time.
    #[error("the request body did not arrive within {} s", PATIENCE.as_secs())]
    Slow,
    /// The body is longer than allowed.
    #[error("the request body is longer than {LONGEST} bytes")]
    TooLong,
}

/// Memory for request bodies.
#[derive(Debug)]
pub struct BodyBudget(Slots);

impl Default for BodyBudget {
    fn default() -> Self {
        Self(Slots::new(UNITS, UNITS_OF_ONE_PEER))
    }
}

/// What has arrived of a body, and the memory it takes.
#[derive(Default)]
struct Arrived {
    bytes: Vec<u8>,
    units: Vec<Slot>,
}

impl BodyBudget {
    /// Reads the body of a peer's request and hands it to `use_body`.
    ///
    /// # Errors
    /// When the body is empty, too long, too slow or broken off, or there is no memory for it.
    pub async fn with<T>(
        &self,
        peer: IpAddr,
        body: Body,
        declared: Option<usize>,
        use_body: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, BodyError> {
        let reading = async {
            if declared.is_some_and(|length| length > LONGEST) {
                discard(body).await;
                return Err(BodyError::TooLong);
            }
            self.read(peer, body).await
        };
        let arrived = timeout(PATIENCE, reading)
            .await
            .map_err(|_| BodyError::Slow)??;
        if arrived.bytes.is_empty() {
            return Err(BodyError::Empty);
        }
        Ok(use_body(&arrived.bytes))
    }

    async fn read(&self, peer: IpAddr, mut body: Body) -> Result<Arrived, BodyError> {
        let mut arrived = Arrived::default();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
                continue;
            };
            let length = arrived.bytes.len() + data.len();
            if length > LONGEST {
                discard(body).await;
                return Err(BodyError::TooLong);
            }
            while arrived.units.len() < length.div_ceil(UNIT) {
                let unit = self.0.take(peer).map_err(|_| BodyError::NoMemory)?;
                arrived.units.push(unit);
            }
            arrived.bytes.extend_from_slice(&data);
        }
        Ok(arrived)
    }
}

async fn discard(mut body: Body) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, |data| data.len());
        if discarded > LONGEST_DISCARDED {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::Ipv4Addr;

    use bytes::Bytes;
    use futures::{StreamExt, stream};

    use super::*;

    const HOSTILE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 6));
    const API_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    /// A body that stops in the middle and never ends.
    fn stuck(length: usize) -> Body {
        let first = Ok::<_, Infallible>(Bytes::from(vec![b' '; length]));
        Body::from_stream(stream::iter([first]).chain(stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn memory_counts_as_it_is_filled_and_is_given_back() {
        let budget = BodyBudget::default();
        let promised = || budget.with(HOSTILE, stuck(1), Some(LONGEST), <[u8]>::len);
        let promises = futures::future::join_all((0..UNITS_OF_ONE_PEER).map(|_| promised()));
        let whole = async {
            let body = || Body::from(vec![b' '; LONGEST]);
            let read = budget.with(API_SERVER, body(), Some(LONGEST), <[u8]>::len);
            assert_eq!(read.await, Ok(LONGEST));
            let read = budget.with(API_SERVER, body(), None, <[u8]>::len);
            assert_eq!(read.await, Ok(LONGEST));
        };
        let (promises, ()) = tokio::join!(promises, whole);
        assert!(promises.iter().all(|end| *end == Err(BodyError::Slow)));
        let read = budget.with(HOSTILE, Body::from("x"), None, <[u8]>::len);
        assert_eq!(read.await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_fills_their_share_keeps_nobody_else_out() {
        let budget = BodyBudget::default();
        let hoarded = (0..4).map(|_| budget.with(HOSTILE, stuck(LONGEST), None, <[u8]>::len));
        let reviewed = async {
            let read = budget.with(API_SERVER, Body::from("x"), Some(1), <[u8]>::len);
            assert_eq!(read.await, Ok(1));
            let read = budget.with(HOSTILE, Body::from("x"), Some(1), <[u8]>::len);
            assert_eq!(read.await, Err(BodyError::NoMemory));
        };
        let (ends, ()) = tokio::join!(futures::future::join_all(hoarded), reviewed);
        let [first, .., last] = ends.as_slice() else {
            unreachable!("there are four")
        };
        assert_eq!(
            (*first, *last),
            (Err(BodyError::Slow), Err(BodyError::NoMemory))
        );
    }
}
