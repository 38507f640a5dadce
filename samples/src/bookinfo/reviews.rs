//! Bookinfo's `reviews`: what two reviewers say. Version 1 shows no stars, version 2 black and
//! version 3 red ones, which it asks `ratings` for.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::fetch::Fetcher;
use crate::server;

const TEXTS: [(&str, &str); 2] = [
    (
        "Reviewer1",
        "Two pairs of twins and not a dull scene between them. I laughed until the end.",
    ),
    (
        "Reviewer2",
        "Great fun, though it lacks the depth of the plays that came after it.",
    ),
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which version to be.
    #[arg(long, value_enum, default_value = "v1")]
    version: Version,
    /// Port to listen on.
    #[arg(long, default_value_t = super::PORT)]
    port: u16,
}

/// What sets the versions apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Version {
    /// No stars.
    V1,
    /// Black stars; waits ten seconds for them.
    V2,
    /// Red stars; waits two and a half seconds for them.
    V3,
}

impl Version {
    /// The colour of the stars and how long to wait for them.
    const fn stars(self) -> Option<(&'static str, Duration)> {
        match self {
            Self::V1 => None,
            Self::V2 => Some(("black", Duration::from_secs(10))),
            Self::V3 => Some(("red", Duration::from_millis(2500))),
        }
    }
}

pub(crate) async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    let reviews = Reviews {
        version: options.version,
        ratings: super::service_url("ratings", super::environment),
        pod: server::pod_name(),
        cluster: super::environment("CLUSTER_NAME").unwrap_or_else(|| "null".to_owned()),
        fetcher: Fetcher::new(),
    };
    server::serve(
        server::listen(None, options.port).await?,
        router(reviews),
        stop,
    )
    .await
}

#[derive(Clone)]
struct Reviews {
    version: Version,
    /// URL of `ratings`.
    ratings: String,
    pod: String,
    cluster: String,
    fetcher: Fetcher,
}

#[derive(Serialize)]
struct Review {
    reviewer: &'static str,
    text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<Value>,
}

fn router(reviews: Reviews) -> Router {
    Router::new()
        .route(
            "/health",
            get(|| async { Json(json!({"status": "Reviews is healthy"})) }),
        )
        .route("/reviews/{id}", get(answer))
        .with_state(reviews)
}

async fn answer(
    State(service): State<Reviews>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    let Ok(number) = id.parse::<u64>() else {
        return super::bad_product_id();
    };
    let stars = match service.version.stars() {
        None => None,
        Some((colour, limit)) => {
            Some((colour, ask_ratings(&service, number, &headers, limit).await))
        }
    };
    let reviews: Vec<Review> = TEXTS
        .into_iter()
        .map(|(reviewer, text)| {
            let rating = stars
                .as_ref()
                .map(|(colour, stars)| rating(reviewer, colour, stars));
            Review {
                reviewer,
                text,
                rating,
            }
        })
        .collect();
    let answer = json!({
        "id": id,
        "podname": service.pod,
        "clustername": service.cluster,
        "reviews": reviews,
    });
    (StatusCode::OK, Json(answer))
}

/// Stars by reviewer, or `None` when `ratings` does not answer well or in time.
async fn ask_ratings(
    service: &Reviews,
    id: u64,
    headers: &HeaderMap,
    limit: Duration,
) -> Option<Value> {
    let mut sent = super::forwarded(headers);
    if let Some(user) = headers.get(super::END_USER) {
        sent.insert(super::END_USER, user.clone());
    }
    let url = format!("{}/ratings/{id}", service.ratings);
    match service.fetcher.get(&url, sent, limit).await {
        Ok((StatusCode::OK, mut answer)) => answer.get_mut("ratings").map(Value::take),
        Ok((status, _)) => {
            tracing::warn!(%url, %status, "Ratings answered with an error.");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "Ratings did not answer.");
            None
        }
    }
}

fn rating(reviewer: &str, colour: &str, stars: &Option<Value>) -> Value {
    match stars.as_ref().and_then(|stars| stars.get(reviewer)) {
        Some(number) => json!({"stars": number, "color": colour}),
        None => json!({"error": "Ratings service is currently unavailable"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(version: Version, ratings: &str) -> State<Reviews> {
        State(Reviews {
            version,
            ratings: ratings.to_owned(),
            pod: "reviews-0".to_owned(),
            cluster: "null".to_owned(),
            fetcher: Fetcher::new(),
        })
    }

    /// A `ratings` that answers with a status; its URL.
    async fn ratings(status: StatusCode) -> String {
        let listener = server::listen(Some([127, 0, 0, 1].into()), 0)
            .await
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stars = json!({"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}});
        let answer = get(move || async move { (status, Json(stars)) });
        let router = Router::new().route("/ratings/0", answer);
        tokio::spawn(server::serve(listener, router, CancellationToken::new()));
        url
    }

    async fn ask(version: Version, ratings: &str) -> Value {
        let (status, Json(body)) = answer(
            service(version, ratings),
            Path("0".to_owned()),
            HeaderMap::new(),
        )
        .await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            (&body["id"], &body["podname"]),
            (&json!("0"), &json!("reviews-0"))
        );
        body
    }

    #[tokio::test]
    async fn the_first_version_has_no_stars_and_asks_nobody() {
        let body = ask(Version::V1, "http://127.0.0.1:1").await;
        assert_eq!(body["reviews"][0]["reviewer"], "Reviewer1");
        assert_eq!(body["reviews"][0].get("rating"), None);
    }

    #[tokio::test]
    async fn later_versions_have_stars_in_their_colour() {
        let url = ratings(StatusCode::OK).await;
        for (version, colour) in [(Version::V2, "black"), (Version::V3, "red")] {
            let body = ask(version, &url).await;
            assert_eq!(
                body["reviews"][1]["rating"],
                json!({"stars": 4, "color": colour})
            );
        }
    }

    #[tokio::test]
    async fn reviews_are_there_even_when_ratings_fails() {
        for url in [
            ratings(StatusCode::INTERNAL_SERVER_ERROR).await,
            "http://127.0.0.1:1".into(),
        ] {
            let rating = &ask(Version::V3, &url).await["reviews"][0]["rating"];
            assert_eq!(rating["error"], "Ratings service is currently unavailable");
        }
    }
}
