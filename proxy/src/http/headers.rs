//! Headers that end at the proxy, and those it adds (RFC 9110, section 7.6; Istio's and Envoy's
//! `x-envoy-*` and `x-request-id`).

use http::header::{self, HeaderName};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, request};
use http_body::Body;

use super::Version;

/// On a response from a proxy of the mesh: the application was not asked, for this reason. The
/// caller's proxy may ask another endpoint, whatever the request is. Never reaches an application,
/// and means nothing from anybody but a peer over mesh mTLS.
pub const NOT_EXECUTED: HeaderName = HeaderName::from_static("x-lateen-not-executed");
/// The certificates of the callers, one proxy after the other.
pub(crate) const FORWARDED_CLIENT_CERT: HeaderName =
    HeaderName::from_static("x-forwarded-client-cert");
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
pub(crate) const SERVICE_TIME: HeaderName =
    HeaderName::from_static("x-envoy-upstream-service-time");

/// Between two proxies only.
static HOP_BY_HOP: [HeaderName; 5] = [
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    NOT_EXECUTED,
];
/// Istio's exchange of metadata: peers are looked up by address here.
static PEER_METADATA: [HeaderName; 2] = [
    HeaderName::from_static("x-envoy-peer-metadata"),
    HeaderName::from_static("x-envoy-peer-metadata-id"),
];

/// Takes off a request what concerned the client's connection only.
pub fn prepare_request(headers: &mut HeaderMap) {
    let trailers = headers.get_all(header::TE).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.to_ascii_lowercase().contains("trailers"))
    });
    strip(headers);
    headers.remove(header::TE);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    // The server side of the proxy answers 100 itself when the body is asked for.
    headers.remove(header::EXPECT);
}

/// Takes off a response what concerned the endpoint's connection only.
pub fn prepare_response(headers: &mut HeaderMap) {
    strip(headers);
}

fn strip(headers: &mut HeaderMap) {
    // Most messages have none of them: a look at the names there are costs less than a search for
    // each.
    if !headers.keys().any(ends_here) {
        return;
    }
    // Of two framings the chunked one was read (RFC 9112, section 6.3).
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .filter(|name| !is_end_to_end(name))
            .collect();
        headers.remove(header::CONNECTION);
        for name in named {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP.iter().chain(&PEER_METADATA) {
        headers.remove(name);
    }
}

/// Whether a header is for the next proxy only.
fn ends_here(name: &HeaderName) -> bool {
    *name == header::CONNECTION || HOP_BY_HOP.contains(name) || PEER_METADATA.contains(name)
}

/// What `Connection` may name, but not take away: a client could otherwise remove what the mesh
/// has said about it.
fn is_end_to_end(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::HOST | header::CONTENT_LENGTH | header::AUTHORIZATION | header::TE
    ) || *name == FORWARDED_CLIENT_CERT
        || *name == FORWARDED_PROTO
}

/// The authority a request is for: the target's, or else the Host header's.
///
/// # Errors
/// When there are several Host headers.
pub fn authority<B>(request: &Request<B>) -> Result<Option<&str>, &'static str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err("several Host headers");
    }
    if let Some(authority) = request.uri().authority() {
        return Ok(Some(authority.as_str()));
    }
    Ok(host
        .and_then(|host| host.to_str().ok())
        .filter(|host| !host.is_empty()))
}

/// A request in the form of a version. A body of unknown length is announced whatever the method
/// is: hyper does so for methods that usually have one, and drops the bodies of others.
///
/// # Errors
/// When the target has no form in that version.
pub fn assemble<B: Body>(
    mut parts: request::Parts,
    version: Version,
    body: B,
) -> Result<Request<B>, http::Error> {
    convert(&mut parts, version)?;
    let announced = body.is_end_stream() || body.size_hint().exact().is_some();
    if version == Version::Http1 && parts.method != Method::CONNECT && !announced {
        parts
            .headers
            .entry(header::TRANSFER_ENCODING)
            .or_insert(HeaderValue::from_static("chunked"));
    }
    Ok(Request::from_parts(parts, body))
}

