//! An API server that answers as a test wants.

use axum::http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// A client whose every request gets the status and object that `answer` makes of it, or waits for
/// ever.
pub(super) fn client(
    answer: impl Fn(Request<Vec<u8>>) -> Option<(u16, Value)> + Clone + Send + 'static,
) -> Client {
    let server = tower::service_fn(move |request: Request<Body>| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?.to_vec();
            let Some((status, object)) = answer(Request::from_parts(head, body)) else {
                return std::future::pending().await;
            };
            let mut response = Response::new(Body::from(object.to_string().into_bytes()));
            *response.status_mut() = status.try_into().unwrap();
            Ok::<_, kube::Error>(response)
        }
    });
    Client::new(server, "default")
}

/// What an API server says when it refuses.
pub(super) fn refusal(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": reason, "reason": reason, "code": code,
    })
}
