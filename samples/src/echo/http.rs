//! Answers HTTP requests with what was seen of them and by whom. Queries ask for more:
//! `?status=503`, `?delay=0.5` (seconds), `?size=1024` (bytes in place of JSON).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, FromRequestParts as _, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use serde::Deserialize;
use serde_json::json;

use crate::grpc;
use crate::server::Ends;

/// Header with the name of the pod that answered.
pub(crate) const POD: HeaderName = HeaderName::from_static("x-pod");

/// Largest body of a gRPC request.
const MAX_MESSAGE: usize = 4 << 20;
/// Most bytes of `?size=`.
const MAX_SIZE: usize = 64 << 20;

/// Answers every path in the name of a pod.
pub(crate) fn router(name: String) -> Router {
    Router::new().fallback(answer).with_state(Arc::from(name))
}

async fn answer(
    State(pod): State<Arc<str>>,
    ConnectInfo(ends): ConnectInfo<Ends>,
    request: Request,
) -> Response {
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .map(HeaderValue::as_bytes);
    let mut response = if content_type.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        answer_grpc(&pod, ends, request).await
    } else if request.headers().contains_key(header::SEC_WEBSOCKET_KEY) {
        answer_websocket(request).await
    } else {
        answer_http(&pod, ends, request).await
    };
    if let Ok(pod) = HeaderValue::from_str(&pod) {
        response.headers_mut().insert(POD, pod);
    }
    response
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    status: Option<u16>,
    delay: f64,
    size: Option<usize>,
}

async fn answer_http(pod: &str, ends: Ends, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Query(wanted) = Query::<Wanted>::try_from_uri(&head.uri).unwrap_or_default();
    let body_bytes = count(body).await;
    if let Ok(delay) = Duration::try_from_secs_f64(wanted.delay) {
        tokio::time::sleep(delay).await;
    }
    let status = wanted
        .status
        .and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(StatusCode::OK);
    if let Some(size) = wanted.size {
        return (status, vec![b'x'; size.min(MAX_SIZE)]).into_response();
    }
    let authority = head.uri.authority().map(ToString::to_string);
    let seen = json!({
        "pod": pod,
        "protocol": version(head.version),
        "method": head.method.as_str(),
        "authority": authority.or_else(|| text(head.headers.get(header::HOST)?)),
        "path": head.uri.path_and_query().map(|path| path.as_str()),
        "headers": lists(&head.headers),
        "body_bytes": body_bytes,
        "peer": ends.peer,
        "local": ends.local,
    });
    (status, Json(seen)).into_response()
}

/// Reads a body to its end without keeping it.
async fn count(mut body: Body) -> usize {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    bytes
}

fn lists(headers: &HeaderMap) -> BTreeMap<&str, Vec<String>> {
    headers
        .keys()
        .map(|name| {
            (
                name.as_str(),
                headers.get_all(name).iter().filter_map(text).collect(),
            )
        })
        .collect()
}

fn text(value: &HeaderValue) -> Option<String> {
    value.to_str().ok().map(str::to_owned)
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

async fn answer_websocket(request: Request) -> Response {
    let (mut head, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut head, &()).await {
        Ok(upgrade) => upgrade.on_upgrade(echo_messages),
        Err(rejection) => rejection.into_response(),
    }
}

async fn echo_messages(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let echoed = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await,
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(()),
        };
        if echoed.is_err() {
            return;
        }
    }
}

async fn answer_grpc(pod: &str, ends: Ends, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let body = Limited::new(request.into_body(), MAX_MESSAGE)
        .collect()
        .await;
    let message = body.map(|body| body.to_bytes()).unwrap_or_default();
    match path.as_str() {
        grpc::HEALTH => grpc_answer(grpc::Status::Ok, grpc::frame(&grpc::HealthReply::SERVING)),
        grpc::ECHO => match grpc::unframe::<grpc::EchoRequest>(message) {
            Some(request) => {
                let (pod, peer) = (pod.to_owned(), ends.peer.to_string());
                let reply = grpc::EchoReply {
                    message: request.message,
                    pod,
                    peer,
                };
                grpc_answer(grpc::Status::Ok, grpc::frame(&reply))
            }
            None => grpc_answer(grpc::Status::InvalidArgument, Bytes::new()),
        },
        _ => grpc_answer(grpc::Status::Unimplemented, Bytes::new()),
    }
}

fn grpc_answer(status: grpc::Status, message: Bytes) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status.as_str()));
    let body = Full::new(message).with_trailers(std::future::ready(Some(Ok(trailers))));
    (
        [(header::CONTENT_TYPE, grpc::CONTENT_TYPE)],
        Body::new(body),
    )
        .into_response()
}
