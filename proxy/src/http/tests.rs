//! Headers and answers.

use ::http::{HeaderMap, HeaderValue, Request, StatusCode, header, request};

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::headers::convert;
use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn parts(request: Request<()>) -> request::Parts {
    request.into_parts().0
}

#[test]
fn hop_by_hop_headers_are_taken_off_and_trailers_are_kept() {
    let mut map = headers(&[
        ("connection", "close, x-hop, host, x-forwarded-client-cert"),
        ("x-hop", "1"),
        ("host", "reviews"),
        ("x-forwarded-client-cert", "URI=a"),
        ("te", "gzip, trailers"),
        ("transfer-encoding", "chunked"),
        ("expect", "100-continue"),
        ("x-envoy-peer-metadata-id", "a"),
        ("accept", "*/*"),
    ]);
    prepare_request(&mut map);
    let mut left: Vec<_> = map.keys().map(|name| name.as_str()).collect();
    left.sort_unstable();
    assert_eq!(left, ["accept", "host", "te", "x-forwarded-client-cert"]);
    assert_eq!(map["te"], "trailers");
}

#[test]
fn each_hop_by_hop_header_is_taken_off_where_it_is_the_only_one() {
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
        "x-envoy-peer-metadata",
        "x-envoy-peer-metadata-id",
        "x-lateen-not-executed",
    ] {
        let mut headers = headers(&[("server", "app"), (name, "value")]);
        prepare_response(&mut headers);
        assert_eq!(headers.len(), 1, "{name} is left");
    }
}

#[test]
fn the_authority_is_the_targets_or_else_the_host_headers() {
    let host = Request::get("/a")
        .header("host", "reviews:9080")
        .body(())
        .unwrap();
    assert_eq!(authority(&host), Ok(Some("reviews:9080")));
    let absolute = Request::get("http://other/a")
        .header("host", "reviews")
        .body(())
        .unwrap();
    assert_eq!(authority(&absolute), Ok(Some("other")));
    let none = Request::get("/a").body(()).unwrap();
    assert_eq!(authority(&none), Ok(None));
    let two = Request::get("/")
        .header("host", "a")
        .header("host", "b")
        .body(())
        .unwrap();
    assert!(authority(&two).is_err());
}

#[test]
fn requests_change_their_form_with_the_version() {
    let request = Request::get("http://reviews:9080/a?b").version(::http::Version::HTTP_2);
    let mut http1 = parts(request.body(()).unwrap());
    convert(&mut http1, Version::Http1).unwrap();
    assert_eq!(
        (http1.uri.to_string().as_str(), &http1.headers["host"]),
        ("/a?b", &HeaderValue::from_static("reviews:9080"))
    );
    let request = Request::options("*").header("host", "reviews");
    let mut http2 = parts(request.body(()).unwrap());
    convert(&mut http2, Version::Http2).unwrap();
    assert_eq!(http2.uri.authority().unwrap(), "reviews");
    assert!(!http2.headers.contains_key(header::HOST));
    let request = Request::get("/").header("host", "not a host");
    assert!(convert(&mut parts(request.body(()).unwrap()), Version::Http2).is_err());
}

#[test]
fn of_the_protocols_a_client_offers_those_that_can_be_spoken_are_passed_on() {
    for (offered, wanted) in [
        (&["websocket"][..], Some("websocket")),
        (&["h2c, websocket"], Some("websocket")),
        (&["TLS/1.0", "foo/2,, h2c,bar"], Some("foo/2, bar")),
        (&["h2c"], None),
        (&["tls/1.2,h2c"], None),
        (&[], None),
    ] {
        let mut request = Request::get("/").header("connection", "keep-alive, Upgrade");
        for line in offered {
            request = request.header("upgrade", *line);
        }
        let mut restored = HeaderMap::new();
        if let Some(upgrade) = Upgrade::wanted(&request.body(()).unwrap()) {
            upgrade.restore(&mut restored);
        }
        let passed_on = restored.get("upgrade").map(|value| value.to_str().unwrap());
        assert_eq!(passed_on, wanted, "{offered:?}");
    }
}

/// A body of which only the end will tell how long it is.
struct Endless;

