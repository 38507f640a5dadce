//! Answers that are as the request asks: a status, a delay, bytes, redirects, a WebSocket.

use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream;
use serde_json::json;

use super::saw::answer;
use crate::{percent, server};

/// Longest delay.
const MAX_DELAY: Duration = Duration::from_secs(10);
/// Most bytes of `/bytes`.
const MAX_BYTES: usize = 10 << 20;
/// Most lines of `/stream` and most redirects.
const MAX_COUNT: usize = 100;

type Refused = (StatusCode, String);

fn refuse(reason: impl Into<String>) -> Refused {
    (StatusCode::BAD_REQUEST, reason.into() + "\n")
}

pub(super) async fn index() -> Html<&'static str> {
    Html(include_str!("index.html"))
}

pub(super) async fn hostname() -> Response {
    answer(&json!({"hostname": server::pod_name()}))
}

/// `/status/200`, or one of several at random: `/status/200:0.9,503:0.1`.
pub(super) async fn status(Path(codes): Path<String>) -> Result<Response, Refused> {
    let choices: Option<Vec<(StatusCode, f64)>> = codes.split(',').map(choice).collect();
    let choices = choices.ok_or_else(|| {
        refuse(format!(
            "{codes} is not a status from 100 to 599, nor a list such as 200:0.9,503:0.1"
        ))
    })?;
    let mut left = fastrand::f64() * choices.iter().map(|(_, weight)| weight).sum::<f64>();
    let chosen = choices.iter().find(|(_, weight)| {
        left -= weight;
        left < 0.0
    });
    let code = chosen
        .or(choices.last())
        .map_or(StatusCode::OK, |(code, _)| *code);
    Ok(status_answer(code))
}

fn choice(text: &str) -> Option<(StatusCode, f64)> {
    let (code, weight) = text.trim().split_once(':').unwrap_or((text.trim(), "1"));
    let code: u16 = code
        .parse()
        .ok()
        .filter(|code| (200..=599).contains(code))?;
    let weight: f64 = weight
        .parse()
        .ok()
        .filter(|weight: &f64| weight.is_finite() && *weight >= 0.0)?;
    Some((StatusCode::from_u16(code).ok()?, weight))
}

fn status_answer(code: StatusCode) -> Response {
    match code {
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => {
            (code, [(header::LOCATION, "/redirect/1")]).into_response()
        }
        StatusCode::UNAUTHORIZED => (
            code,
            [(header::WWW_AUTHENTICATE, "Basic realm=\"Fake Realm\"")],
        )
            .into_response(),
        StatusCode::IM_A_TEAPOT => (code, "I'm a teapot!\n").into_response(),
        _ => code.into_response(),
    }
}

/// Answers after a number of seconds, at most ten.
pub(super) async fn delay(Path(seconds): Path<String>) -> Result<Response, Refused> {
    let wanted = seconds.trim_end_matches('s').parse().ok();
    let wanted = wanted.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let wanted = wanted.ok_or_else(|| refuse(format!("{seconds} is not a number of seconds")))?;
    let delay = wanted.min(MAX_DELAY);
    tokio::time::sleep(delay).await;
    Ok(answer(&json!({"delay": delay.as_secs_f64()})))
}

/// Random bytes.
pub(super) async fn bytes(Path(size): Path<usize>) -> Response {
    let mut bytes = vec![0; size.min(MAX_BYTES)];
    fastrand::Rng::new().fill(&mut bytes);
    ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

/// Lines of JSON, one chunk each.
pub(super) async fn stream(Path(lines): Path<usize>, uri: Uri) -> Response {
    let url = uri.path().to_owned();
    let line = move |id: usize| {
        let line = json!({"id": id, "url": url}).to_string() + "\n";
        Ok::<_, std::convert::Infallible>(line)
    };
    let body = Body::from_stream(stream::iter((0..lines.min(MAX_COUNT)).map(line)));
    (
        [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
        body,
    )
        .into_response()
}

/// Redirects as often as asked, and then to `/get`.
pub(super) async fn redirect(Path(count): Path<usize>) -> Response {
    let target = match count.min(MAX_COUNT) {
        0 | 1 => "/get".to_owned(),
        count => format!("/relative-redirect/{}", count - 1),
    };
    (StatusCode::FOUND, [(header::LOCATION, target)]).into_response()
}

/// Sets a cookie for each argument.
pub(super) async fn set_cookies(RawQuery(query): RawQuery) -> Response {
    let mut response = (StatusCode::FOUND, [(header::LOCATION, "/cookies")]).into_response();
    for (name, value) in percent::pairs(&query.unwrap_or_default()) {
        if let Ok(cookie) = format!("{name}={value}; HttpOnly").parse() {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

/// Lets in who knows the user and the password in the path.
pub(super) async fn basic_auth(
    Path((user, password)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let wanted = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let authorized = headers
        .get(header::AUTHORIZATION)
        .is_some_and(|given| *given == *wanted);
    let body = answer(&json!({"authorized": authorized, "user": user}));
    if authorized {
        return body;
    }
    let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"Fake Realm\"")];
    (StatusCode::UNAUTHORIZED, ask, body).into_response()
}

/// A random identifier (RFC 9562, version 4).
pub(super) async fn uuid() -> Response {
    let random = fastrand::u128(..);
    let versioned = (random & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
    let mut text = format!("{versioned:032x}");
    for dash in [8, 13, 18, 23] {
        text.insert(dash, '-');
    }
    answer(&json!({"uuid": text}))
}

/// Sends every message back.
pub(super) async fn websocket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
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
