//! What is served where: `/inject`, `/validate` and `/ready` to the API server over TLS, `/metrics`
//! and `/ready` to the kubelet and Prometheus in plain HTTP.

use std::net::IpAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use rustls_pki_types::UnixTime;
use tokio::time::Instant;

use super::Shared;
use super::body::BodyError;
use super::review::{Answerer, NoReview, Object, Question};
use crate::inject::{Outcome, Target};
use crate::parameters::Parameters;
use crate::patch;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the API server may ask.
pub fn admission(shared: Shared) -> Router {
    Router::new()
        .route("/inject", post(inject))
        .route("/inject/", post(inject))
        .route("/inject/{*parameters}", post(inject_with_parameters))
        .route("/validate", post(validate))
        .route("/validate/{*parameters}", post(validate))
        .route("/ready", get(ready))
        .with_state(shared)
}

/// What the kubelet and Prometheus may ask.
pub fn monitoring(shared: Shared) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/ready", get(ready))
        .with_state(shared)
}

/// A request that is answered with an HTTP error.
#[derive(Debug, thiserror::Error)]
enum BadRequest {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the content type is {0:?}; application/json is expected")]
    ContentType(String),
    #[error(transparent)]
    Review(#[from] NoReview),
}

impl IntoResponse for BadRequest {
    fn into_response(self) -> Response {
        let status = match self {
            Self::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(BodyError::NoMemory) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(_) | Self::Review(_) => StatusCode::BAD_REQUEST,
        };
        (status, self.to_string()).into_response()
    }
}

async fn inject(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<IpAddr>,
    request: Request,
) -> Response {
    answer(&shared, peer, request, &Parameters::default()).await
}

async fn inject_with_parameters(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<IpAddr>,
    Path(path): Path<String>,
    request: Request,
) -> Response {
    answer(&shared, peer, request, &Parameters::parse(&path)).await
}

async fn answer(
    shared: &Shared,
    peer: IpAddr,
    request: Request,
    parameters: &Parameters,
) -> Response {
    let answer = on_body(shared, peer, request, |bytes| {
        let start = Instant::now();
        let question = Question::parse(bytes)?;
        let answer = review(shared, question, parameters);
        shared.metrics.time.observe(start.elapsed().as_secs_f64());
        Ok(answer)
    });
    respond(shared, answer.await)
}

/// Istio's resources are checked here once their checks exist; until then all that can be read is
/// allowed.
async fn validate(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<IpAddr>,
    request: Request,
) -> Response {
    let answer = on_body(&shared, peer, request, |bytes| {
        let (_, _, answerer) = Question::parse_other(bytes, String::new())?.into_parts();
        Ok(answerer.allow(None, &[]))
    });
    respond(&shared, answer.await)
}

fn respond(shared: &Shared, answer: Result<Vec<u8>, BadRequest>) -> Response {
    match answer {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(error) => {
            shared.metrics.bad_requests.inc();
            tracing::warn!(%error, "Refused a request that is no admission review.");
            error.into_response()
        }
    }
}

/// Hands the body of a request to `use_body`, if it may hold JSON.
async fn on_body<T>(
    shared: &Shared,
    peer: IpAddr,
    request: Request<Body>,
    use_body: impl FnOnce(&[u8]) -> Result<T, BadRequest>,
) -> Result<T, BadRequest> {
    let (parts, body) = request.into_parts();
    let declared = declared_length(&parts.headers);
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let is_json = content_type
        .split(';')
        .next()
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        return Err(BadRequest::ContentType(content_type.to_owned()));
    }
    shared.bodies.with(peer, body, declared, use_body).await?
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Answers one review, and counts how it went.
fn review(shared: &Shared, question: Question, parameters: &Parameters) -> Vec<u8> {
    let (object, namespace, answerer) = question.into_parts();
    let pod = match object {
        Object::Other => {
            shared.metrics.bad_requests.inc();
            return answerer.allow(None, &[]);
        }
        Object::Pod(pod) => pod,
        Object::UnreadablePod(error) => {
            shared.metrics.requests.inc();
            return refuse(
                shared,
                &answerer,
                &namespace,
                400,
                &format!("cannot read the pod: {error}"),
            );
        }
    };
    shared.metrics.requests.inc();
    let injector = shared.injector.borrow().clone();
    let Some(injector) = injector else {
        let message = "the injector has no valid configuration; see its log";
        return refuse(shared, &answerer, &namespace, 503, message);
    };
    let cluster = match shared.cluster.now() {
        Ok(cluster) => cluster,
        Err(unknown) => {
            let message = format!("the injector is not ready: {unknown}; see its log");
            return refuse(shared, &answerer, &namespace, 503, &message);
        }
    };
    let target = Target {
        namespace: &namespace,
        parameters,
        cluster: &cluster,
        owner: None,
    };
    match injector.inject(&pod, &target) {
        Ok(Outcome::Injected(injection)) => {
            shared.metrics.success.inc();
            let patch = patch::diff(*pod, *injection.pod);
            answerer.allow(Some(&patch), &injection.warnings)
        }
        Ok(Outcome::AlreadyInjected) => {
            shared.metrics.skip.inc();
            answerer.allow(None, &[])
        }
        Ok(Outcome::Skipped { warnings, .. }) => {
            shared.metrics.skip.inc();
            answerer.allow(None, &warnings)
        }
        Err(error) => refuse(shared, &answerer, &namespace, 400, &error.to_string()),
    }
}

fn refuse(
    shared: &Shared,
    answerer: &Answerer,
    namespace: &str,
    code: u16,
    message: &str,
) -> Vec<u8> {
    shared.metrics.failure.inc();
    tracing::warn!(namespace, error = message, "Refused a pod.");
    answerer.deny(code, message)
}

async fn ready(State(shared): State<Shared>) -> Response {
    let obstacles = shared.readiness.obstacles(UnixTime::now());
    if obstacles.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, obstacles.join("\n") + "\n").into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match shared.metrics.page() {
        Ok(page) => ([(header::CONTENT_TYPE, OPEN_METRICS)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
