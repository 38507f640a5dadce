//! Bookinfo's `productpage`: the page that people look at, made from what `details` and `reviews`
//! answer, and the same as JSON below `/api/v1/products`.

mod calls;
mod html;
mod metrics;
mod page;
mod session;

#[cfg(test)]
mod tests;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::calls::{Calls, Service};
use crate::server;

const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");

/// The books of the shop: a book's number is its place.
const PRODUCTS: [Product; 1] = [Product {
    id: 0,
    title: "The Comedy of Errors",
    description: "Two sets of identical twins, parted by a shipwreck, wander through the same town \
                  on the same day. Shakespeare's shortest play, and one of his earliest and most \
                  farcical: nearly everybody is mistaken for somebody else.",
    more: "https://en.wikipedia.org/wiki/The_Comedy_of_Errors",
}];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Port to listen on.
    #[arg(long, default_value_t = super::PORT)]
    port: u16,
}

pub(crate) async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    let calls = Calls::new(
        super::service_url("details", super::environment),
        super::service_url("reviews", super::environment),
        super::service_url("ratings", super::environment),
    );
    server::serve(
        server::listen(None, options.port).await?,
        router(calls),
        stop,
    )
    .await
}

/// A book in the shop.
struct Product {
    id: u64,
    title: &'static str,
    description: &'static str,
    /// Where to read more.
    more: &'static str,
}

fn router(calls: Calls) -> Router {
    let about = |service| get(move |calls, id, headers| about_product(service, calls, id, headers));
    Router::new()
        .route("/", get(index))
        .route("/index.html", get(index))
        .route("/productpage", get(product_page))
        .route("/login", post(login))
        .route("/logout", get(logout).post(logout))
        .route("/health", get(|| async { "Product page is healthy" }))
        .route("/metrics", get(metrics))
        .route(
            "/static/style.css",
            get(|| async { ([(header::CONTENT_TYPE, "text/css")], STYLE) }),
        )
        .route(
            "/static/icon.svg",
            get(|| async { ([(header::CONTENT_TYPE, "image/svg+xml")], ICON) }),
        )
        .route("/api/v1/products", get(products))
        .route("/api/v1/products/{id}", about(Service::Details))
        .route("/api/v1/products/{id}/reviews", about(Service::Reviews))
        .route("/api/v1/products/{id}/ratings", about(Service::Ratings))
        .with_state(calls)
}

async fn index() -> Html<String> {
    Html(page::index())
}

async fn product_page(State(calls): State<Calls>, headers: HeaderMap) -> Html<String> {
    let [product] = &PRODUCTS;
    let user = session::user(&headers);
    let sent = calls::headers(&headers, user.as_deref());
    let details = calls.ask(Service::Details, product.id, &sent).await;
    let reviews = calls.ask(Service::Reviews, product.id, &sent).await;
    Html(page::product(product, user.as_deref(), &details, &reviews))
}

#[derive(Deserialize)]
struct Login {
    username: String,
}

/// Lets anybody in, with any password.
async fn login(headers: HeaderMap, Form(login): Form<Login>) -> Response {
    (
        [(header::SET_COOKIE, session::begin(&login.username))],
        back(&headers),
    )
        .into_response()
}

async fn logout(headers: HeaderMap) -> Response {
    ([(header::SET_COOKIE, session::end())], back(&headers)).into_response()
}

/// To the page of ours where the user came from; never to another site.
fn back(headers: &HeaderMap) -> impl IntoResponse + use<> {
    let referer = headers
        .get(header::REFERER)
        .and_then(|value| value.to_str().ok());
    let path = referer
        .and_then(|referer| referer.parse::<axum::http::Uri>().ok())
        .and_then(|uri| uri.path_and_query().map(ToString::to_string))
        .filter(|path| path.starts_with('/') && !path.starts_with("//"));
    let target = path.unwrap_or_else(|| "/productpage".to_owned());
    (
        StatusCode::FOUND,
        Redirect::to(&target).into_response().headers().clone(),
    )
}

async fn metrics(State(calls): State<Calls>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        calls.metrics().to_string(),
    )
}

async fn products() -> Json<Value> {
    let products = PRODUCTS.each_ref().map(|product| {
        json!({
            "id": product.id,
            "title": product.title,
            "descriptionHtml": page::description(product),
        })
    });
    Json(json!(products))
}

/// What a service knows about one product.
async fn about_product(
    service: Service,
    State(calls): State<Calls>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    let Ok(id) = id.parse() else {
        return super::bad_product_id();
    };
    let sent = calls::headers(&headers, session::user(&headers).as_deref());
    calls.ask(service, id, &sent).await.into_json()
}
