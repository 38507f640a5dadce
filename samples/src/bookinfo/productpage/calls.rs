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

/// A service that knows something about books.
#[derive(Clone, Copy, Debug)]
pub(super) enum Service {
    /// Facts about a book.
    Details,
    /// How many stars reviewers give.
    Ratings,
    /// What reviewers say.
    Reviews,
}

impl Service {
    /// Its name, which is also the first part of its paths.
    const fn name(self) -> &'static str {
        match self {
            Self::Details => "details",
            Self::Ratings => "ratings",
            Self::Reviews => "reviews",
        }
    }

    /// How often it is asked before we give up.
    const fn tries(self) -> usize {
        match self {
            Self::Details | Self::Ratings => 1,
            Self::Reviews => 2,
        }
    }
}

/// What another service answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// A good answer.
    Good(Value),
    /// An error's status, and the sentence that users see.
    Bad(StatusCode, String),
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

    /// What a service knows about a book.
    pub(super) async fn ask(&self, service: Service, id: u64, headers: &HeaderMap) -> Answer {
        let base = match service {
            Service::Details => &self.details,
            Service::Ratings => &self.ratings,
            Service::Reviews => &self.reviews,
        };
        let name = service.name();
        let url = format!("{base}/{name}/{id}");
        let mut answer = self.call(name, &url, headers).await;
        for _ in 1..service.tries() {
            if answer.is_ok() {
                break;
            }
            answer = self.call(name, &url, headers).await;
        }
        match answer {
            Ok(body) => Answer::Good(body),
            Err(status) => Answer::Bad(
                status,
                format!("Sorry, product {name} are currently unavailable for this book."),
            ),
        }
    }

    async fn call(
        &self,
        service: &'static str,
        url: &str,
        headers: &HeaderMap,
    ) -> Result<Value, StatusCode> {
        let (status, body) = match self.fetcher.get(url, headers.clone(), LIMIT).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "A service did not answer.");
                (StatusCode::INTERNAL_SERVER_ERROR, Value::Null)
            }
        };
        self.metrics.count(service, status);
        if status == StatusCode::OK {
            Ok(body)
        } else {
            Err(status)
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
