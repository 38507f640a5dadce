//! Calls another service of Bookinfo: HTTP/1.1 with keep-alive, a time limit, JSON back.

use std::time::Duration;

use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;

/// Largest answer that is read.
const MAX_ANSWER: usize = 1 << 20;

/// Calls other services; clones share their connections.
#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// No answer came.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no answer from {url} within {limit:?}")]
    TimedOut { url: String, limit: Duration },
    #[error("cannot call {url}: {reason}")]
    Failed { url: String, reason: String },
}

impl Fetcher {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { client }
    }

    /// The status and the JSON body (`null` if there is none) of `GET url`.
    pub(super) async fn get(
        &self,
        url: &str,
        headers: HeaderMap,
        limit: Duration,
    ) -> Result<(StatusCode, Value), FetchError> {
        tokio::time::timeout(limit, self.get_without_limit(url, headers))
            .await
            .map_err(|_| FetchError::TimedOut {
                url: url.to_owned(),
                limit,
            })?
            .map_err(|error| FetchError::Failed {
                url: url.to_owned(),
                reason: format!("{error:#}"),
            })
    }

    async fn get_without_limit(
        &self,
        url: &str,
        headers: HeaderMap,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let mut request = Request::get(url).body(Empty::new())?;
        request.headers_mut().extend(headers);
        let (head, body) = self.client.request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let bytes = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        Ok((
            head.status,
            serde_json::from_slice(&bytes).unwrap_or_default(),
        ))
    }
}
