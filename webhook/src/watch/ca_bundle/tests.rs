use axum::http::Method;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::api_server;
use super::*;
use crate::server::tests::Authority;

fn ours() -> Ours {
    Ours {
        name: "istio-sidecar-injector-canary".to_owned(),
        revision: "canary".parse().unwrap(),
        namespace: "istio-system".to_owned(),
        service: "istio-sidecar-injector-canary".to_owned(),
    }
}

/// A configuration whose entries have names, Services and bundles.
fn configuration(name: &str, entries: &[(&str, &str, &[u8])]) -> Value {
    let entry = |(name, service, bundle): &(&str, &str, &[u8])| {
        json!({
            "name": name,
            "clientConfig": {
                "caBundle": STANDARD.encode(bundle),
                "service": {"name": service, "namespace": "istio-system"},
            },
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name, "resourceVersion": "7"},
        "webhooks": entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

#[test]
fn writes_only_our_entries_that_differ() {
    let ours = ours();
    let mut value = configuration(
        &ours.name,
        &[
            ("namespace.sidecar-injector.istio.io", &ours.service, b"new"),
            ("somebody.else", &ours.service, b"theirs"),
            ("rev.sidecar-injector.istio.io", "istiod", b"istio's"),
            ("object.sidecar-injector.istio.io", &ours.service, b"old"),
        ],
    );
    let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    let patch = patch(&read(&value), &ours, b"new").unwrap();
    json_patch::patch(&mut value, &patch).unwrap();
    assert_eq!(current(&read(&value), &ours), [b"new", b"new"]);
    assert_eq!(patch.0.len(), 2, "{patch}");
    assert!(super::patch(&read(&value), &ours, b"new").is_none());
}

#[tokio::test]
async fn the_configurations_of_tags_are_kept_too_and_readiness_depends_on_our_own() {
    let (told, mut patched) = mpsc::channel(4);
    let client = api_server::client(move |request| {
        let path = request.uri().path().to_owned();
        if request.method() == Method::PATCH {
            told.try_send(path).unwrap();
            return Some((403, api_server::refusal(403, "Forbidden")));
        }
        let query = request.uri().query().unwrap_or_default();
        assert!(
            query.contains("labelSelector=istio.io%2Frev%3Dcanary"),
            "{query}"
        );
        let service = "istio-sidecar-injector-canary";
        let entry = [(
            "rev.namespace.sidecar-injector.istio.io",
            service,
            b"".as_slice(),
        )];
        let items = ["istio-sidecar-injector-canary", "istio-revision-tag-prod"];
        let list = json!({
            "kind": "MutatingWebhookConfigurationList",
            "apiVersion": "admissionregistration.k8s.io/v1",
            "metadata": {"resourceVersion": "9"},
            "items": items.map(|name| configuration(name, &entry)),
        });
        (!query.contains("watch=")).then_some((200, list))
    });
    let (_keep, certificate) = watch::channel(Some(Authority::new().certificate()));
    let (bundles, mut in_force) = watch::channel(None);
    let following = tokio::spawn(follow(client, ours(), certificate, bundles));
    let mut paths = Vec::new();
    for _ in 0..2 {
        let path = timeout(Duration::from_secs(10), patched.recv()).await;
        paths.push(path.expect("nobody writes").unwrap());
    }
    let expected = ["istio-revision-tag-prod", "istio-sidecar-injector-canary"];
    for (path, name) in paths.iter().zip(expected) {
        assert!(path.ends_with(&format!("/{name}")), "{path}");
    }
    let known = in_force.wait_for(Option::is_some).await.unwrap().clone();
    assert_eq!(known, Some(Some(vec![Vec::new()])));
    following.abort();
}
