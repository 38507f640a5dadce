//! A work-alike of go-httpbin, the server that Istio's tasks ask: it answers requests with what it
//! saw of them, or as they ask it to.

mod behaviour;
mod saw;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::routing::{any, delete, get, patch, post, put};
use tokio_util::sync::CancellationToken;

use crate::server;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Port to listen on.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
}

pub(crate) async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    server::serve(server::listen(None, options.port).await?, router(), stop).await
}

fn router() -> Router {
    Router::new()
        .route("/", get(behaviour::index))
        .route("/anything", any(saw::with_body))
        .route("/anything/{*rest}", any(saw::with_body))
        .route("/basic-auth/{user}/{password}", get(behaviour::basic_auth))
        .route("/bytes/{size}", get(behaviour::bytes))
        .route("/cookies", get(saw::cookies))
        .route("/cookies/set", get(behaviour::set_cookies))
        .route("/delay/{seconds}", any(behaviour::delay))
        .route("/delete", delete(saw::with_body))
        .route("/get", get(saw::without_body))
        .route("/headers", get(saw::headers))
        .route("/hostname", get(behaviour::hostname))
        .route("/ip", get(saw::ip))
        .route("/patch", patch(saw::with_body))
        .route("/post", post(saw::with_body))
        .route("/put", put(saw::with_body))
        .route("/redirect/{count}", get(behaviour::redirect))
        .route("/relative-redirect/{count}", get(behaviour::redirect))
        .route("/status/{codes}", any(behaviour::status))
        .route("/stream/{lines}", get(behaviour::stream))
        .route("/user-agent", get(saw::user_agent))
        .route("/uuid", get(behaviour::uuid))
        .route("/websocket/echo", get(behaviour::websocket))
}
