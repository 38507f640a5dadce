//! Reads request bodies within bounds: each by itself, and all together.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longest body in bytes, as in Istio.
pub const LONGEST: usize = 6 * 1024 * 1024;

/// Bytes of a body that is too long which are read and thrown away, so that the sender is done
/// sending and gets the answer.
const LONGEST_DISCARDED: usize = 64 * 1024 * 1024;

/// How long a body may take to arrive. The API server waits 10 s for the whole answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of all bodies being read at one time.
const TOTAL: usize = 4 * LONGEST;

/// The unit that memory is reserved in.
const UNIT: usize = 1024;

/// A body that cannot be used. The message is the answer's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection ended before the body did.
    #[error("the request body ended early")]
    Broken,
    /// There is no body.
    #[error("the request has no body; an AdmissionReview is expected")]
    Empty,
    /// The body did not arrive in time.
    #[error("the request body did not arrive within {} s", PATIENCE.as_secs())]
    Slow,
    /// The body is longer than allowed.
    #[error("the request body is longer than {LONGEST} bytes")]
    TooLong,
}

/// Memory for request bodies; who finds none left waits.
#[derive(Debug)]
pub struct BodyBudget(Semaphore);

impl Default for BodyBudget {
    fn default() -> Self {
        Self(Semaphore::new(TOTAL / UNIT))
    }
}

impl BodyBudget {
    /// Reads a body and hands it to `use_body` while its memory is reserved.
    ///
    /// # Errors
    /// When the body is empty, too long, too slow or broken off.
    pub async fn with<T>(
        &self,
        body: Body,
        declared: Option<usize>,
        use_body: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, BodyError> {
        let reading = async {
            if declared.is_some_and(|length| length > LONGEST) {
                discard(body).await;
                return Err(BodyError::TooLong);
            }
            let units = declared.unwrap_or(LONGEST).div_ceil(UNIT);
            let units = u32::try_from(units).unwrap_or(u32::MAX);
            let permit = self
                .0
                .acquire_many(units)
                .await
                .map_err(|_| BodyError::Broken)?;
            let bytes = read(body, declared.unwrap_or_default()).await?;
            Ok((permit, bytes))
        };
        let (_permit, bytes) = timeout(PATIENCE, reading)
            .await
            .map_err(|_| BodyError::Slow)??;
        if bytes.is_empty() {
            return Err(BodyError::Empty);
        }
        Ok(use_body(&bytes))
    }
}

async fn read(mut body: Body, expected: usize) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::with_capacity(expected);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > LONGEST {
            discard(body).await;
            return Err(BodyError::TooLong);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
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
