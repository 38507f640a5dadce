//! An API server that answers as a test wants: for what a real one says too seldom.

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

/// A client whose every request gets the status and object that `answer` makes of it.
pub(crate) fn client(
    answer: impl Fn(Request<Vec<u8>>) -> (u16, Value) + Clone + Send + 'static,
) -> Client {
    let server = tower::service_fn(move |request: Request<Body>| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?.to_vec();
            let (status, object) = answer(Request::from_parts(head, body));
            let mut response = Response::new(Body::from(object.to_string().into_bytes()));
            *response.status_mut() = status.try_into().unwrap();
            Ok::<_, kube::Error>(response)
        }
    });
    Client::new(server, "default")
}

/// What an API server says when it refuses.
pub(crate) fn refusal(code: u16, reason: &str) -> (u16, Value) {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": reason, "reason": reason, "code": code,
    });
    (code, status)
}
