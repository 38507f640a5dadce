use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use json_patch::Patch;
use serde_json::{Value, json};

use super::fixture::{Authority, Client, Server, pod, review};
use crate::config::Config;
use crate::inject::Injector;
use crate::native::NativeSidecars;

const JSON: &str = "application/json";

async fn start() -> (Server, Client) {
    let authority = Authority::new();
    let server = Server::start(&authority).await;
    let client = Client::connect(server.address, authority.pem())
        .await
        .unwrap();
    (server, client)
}

/// The object after the patch of an answer.
fn patched(object: &Value, response: &Value) -> Value {
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = STANDARD
        .decode(response["patch"].as_str().unwrap())
        .unwrap();
    let patch: Patch = serde_json::from_slice(&patch).unwrap();
    let mut object = object.clone();
    json_patch::patch(&mut object, &patch).unwrap();
    object
}

#[tokio::test]
async fn a_pod_is_answered_with_a_patch() {
    let (server, mut client) = start().await;
    for version in ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"] {
        let mut question = review("Pod", &pod());
        question["apiVersion"] = json!(version);
        let response = client.review("/inject", &question).await;
        assert_eq!(
            (&response["uid"], &response["allowed"]),
            (&json!("705ab4f5"), &json!(true))
        );
        let injected = patched(&pod(), &response);
        assert_eq!(injected["spec"]["initContainers"][1]["name"], "istio-proxy");
        assert_eq!(injected["spec"]["containers"], pod()["spec"]["containers"]);
    }
    let question = review("Pod", &pod());
    let response = client
        .review("/inject/cluster/east/net/n1", &question)
        .await;
    let injected = patched(&pod(), &response);
    assert_eq!(
        injected["metadata"]["labels"]["topology.istio.io/network"],
        "n1"
    );
    let (_, page) = server.page("/metrics").await;
    assert!(
        page.contains("sidecar_injection_requests_total 3\n"),
        "{page}"
    );
    assert!(
        page.contains("sidecar_injection_success_total 3\n"),
        "{page}"
    );
    assert!(
        page.contains("sidecar_injection_time_seconds_count 3\n"),
        "{page}"
    );
}

#[tokio::test]
async fn what_a_pod_asks_for_in_vain_is_a_warning() {
    let (_server, mut client) = start().await;
    let mut pod = pod();
    pod["metadata"]["annotations"] = json!({
        "proxy.istio.io/config": "{statNameLength: 7}",
        "prometheus.istio.io/secure-port": "15091",
    });
    let response = client.review("/inject", &review("Pod", &pod)).await;
    assert_eq!(response["allowed"], json!(true));
    let warnings = response["warnings"].as_array().unwrap();
    let texts: Vec<&str> = warnings.iter().filter_map(Value::as_str).collect();
    let [of_config, of_port] = texts.as_slice() else {
        panic!("{texts:?}")
    };
    assert!(
        of_config.contains("statNameLength has no effect"),
        "{of_config}"
    );
    assert!(of_port.contains("secure-port has no effect"), "{of_port}");
}

#[tokio::test]
async fn who_is_not_to_be_injected_is_let_in_as_it_is() {
    let (server, mut client) = start().await;
    let mut unwilling = pod();
    unwilling["metadata"]["labels"] = json!({"sidecar.istio.io/inject": "false"});
    let skipped = review("Pod", &unwilling);
    let other = review(
        "ConfigMap",
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {}}),
    );
    let mut podlike = review(
        "Pod",
        &json!({"apiVersion": "example.org/v1", "kind": "Pod"}),
    );
    podlike["request"]["kind"]["group"] = json!("example.org");
    for question in [skipped, other, podlike] {
        let response = client.review("/inject", &question).await;
        assert_eq!(response, json!({"uid": "705ab4f5", "allowed": true}));
    }
    let (_, page) = server.page("/metrics").await;
    assert!(page.contains("sidecar_injection_skip_total 1\n"), "{page}");
    assert!(
        page.contains("sidecar_injection_bad_requests_total 2\n"),
        "{page}"
    );
}