impl http_body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[test]
fn a_body_of_unknown_length_is_announced_whatever_the_method() {
    for method in ["GET", "HEAD", "POST"] {
        let request = Request::builder().method(method).uri("/").body(()).unwrap();
        let request = assemble(parts(request), Version::Http1, Endless).unwrap();
        assert_eq!(
            request.headers()[header::TRANSFER_ENCODING],
            "chunked",
            "{method}"
        );
    }
    let request = Request::get("/").body(()).unwrap();
    let request = assemble(parts(request), Version::Http1, String::new()).unwrap();
    assert!(!request.headers().contains_key(header::TRANSFER_ENCODING));
}

#[test]
fn the_authority_routed_by_and_all_cookies_reach_an_http1_application() {
    let request = Request::get("http://public/")
        .version(::http::Version::HTTP_2)
        .header("host", "admin")
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    let mut http1 = parts(request.body(()).unwrap());
    convert(&mut http1, Version::Http1).unwrap();
    assert_eq!(http1.headers["host"], "public");
    assert_eq!(http1.headers["cookie"], "a=1; b=2");
    assert_eq!(http1.headers.get_all("cookie").iter().count(), 1);
}

#[test]
fn of_two_framings_the_chunked_one_counts() {
    let mut map = headers(&[("transfer-encoding", "chunked"), ("content-length", "5")]);
    prepare_response(&mut map);
    assert!(map.is_empty());
}

#[test]
fn upgrades_are_known_and_some_are_ignored() {
    let asking = |connection: &str, name: &str| {
        let request = Request::get("/")
            .header("connection", connection)
            .header("upgrade", name);
        Upgrade::wanted(&request.body(()).unwrap()).is_some()
    };
    assert!(asking("keep-alive, Upgrade", "websocket"));
    assert!(!asking("keep-alive", "websocket"));
    assert!(!asking("upgrade", "h2c"));
    assert!(!asking("upgrade", "TLS/1.0"));
    let connect = Request::connect("host:443").body(()).unwrap();
    assert!(matches!(Upgrade::wanted(&connect), Some(Upgrade::Connect)));
}

#[test]
fn request_ids_are_uuids_and_differ() {
    let (one, other) = (request_id(), request_id());
    let text = one.to_str().unwrap();
    assert_eq!(
        (text.len(), text.as_bytes()[14], text.matches('-').count()),
        (36, b'4', 4)
    );
    assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    for (place, digit) in text.bytes().enumerate() {
        match place {
            8 | 13 | 18 | 23 => assert_eq!(digit, b'-', "{text}"),
            _ => assert!(matches!(digit, b'0'..=b'9' | b'a'..=b'f'), "{text}"),
        }
    }
    assert_ne!(one, other);
}

#[test]
fn failures_are_told_in_envoys_words() {
    let failure = Failure {
        kind: FailureKind::Closed,
        detail: "broken".into(),
    };
    let reply = Reply::failed(&failure);
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        reply.body,
        "upstream connect error or disconnect/reset before headers. reset reason: \
         connection termination"
    );
    assert!(FailureKind::Connect.is_unexecuted() && !FailureKind::Closed.is_unexecuted());
}

/// Answers nothing that these tests send.
struct Nobody;

impl Handle for Nobody {
    fn handle(self: Arc<Self>, _: Request<hyper::body::Incoming>) -> Handled {
        unreachable!("no header is whole")
    }
}

/// Serves half a header; whether the connection has ended when two hours are over.
async fn ends_within_two_hours(ends: Ends<'_>) -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    tokio::time::pause();
    let serving = serve(stream.into(), Version::Http1, Arc::new(Nobody), ends);
    let served = tokio::time::timeout(Duration::from_secs(7_200), serving).await;
    served.is_ok_and(|result| result.is_err())
}

#[tokio::test]
async fn a_header_that_does_not_come_ends_a_connection_that_has_a_limit() {
    let hour = Ends {
        header: Some(Duration::from_secs(3_600)),
        ..Ends::default()
    };
    assert!(ends_within_two_hours(hour).await);
}

#[tokio::test]
async fn a_connection_without_a_limit_may_be_idle() {
    assert!(!ends_within_two_hours(Ends::default()).await);
}
