//! Why a pod of the mesh says that it is not ready: the kubelet tells only the status of its answer, so
//! it is asked through the API server.

use http::Request;
use kube::{Client, Error};

use crate::manifest::Component;

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
    match client.request_text(request).await {
        Err(Error::Api(status)) => said(&status.message),
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
    use super::*;

    #[test]
    fn several_reasons_are_one_line() {
        assert_eq!(said("one\n\n  two\n").as_deref(), Some("one; two"));
        assert_eq!(said("\n"), None);
    }
}
