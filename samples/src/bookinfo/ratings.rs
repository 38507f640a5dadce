//! Bookinfo's `ratings`: how many stars reviewers give.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::server;

/// Most books whose ratings are remembered.
const MAX_RATED: usize = 1000;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Port to listen on.
    #[arg(long, default_value_t = super::PORT)]
    port: u16,
}

pub(crate) async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    server::serve(server::listen(None, options.port).await?, router(), stop).await
}

/// Stars by reviewer.
type Stars = BTreeMap<String, u8>;
/// What was posted, by book.
type Posted = Arc<Mutex<HashMap<u64, Stars>>>;

fn router() -> Router {
    Router::new()
        .route(
            "/health",
            get(|| async { Json(json!({"status": "Ratings is healthy"})) }),
        )
        .route("/ratings/{id}", get(ratings).post(rate))
        .with_state(Posted::default())
}

async fn ratings(
    State(posted): State<Posted>,
    Path(id): Path<String>,
) -> (StatusCode, Json<Value>) {
    let Ok(id) = id.parse::<u64>() else {
        return super::bad_product_id();
    };
    let posted = posted.lock().unwrap_or_else(PoisonError::into_inner);
    let stars = posted.get(&id).cloned().unwrap_or_else(usual);
    (StatusCode::OK, Json(json!({"id": id, "ratings": stars})))
}

async fn rate(
    State(posted): State<Posted>,
    Path(id): Path<String>,
    Json(stars): Json<Stars>,
) -> (StatusCode, Json<Value>) {
    let Ok(id) = id.parse::<u64>() else {
        return super::bad_product_id();
    };
    let mut posted = posted.lock().unwrap_or_else(PoisonError::into_inner);
    if posted.len() < MAX_RATED || posted.contains_key(&id) {
        posted.insert(id, stars.clone());
    }
    (StatusCode::OK, Json(json!({"id": id, "ratings": stars})))
}

fn usual() -> Stars {
    [("Reviewer1".to_owned(), 5), ("Reviewer2".to_owned(), 4)].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_the_usual_stars_until_others_are_posted() {
        let (posted, id) = (Posted::default(), || Path("0".to_owned()));
        let (_, Json(answer)) = ratings(State(posted.clone()), id()).await;
        assert_eq!(
            answer,
            json!({"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}})
        );
        let (status, _) = rate(
            State(posted.clone()),
            id(),
            Json([("Reviewer1".to_owned(), 1)].into()),
        )
        .await;
        assert_eq!(status, StatusCode::OK);
        let (_, Json(answer)) = ratings(State(posted), id()).await;
        assert_eq!(answer, json!({"id": 0, "ratings": {"Reviewer1": 1}}));
    }

    #[tokio::test]
    async fn refuses_what_is_not_a_number() {
        let (status, _) = ratings(State(Posted::default()), Path("x".to_owned())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
}
