//! What `productpage` asks the other services, and what it says when they do not answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::metrics::Metrics;
use crate::bookinfo::fetch::Fetcher;
use crate::bookinfo::{END_USER, forwarded};

/// How long to wait for one answer.
const LIMIT: Duration = Duration::from_secs(3);
/// How often reviews are asked for before we give up.
const REVIEW_TRIES: usize = 2;

/// What another service answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// A good answer.
    Good(Value),
    /// An error's status, and the sentence that users see.
    Bad(StatusCode, &'static str),
}

impl Answer {
    /// The answer as our own API gives it.
    pub(super) fn into_json(self) -> (StatusCode, Json<Value>) {
        match self {
            Self::Good(body) => (StatusCode::OK, Json(body)),
            Self::Bad(status, error) => (status, Json(json!({"error": error}))),
        }
    }
}

/// Asks the other services; clones share connections and counters.
#[derive(Clone)]
pub(super) struct Calls {
    details: String,
    reviews: String,
    ratings: String,
    fetcher: Fetcher,
    metrics: Arc<Metrics>,
}

impl Calls {
    /// Calls services at these URLs, without a path.
    pub(super) fn new(details: String, reviews: String, ratings: String) -> Self {
        Self {
            details,
            reviews,
            ratings,
            fetcher: Fetcher::new(),
            metrics: Arc::default(),
        }
    }

    /// What was called so far, and with what result.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Facts about a book.
    pub(super) async fn details(&self, id: u64, headers: HeaderMap) -> Answer {
        let url = format!("{}/details/{id}", self.details);
        let sorry = "Sorry, product details are currently unavailable for this book.";
        self.call("details", &url, headers, sorry).await
    }

    /// What reviewers say, asked for again when the first try fails.
    pub(super) async fn reviews(&self, id: u64, headers: HeaderMap) -> Answer {
        let url = format!("{}/reviews/{id}", self.reviews);
        let sorry = "Sorry, product reviews are currently unavailable for this book.";
        for _ in 1..REVIEW_TRIES {
            let answer = self.call("reviews", &url, headers.clone(), sorry).await;
            if matches!(answer, Answer::Good(_)) {
                return answer;
            }
        }
        self.call("reviews", &url, headers, sorry).await
    }

    /// How many stars reviewers give.
    pub(super) async fn ratings(&self, id: u64, headers: HeaderMap) -> Answer {
        let url = format!("{}/ratings/{id}", self.ratings);
        let sorry = "Sorry, product ratings are currently unavailable for this book.";
        self.call("ratings", &url, headers, sorry).await
    }

    async fn call(
        &self,
        service: &'static str,
        url: &str,
        headers: HeaderMap,
        sorry: &'static str,
    ) -> Answer {
        let (status, body) = match self.fetcher.get(url, headers, LIMIT).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "A service did not answer.");
                (StatusCode::INTERNAL_SERVER_ERROR, Value::Null)
            }
        };
        self.metrics.count(service, status);
        if status == StatusCode::OK {
            Answer::Good(body)
        } else {
            Answer::Bad(status, sorry)
        }
    }
}

/// The headers of a call made for a request of a user.
pub(super) fn headers(request: &HeaderMap, user: Option<&str>) -> HeaderMap {
    let mut headers = forwarded(request);
    if let Some(Ok(user)) = user.map(|user| HeaderValue::from_bytes(user.as_bytes())) {
        headers.insert(END_USER, user);
    }
    headers
}
