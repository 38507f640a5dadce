//! Work-alikes of Istio's Bookinfo: four services on port 9080 that call each other.

pub(crate) mod details;
mod fetch;
pub(crate) mod productpage;
pub(crate) mod ratings;
pub(crate) mod reviews;

use axum::Json;
use axum::http::StatusCode;
use axum::http::{HeaderMap, HeaderName};
use serde_json::{Value, json};

/// Port of every service of Bookinfo.
const PORT: u16 = 9080;

/// Headers that make one trace of many calls, and those that routing may look at. A header named
/// here is passed from the request we got to the requests we make.
const FORWARDED: &[&str] = &[
    "x-request-id",
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "traceparent",
    "tracestate",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "b3",
    "sw8",
    "user-agent",
    "cookie",
    "authorization",
    "jwt",
];

/// The user a request is made for, so that routes can tell users apart.
const END_USER: HeaderName = HeaderName::from_static("end-user");

/// Those headers of a request that go on to the requests made for it.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| FORWARDED.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The answer to a book's number that is not a number.
fn bad_product_id() -> (StatusCode, Json<Value>) {
    (
        StatusCode::BAD_REQUEST,
        Json(json!({"error": "please provide numeric product ID"})),
    )
}

/// `http://HOST[.DOMAIN]:PORT` of another service, as Istio's images take it from their environment:
/// `DETAILS_HOSTNAME`, `DETAILS_SERVICE_PORT` and `SERVICES_DOMAIN`, all optional.
fn service_url(service: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let set = |name: String| lookup(&name).filter(|value| !value.is_empty());
    let upper = service.to_ascii_uppercase();
    let host = set(format!("{upper}_HOSTNAME")).unwrap_or_else(|| service.to_owned());
    let port = set(format!("{upper}_SERVICE_PORT")).unwrap_or_else(|| PORT.to_string());
    match set("SERVICES_DOMAIN".to_owned()) {
        Some(domain) => format!("http://{host}.{domain}:{port}"),
        None => format!("http://{host}:{port}"),
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_found_by_their_short_names_unless_the_environment_says_otherwise() {
        assert_eq!(service_url("details", |_| None), "http://details:9080");
        let other = |name: &str| match name {
            "SERVICES_DOMAIN" => Some("shop.svc".to_owned()),
            "RATINGS_HOSTNAME" => Some("stars".to_owned()),
            "RATINGS_SERVICE_PORT" => Some("80".to_owned()),
            _ => None,
        };
        assert_eq!(service_url("ratings", other), "http://stars.shop.svc:80");
    }

    #[test]
    fn only_headers_of_the_list_go_on() {
        let mut headers = HeaderMap::new();
        for name in [
            "x-request-id",
            "traceparent",
            "cookie",
            "accept",
            "host",
            "end-user",
        ] {
            headers.insert(name, "1".parse().unwrap());
        }
        let sent = forwarded(&headers);
        let mut names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["cookie", "traceparent", "x-request-id"]);
    }
}
