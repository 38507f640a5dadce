//! Bookinfo's `details`: facts about a book.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::server;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Port to listen on.
    #[arg(long, default_value_t = super::PORT)]
    port: u16,
}

pub(crate) async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    server::serve(server::listen(None, options.port).await?, router(), stop).await
}

fn router() -> Router {
    Router::new()
        .route(
            "/health",
            get(|| async { Json(json!({"status": "Details is healthy"})) }),
        )
        .route("/details/{id}", get(details))
}

async fn details(Path(id): Path<String>) -> (StatusCode, Json<Value>) {
    let Ok(id) = id.parse::<u64>() else {
        return super::bad_product_id();
    };
    let facts = json!({
        "id": id,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    });
    (StatusCode::OK, Json(facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tells_facts_about_any_book() {
        let (status, Json(facts)) = details(Path("7".to_owned())).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!((&facts["id"], &facts["pages"]), (&json!(7), &json!(200)));
        let (status, _) = details(Path("seven".to_owned())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
}
