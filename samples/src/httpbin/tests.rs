use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::server::Ends;

async fn send(mut request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    let ends = Ends {
        peer: "[::ffff:10.0.0.9]:5000".parse().unwrap(),
        local: ([127, 0, 0, 1], 80).into(),
    };
    request.extensions_mut().insert(ConnectInfo(ends));
    let (head, body) = router().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (
        head.status,
        head.headers,
        serde_json::from_slice(&bytes).unwrap_or_default(),
    )
}

async fn get_path(path: &str) -> (StatusCode, HeaderMap, Value) {
    send(
        Request::get(path)
            .header("host", "httpbin:8000")
            .body(Body::empty())
            .unwrap(),
    )
    .await
}

#[tokio::test]
async fn tells_what_it_saw_with_lists_of_values() {
    let request = Request::get("/get?a=1&a=2&b")
        .header("host", "httpbin:8000")
        .header("x-forwarded-client-cert", "By=x")
        .header("x-many", "1")
        .header("x-many", "2")
        .body(Body::empty())
        .unwrap();
    let (status, headers, body) = send(request).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "application/json; charset=utf-8");
    assert_eq!(
        body,
        json!({
            "args": {"a": ["1", "2"], "b": [""]},
            "headers": {
                "Host": ["httpbin:8000"],
                "X-Forwarded-Client-Cert": ["By=x"],
                "X-Many": ["1", "2"],
            },
            "method": "GET",
            "origin": "10.0.0.9",
            "url": "http://httpbin:8000/get?a=1&a=2&b",
        })
    );
}

#[tokio::test]
async fn head_is_answered_like_get_without_a_body() {
    for path in ["/headers", "/get", "/status/200", "/ip"] {
        let (status, _, body) = send(Request::head(path).body(Body::empty()).unwrap()).await;
        assert_eq!((status, body), (StatusCode::OK, Value::Null), "{path}");
    }
}

#[tokio::test]
async fn bodies_come_back_as_text_form_and_json() {
    let post = |content_type: &str, body: &'static [u8]| {
        let request = Request::post("/post").header("content-type", content_type);
        send(request.body(Body::from(body)).unwrap())
    };
    let (_, _, body) = post("application/json", br#"{"a": 1}"#).await;
    assert_eq!(
        (&body["data"], &body["json"]),
        (&json!(r#"{"a": 1}"#), &json!({"a": 1}))
    );
    let (_, _, body) = post("application/x-www-form-urlencoded", b"a=1&a=2").await;
    assert_eq!(body["form"], json!({"a": ["1", "2"]}));
    let (_, _, body) = post("application/octet-stream", b"\xff").await;
    assert_eq!(body["data"], "data:application/octet-stream;base64,/w==");
    let (status, ..) = send(Request::get("/post").body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn answers_with_the_status_that_is_asked_for() {
    for code in [200, 204, 302, 418, 503, 555] {
        let (status, ..) = get_path(&format!("/status/{code}")).await;
        assert_eq!(status.as_u16(), code);
    }
    let (status, ..) = get_path("/status/500:0,503:1").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    for wrong in ["600", "99", "abc", "200:x", "200:-1"] {
        let (status, ..) = get_path(&format!("/status/{wrong}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_after_the_delay_that_is_asked_for() {
    for (asked, waited) in [("2", 2.0), ("0.5", 0.5), ("60", 10.0)] {
        let start = tokio::time::Instant::now();
        let (status, ..) = get_path(&format!("/delay/{asked}")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            (start.elapsed().as_secs_f64() - waited).abs() < 0.1,
            "{asked}"
        );
    }
    assert_eq!(get_path("/delay/-1").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn redirects_cookies_and_passwords() {
    let (status, headers, _) = get_path("/redirect/3").await;
    assert_eq!(status, StatusCode::FOUND);
    assert_eq!(headers["location"], "/relative-redirect/2");
    assert_eq!(get_path("/relative-redirect/1").await.1["location"], "/get");

    assert_eq!(
        get_path("/cookies/set?a=1").await.1["set-cookie"],
        "a=1; HttpOnly"
    );
    let request = Request::get("/cookies")
        .header("cookie", "a=1; b=2")
        .body(Body::empty());
    assert_eq!(
        send(request.unwrap()).await.2,
        json!({"cookies": {"a": "1", "b": "2"}})
    );

    let (status, headers, _) = get_path("/basic-auth/user/secret").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(headers.contains_key("www-authenticate"));
    let request = Request::get("/basic-auth/user/secret")
        .header("authorization", "Basic dXNlcjpzZWNyZXQ=")
        .body(Body::empty());
    assert_eq!(
        send(request.unwrap()).await.2,
        json!({"authorized": true, "user": "user"})
    );
}

#[tokio::test]
async fn identifiers_are_random_and_of_version_four() {
    let (_, _, first) = get_path("/uuid").await;
    let (_, _, second) = get_path("/uuid").await;
    assert_ne!(first, second);
    let uuid = first["uuid"].as_str().unwrap();
    let marks: Vec<char> = [8, 13, 14, 18, 23]
        .iter()
        .map(|&at| uuid.chars().nth(at).unwrap())
        .collect();
    assert_eq!(marks, ['-', '-', '4', '-', '-'], "{uuid}");
    assert!(
        ['8', '9', 'a', 'b'].contains(&uuid.chars().nth(19).unwrap()),
        "{uuid}"
    );
}