/// Gives a request the form of a version: its target, and where its authority stands.
///
/// # Errors
/// When the target has no form in that version.
pub(super) fn convert(parts: &mut request::Parts, version: Version) -> Result<(), http::Error> {
    match version {
        Version::Http1 => {
            if parts.version == http::Version::HTTP_2 {
                to_http1(parts)?;
            }
            parts.version = http::Version::HTTP_11;
        }
        Version::Http2 => {
            to_http2(parts)?;
            parts.version = http::Version::HTTP_2;
        }
    }
    Ok(())
}

fn to_http1(parts: &mut request::Parts) -> Result<(), http::Error> {
    let uri = std::mem::take(&mut parts.uri).into_parts();
    // What was routed by is what the application must see (RFC 9113, section 8.3.1).
    if let Some(authority) = &uri.authority {
        parts
            .headers
            .insert(header::HOST, HeaderValue::from_str(authority.as_str())?);
    }
    join_cookies(&mut parts.headers)?;
    parts.uri = match uri.authority {
        Some(authority) if parts.method == Method::CONNECT => {
            Uri::builder().authority(authority).build()?
        }
        _ => Uri::from(
            uri.path_and_query
                .unwrap_or_else(|| PathAndQuery::from_static("/")),
        ),
    };
    Ok(())
}

/// HTTP/2 may split cookies, HTTP/1 knows one header only (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) -> Result<(), http::Error> {
    let cookies: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if cookies.len() > 1 {
        let joined = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))?;
        headers.insert(header::COOKIE, joined);
    }
    Ok(())
}

fn to_http2(parts: &mut request::Parts) -> Result<(), http::Error> {
    let host = parts.headers.remove(header::HOST);
    if parts.method == Method::CONNECT {
        return Ok(());
    }
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    if uri.authority.is_none()
        && let Some(host) = host
    {
        uri.authority = Some(http::uri::Authority::try_from(host.as_bytes())?);
    }
    if uri.authority.is_some() {
        uri.scheme = Some(uri.scheme.unwrap_or(Scheme::HTTP));
        uri.path_and_query
            .get_or_insert_with(|| PathAndQuery::from_static("/"));
    }
    parts.uri = Uri::from_parts(uri)?;
    Ok(())
}

/// A random UUID (RFC 9562, version 4).
#[must_use]
pub fn request_id() -> HeaderValue {
    let (version, variant) = (0xf_u128 << 76, 0x3_u128 << 62);
    let mut left = fastrand::u128(..) & !version & !variant | 0x4 << 76 | 0x2 << 62;
    let mut text = [b'-'; 36];
    // By hand, from the last digit on: a formatter takes five times as long for every request.
    for (place, digit) in text.iter_mut().enumerate().rev() {
        if !matches!(place, 8 | 13 | 18 | 23) {
            let value = (left & 0xf) as u8;
            *digit = value + if value < 10 { b'0' } else { b'a' - 10 };
            left >>= 4;
        }
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// Bytes of a request's header section, as HTTP/1 would write it.
#[must_use]
pub(super) fn count_request<B>(request: &Request<B>) -> u64 {
    let target = request
        .uri()
        .path_and_query()
        .map_or(1, |target| target.as_str().len());
    // Two spaces, the version, the end of the line, and the empty line.
    (request.method().as_str().len() + target + 14) as u64 + count_head(request.headers())
}

/// Bytes of a response's header section, as HTTP/1 would write it.
#[must_use]
pub(super) fn count_response<B>(response: &Response<B>) -> u64 {
    let reason = response.status().canonical_reason().map_or(0, str::len);
    (reason + 17) as u64 + count_head(response.headers())
}

/// Bytes of header lines.
#[must_use]
pub(super) fn count_head(headers: &HeaderMap) -> u64 {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64)
        .sum()
}
