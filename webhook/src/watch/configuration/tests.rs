use std::time::Duration;

use axum::http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::api_server;
use super::*;

fn map(entries: &[(&str, &str)]) -> Option<ConfigMap> {
    let entries = entries
        .iter()
        .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
    Some(ConfigMap {
        data: Some(entries.collect()),
        metadata: ObjectMeta::default(),
        ..ConfigMap::default()
    })
}

#[test]
fn a_configuration_is_taken_whole_once_both_parts_are_there() {
    let names = Names {
        namespace: String::new(),
        injection: "i".into(),
        mesh: "m".into(),
    };
    let mut maps = Maps::default();
    let native = NativeSidecars::Auto;
    assert!(maps.apply(Change::Mesh(map(&[("mesh", "trustDomain: td")])), &names));
    assert!(maps.injector(native).unwrap().is_none());
    assert!(maps.apply(Change::Injection(map(&[("values", "{}")])), &names));
    assert!(maps.injector(native).unwrap().is_some());
    assert!(!maps.apply(Change::Injection(map(&[("values", "{}")])), &names));
    assert!(!maps.apply(Change::Injection(None), &names));
    assert!(maps.injector(native).unwrap().is_some());
    assert!(maps.apply(Change::Injection(map(&[("values", "{]")])), &names));
    assert!(maps.injector(native).is_err());
}
/// A list with a ConfigMap, as an API server answers.
fn list(name: &str, data: &Value) -> Value {
    json!({
        "kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "9"},
        "items": [{
            "metadata": {
                "name": name, "namespace": "istio-system", "uid": "u1", "resourceVersion": "7",
            },
            "data": data,
        }],
    })
}

#[tokio::test]
async fn a_configuration_that_is_refused_is_told_on_its_config_map() {
    let (told, mut events) = mpsc::channel(1);
    let client = api_server::client(move |request| {
        if request.method() == Method::POST {
            let event: Value = serde_json::from_slice(request.body()).unwrap();
            let path = request.uri().path().to_owned();
            told.try_send((path, event.clone())).unwrap();
            return Some((201, event));
        }
        let query = request.uri().query().unwrap_or_default();
        let list = if query.contains("istio-sidecar-injector") {
            list("istio-sidecar-injector", &json!({"values": "{}"}))
        } else {
            list(
                "istio",
                &json!({"mesh": "defaultConfig: {interceptionMode: X}"}),
            )
        };
        (!query.contains("watch=")).then_some((200, list))
    });
    let names = Names {
        namespace: "istio-system".into(),
        injection: "istio-sidecar-injector".into(),
        mesh: "istio".into(),
    };
    let (metrics, (injector, _)) = (Arc::new(Metrics::default()), watch::channel(None));
    let counted = Arc::clone(&metrics);
    let following = follow(
        client,
        names,
        NativeSidecars::Auto,
        metrics,
        injector.clone(),
    );
    let following = tokio::spawn(following);
    let event = timeout(Duration::from_secs(10), events.recv()).await;
    let (path, event) = event.expect("nobody is told").unwrap();
    following.abort();
    assert_eq!(path, "/api/v1/namespaces/istio-system/events");
    assert_eq!(event["metadata"]["name"], "istio.invalidinjectionconfig-7");
    assert_eq!(event["type"], "Warning");
    let object = &event["involvedObject"];
    assert_eq!(
        (&object["name"], &object["uid"]),
        (&json!("istio"), &json!("u1"))
    );
    let message = event["message"].as_str().unwrap();
    assert!(message.contains("interceptionMode"), "{message}");
    assert_eq!(counted.refused_configurations.get(), 1);
    assert!(injector.borrow().is_none());
}

#[tokio::test]
async fn a_configuration_that_is_deleted_is_told_and_stays_in_force() {
    let (told, mut events) = mpsc::channel(8);
    let client = api_server::client(move |request| {
        if request.method() == Method::POST {
            let event: Value = serde_json::from_slice(request.body()).unwrap();
            // The watch says so again and again here; once is enough.
            let _ = told.try_send(event.clone());
            return Some((201, event));
        }
        let query = request.uri().query().unwrap_or_default();
        let list = if query.contains("istio-sidecar-injector") {
            list("istio-sidecar-injector", &json!({"values": "{}"}))
        } else {
            list("istio", &json!({"mesh": ""}))
        };
        let is_deleted = query.contains("watch=") && query.contains("istio-sidecar-injector");
        let mut object = list["items"][0].clone();
        object["kind"] = json!("ConfigMap");
        object["apiVersion"] = json!("v1");
        let deletion = json!({"type": "DELETED", "object": object});
        if is_deleted {
            Some((200, deletion))
        } else {
            (!query.contains("watch=")).then_some((200, list))
        }
    });
    let names = Names {
        namespace: "istio-system".into(),
        injection: "istio-sidecar-injector".into(),
        mesh: "istio".into(),
    };
    let (metrics, (injector, mut in_force)) = (Arc::new(Metrics::default()), watch::channel(None));
    let following = tokio::spawn(follow(
        client,
        names,
        NativeSidecars::Auto,
        metrics,
        injector,
    ));
    let event = timeout(Duration::from_secs(10), events.recv()).await;
    let event = event.expect("nobody is told").unwrap();
    assert_eq!(event["reason"], "MissingInjectionConfig");
    assert_eq!(event["involvedObject"]["name"], "istio-sidecar-injector");
    let config = timeout(Duration::from_secs(10), in_force.wait_for(Option::is_some)).await;
    assert!(config.expect("nothing is in force").unwrap().is_some());
    following.abort();
}