#[tokio::test]
async fn who_cannot_be_injected_is_refused_with_the_reason() {
    let (server, mut client) = start().await;
    let mut wrong = pod();
    wrong["metadata"]["annotations"] = json!({"sidecar.istio.io/proxyCPU": "x"});
    let response = client.review("/inject", &review("Pod", &wrong)).await;
    assert_eq!(
        (&response["allowed"], &response["status"]["code"]),
        (&json!(false), &json!(400))
    );
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains("sidecar.istio.io/proxyCPU"), "{message}");

    for object in [
        json!({"kind": "Pod", "apiVersion": "v1", "spec": 7}),
        json!(null),
        json!([]),
    ] {
        let response = client.review("/inject", &review("Pod", &object)).await;
        assert_eq!(response["allowed"], false, "{response}");
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.starts_with("cannot read the pod: "), "{message}");
    }

    server.injector.send_replace(None);
    let response = client.review("/inject", &review("Pod", &pod())).await;
    assert_eq!(response["status"]["code"], 503, "{response}");
    let injector = Injector::new(Config::default(), NativeSidecars::Auto).unwrap();
    server.injector.send_replace(Some(Arc::new(injector)));
    server.kubelets.send_replace(None);
    let response = client.review("/inject", &review("Pod", &pod())).await;
    assert_eq!(response["status"]["code"], 503, "{response}");
    let (_, page) = server.page("/metrics").await;
    assert!(
        page.contains("sidecar_injection_failure_total 6\n"),
        "{page}"
    );
}

#[tokio::test]
async fn what_is_no_review_is_refused_and_counted() {
    let (server, mut client) = start().await;
    let pod_alone = pod().to_string();
    let mut versionless = review("Pod", &pod());
    versionless["apiVersion"] = json!("admission.k8s.io/v7");
    let no_request = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"});
    let nested = "[".repeat(100_000);
    let bodies: [(&str, &str); 7] = [
        ("", "no body"),
        ("not json", "no AdmissionReview"),
        ("{", "no AdmissionReview"),
        (&pod_alone, "no AdmissionReview"),
        (&versionless.to_string(), "admission.k8s.io/v7"),
        (&no_request.to_string(), "missing field `request`"),
        (&nested, "no AdmissionReview"),
    ];
    for path in ["/inject", "/validate"] {
        for (body, expected) in bodies {
            let (status, text) = client.post(path, JSON, body.to_owned()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body:.40}: {text}");
            assert!(text.contains(expected), "{body:.40}: {text}");
        }
    }
    let question = review("Pod", &pod()).to_string();
    for content_type in ["text/plain", "", "application/yaml", "application/jsonx"] {
        let (status, text) = client.post("/inject", content_type, question.clone()).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(text.contains("application/json is expected"), "{text}");
    }
    let (status, _) = client
        .post("/inject", "application/json; charset=utf-8", question)
        .await;
    assert_eq!(status, StatusCode::OK);
    let (_, page) = server.page("/metrics").await;
    assert!(
        page.contains("sidecar_injection_bad_requests_total 18\n"),
        "{page}"
    );
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_refused_and_the_next_request_is_served() {
    let authority = Authority::new();
    let server = Server::start(&authority).await;
    let mut client = Client::connect(server.address, authority.pem())
        .await
        .unwrap();
    let (status, text) = client
        .post("/inject", JSON, vec![b' '; 10 * 1024 * 1024])
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("longer than 6291456 bytes"), "{text}");
    let response = client.review("/inject", &review("Pod", &pod())).await;
    assert_eq!(response["allowed"], true);
}

#[tokio::test]
async fn istio_s_resources_are_let_in() {
    let (_server, mut client) = start().await;
    let object = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService"});
    let response = client
        .review("/validate", &review("VirtualService", &object))
        .await;
    assert_eq!(response, json!({"uid": "705ab4f5", "allowed": true}));
}

#[tokio::test]
async fn who_is_let_in_without_a_sidecar_and_probably_wants_one_is_told() {
    let (_server, mut client) = start().await;
    let mut host = pod();
    host["spec"]["hostNetwork"] = json!(true);
    let response = client.review("/inject", &review("Pod", &host)).await;
    assert_eq!(
        (&response["allowed"], &response["patch"]),
        (&json!(true), &Value::Null)
    );
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.contains("the network of its node"), "{warning}");
}
