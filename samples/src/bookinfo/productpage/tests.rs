use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;

/// A service that answers every request with this status and the request's headers beside a body.
async fn service(status: StatusCode, body: Value) -> String {
    let listener = server::listen(Some([127, 0, 0, 1].into()), 0)
        .await
        .unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = move |headers: HeaderMap| async move {
        let mut body = body;
        let user = headers.get("end-user").and_then(|user| user.to_str().ok());
        let trace = headers
            .get("traceparent")
            .and_then(|trace| trace.to_str().ok());
        if let Value::Object(fields) = &mut body {
            fields.insert("podname".to_owned(), json!(format!("{user:?} {trace:?}")));
        }
        (status, Json(body))
    };
    let router = Router::new().fallback(get(answer));
    tokio::spawn(server::serve(listener, router, CancellationToken::new()));
    url
}

async fn good_reviews() -> String {
    let reviews = json!({"reviews": [
        {"reviewer": "<Reviewer1>", "text": "Fun & games", "rating": {"stars": 5, "color": "red"}},
        {"reviewer": "Reviewer2", "text": "'Quoted'",
         "rating": {"error": "Ratings service is currently unavailable"}},
    ]});
    service(StatusCode::OK, reviews).await
}

async fn bad() -> String {
    service(StatusCode::SERVICE_UNAVAILABLE, Value::Null).await
}

async fn send(calls: Calls, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let (head, body) = router(calls).oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (
        head.status,
        head.headers,
        String::from_utf8(bytes.to_vec()).unwrap(),
    )
}

fn get_request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

/// Every element that is opened is closed, in order, and texts hold no bare special characters.
fn assert_html(page: &str) {
    let page = page
        .strip_prefix("<!DOCTYPE html>")
        .expect("a document type");
    let mut open = Vec::new();
    for piece in page.split('<').skip(1) {
        let (tag, text) = piece
            .split_once('>')
            .unwrap_or_else(|| panic!("no end of <{piece}"));
        assert!(!text.contains('>'), "a bare > after <{tag}>");
        for entity in text.split('&').skip(1) {
            assert!(entity.contains(';'), "a bare & in {text}");
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed by </{name}>");
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "an open quote in <{tag}>");
    }
    assert_eq!(open, Vec::<&str>::new(), "left open");
}

#[tokio::test]
async fn the_page_shows_details_and_reviews_with_stars() {
    let details = service(StatusCode::OK, json!({"author": "A & B", "pages": 200})).await;
    let calls = Calls::new(details, good_reviews().await, bad().await);
    let (status, _, page) = send(calls, get_request("/productpage?u=normal")).await;
    assert_eq!(status, StatusCode::OK);
    assert_html(&page);
    for text in [
        "<title>Simple Bookstore App</title>",
        "The Comedy of Errors",
        "<dt>Author</dt><dd>A &amp; B</dd>",
        "<dt>Pages</dt><dd>200</dd>",
        "&lt;Reviewer1&gt;",
        "color: red",
        "★★★★★",
        "Ratings service is currently unavailable",
        "Sign in",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
}

#[tokio::test]
async fn the_page_says_what_is_unavailable() {
    let calls = Calls::new(bad().await, bad().await, bad().await);
    let (status, _, page) = send(calls.clone(), get_request("/productpage")).await;
    assert_eq!(status, StatusCode::OK);
    assert_html(&page);
    for text in [
        "Error fetching product details",
        "Sorry, product details are currently unavailable for this book.",
        "Error fetching product reviews",
        "Sorry, product reviews are currently unavailable for this book.",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    let (_, _, metrics) = send(calls, get_request("/metrics")).await;
    let reviews = r#"request_result_total{destination_app="reviews",response_code="503"} 2"#;
    assert!(
        metrics.contains(reviews),
        "reviews are asked for twice: {metrics}"
    );
}

#[tokio::test]
async fn the_front_page_links_to_the_book() {
    let calls = Calls::new(bad().await, bad().await, bad().await);
    let (_, _, page) = send(calls, get_request("/")).await;
    assert_html(&page);
    assert!(page.contains("/productpage?u=test"));
}

#[tokio::test]
async fn signing_in_tells_other_services_the_user_and_passes_the_trace_on() {
    let calls = Calls::new(bad().await, good_reviews().await, bad().await);
    let login = Request::post("/login")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::REFERER, "http://shop.example/productpage?u=test")
        .body(Body::from("username=jason&passwd=anything"))
        .unwrap();
    let (status, headers, _) = send(calls.clone(), login).await;
    assert_eq!(status, StatusCode::FOUND);
    assert_eq!(headers[header::LOCATION], "/productpage?u=test");
    let cookie = headers[header::SET_COOKIE]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let request = Request::get("/productpage")
        .header(header::COOKIE, cookie)
        .header("traceparent", "00-1-2-01")
        .body(Body::empty())
        .unwrap();
    let (_, _, page) = send(calls, request).await;
    assert!(
        page.contains("Some(&quot;jason&quot;) Some(&quot;00-1-2-01&quot;)"),
        "{page}"
    );
    assert!(page.contains("Sign out"));
}

#[tokio::test]
async fn the_api_answers_what_the_services_answer() {
    let details = service(StatusCode::OK, json!({"id": 0})).await;
    let calls = Calls::new(details, good_reviews().await, bad().await);
    let ask = |path| send(calls.clone(), get_request(path));
    let (_, _, products) = ask("/api/v1/products").await;
    let products: Value = serde_json::from_str(&products).unwrap();
    assert_eq!(products[0]["title"], "The Comedy of Errors");
    assert_eq!(ask("/api/v1/products/0").await.0, StatusCode::OK);
    assert_eq!(ask("/api/v1/products/0/reviews").await.0, StatusCode::OK);
    let (status, _, ratings) = ask("/api/v1/products/0/ratings").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(ratings.contains("Sorry, product ratings are currently unavailable for this book."));
    assert_eq!(ask("/api/v1/products/x").await.0, StatusCode::BAD_REQUEST);
    for path in ["/health", "/static/style.css", "/static/icon.svg"] {
        assert_eq!(ask(path).await.0, StatusCode::OK, "{path}");
    }
}
