//! Why a pod of the mesh says that it is not ready: the kubelet tells only the status of its answer, so
//! it is asked through the API server.

use std::time::Duration;

use http::Request;
use kube::{Client, Error};
use tokio::time::timeout;

use crate::manifest::Component;

/// A pod that is only starting may let the API server wait for ever.
const LIMIT: Duration = Duration::from_secs(2);

/// The words in which a pod of a component says that it is not ready; `None` if it is ready, or cannot
/// be asked.
pub(crate) async fn words(
    client: &Client,
    namespace: &str,
    pod: &str,
    component: Component,
) -> Option<String> {
    let port = component.health_port();
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/ready");
    let request = Request::get(path).body(Vec::new()).ok()?;
    match timeout(LIMIT, client.request_text(request)).await {
        Ok(Err(Error::Api(status))) => said(&status.message),
        Ok(_) | Err(_) => None,
    }
}

/// The pod's own words, in one line.
fn said(message: &str) -> Option<String> {
    let lines: Vec<&str> = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

#[cfg(test)]
mod tests {
    use http::{Response, StatusCode};
    use kube::client::Body;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_does_not_answer_is_not_waited_for() {
        let silent = tower::service_fn(|_: Request<Body>| {
            std::future::pending::<kube::Result<Response<Body>>>()
        });
        let client = Client::new(silent, "default");
        let words = words(&client, "istio-system", "x", Component::Injector);
        assert_eq!(words.await, None);
    }

    #[tokio::test]
    async fn the_words_are_those_of_the_answer() {
        let unready = tower::service_fn(|request: Request<Body>| async move {
            let path = "/api/v1/namespaces/istio-system/pods/x:15014/proxy/ready";
            assert_eq!(request.uri().path(), path);
            let mut answer = Response::new(Body::from(b"no certificate\n".to_vec()));
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            Ok::<_, Error>(answer)
        });
        let client = Client::new(unready, "default");
        let words = words(&client, "istio-system", "x", Component::Injector);
        assert_eq!(words.await.as_deref(), Some("no certificate"));
    }

    #[test]
    fn several_reasons_are_one_line() {
        assert_eq!(said("one\n\n  two\n").as_deref(), Some("one; two"));
        assert_eq!(said("\n"), None);
    }
}
