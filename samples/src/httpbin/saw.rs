//! What httpbin saw of a request, in go-httpbin's words: values of headers and arguments are lists.

use std::collections::BTreeMap;

use axum::extract::{ConnectInfo, RawQuery};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::percent;
use crate::server::Ends;

type Lists = BTreeMap<String, Vec<String>>;

/// JSON as go-httpbin writes it: indented, with its content type, readable by pages of any origin.
pub(super) fn answer(body: &Value) -> Response {
    let text = serde_json::to_string_pretty(body).unwrap_or_default() + "\n";
    let headers = [
        (header::CONTENT_TYPE, "application/json; charset=utf-8"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
    ];
    (headers, text).into_response()
}

pub(super) async fn headers(uri: Uri, headers: HeaderMap) -> Response {
    answer(&json!({"headers": header_lists(&uri, &headers)}))
}

pub(super) async fn ip(ConnectInfo(ends): ConnectInfo<Ends>, headers: HeaderMap) -> Response {
    answer(&json!({"origin": origin(ends, &headers)}))
}

pub(super) async fn user_agent(headers: HeaderMap) -> Response {
    answer(&json!({"user-agent": text_of(&headers, "user-agent")}))
}

pub(super) async fn cookies(headers: HeaderMap) -> Response {
    let cookies: BTreeMap<&str, &str> = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .collect();
    answer(&json!({"cookies": cookies}))
}

/// A request without a body: `/get`.
pub(super) async fn without_body(
    ConnectInfo(ends): ConnectInfo<Ends>,
    method: Method,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    answer(&Value::Object(seen(ends, &method, &uri, query, &headers)))
}

/// A request that may have a body: `/post`, `/anything` and so on.
pub(super) async fn with_body(
    ConnectInfo(ends): ConnectInfo<Ends>,
    method: Method,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut fields = seen(ends, &method, &uri, query, &headers);
    let content_type = text_of(&headers, "content-type");
    let text = std::str::from_utf8(&body).ok();
    let is_form = content_type.starts_with("application/x-www-form-urlencoded");
    let is_json = content_type.starts_with("application/json");
    let form = text.filter(|_| is_form).map(lists).unwrap_or_default();
    let document: Option<Value> = text
        .filter(|_| is_json)
        .and_then(|text| serde_json::from_str(text).ok());
    let data = text.map_or_else(
        || {
            format!(
                "data:application/octet-stream;base64,{}",
                STANDARD.encode(&body)
            )
        },
        str::to_owned,
    );
    fields.insert("data".to_owned(), json!(data));
    fields.insert("files".to_owned(), json!({}));
    fields.insert("form".to_owned(), json!(form));
    fields.insert("json".to_owned(), json!(document));
    answer(&Value::Object(fields))
}

fn seen(
    ends: Ends,
    method: &Method,
    uri: &Uri,
    query: Option<String>,
    headers: &HeaderMap,
) -> Map<String, Value> {
    let scheme = match text_of(headers, "x-forwarded-proto") {
        "https" => "https",
        _ => "http",
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let fields = [
        ("args", json!(lists(&query.unwrap_or_default()))),
        ("headers", json!(header_lists(uri, headers))),
        ("method", json!(method.as_str())),
        ("origin", json!(origin(ends, headers))),
        (
            "url",
            json!(format!("{scheme}://{}{path}", host(uri, headers))),
        ),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn lists(pairs: &str) -> Lists {
    percent::pairs(pairs).fold(Lists::new(), |mut lists, (name, value)| {
        lists.entry(name).or_default().push(value);
        lists
    })
}

/// Headers by their names as Go writes them, `Host` among them.
fn header_lists(uri: &Uri, headers: &HeaderMap) -> Lists {
    let mut lists = Lists::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        lists
            .entry(canonical(name.as_str()))
            .or_default()
            .push(value);
    }
    lists
        .entry("Host".to_owned())
        .or_insert_with(|| vec![host(uri, headers).to_owned()]);
    lists
}

/// `x-forwarded-for` as `X-Forwarded-For`.
fn canonical(name: &str) -> String {
    let capitalised = name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    capitalised.collect::<Vec<_>>().join("-")
}

fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    match text_of(headers, "host") {
        "" => uri.authority().map_or("", |authority| authority.as_str()),
        host => host,
    }
}

/// Who asked: the first hop of `X-Forwarded-For`, or else the peer.
fn origin(ends: Ends, headers: &HeaderMap) -> String {
    match text_of(headers, "x-forwarded-for")
        .split(',')
        .next()
        .map(str::trim)
    {
        None | Some("") => ends.peer.ip().to_canonical().to_string(),
        Some(first) => first.to_owned(),
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
