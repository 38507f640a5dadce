//! What the commands do to a cluster, in which order.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use serde_json::{Value, json};

use super::*;
use crate::arguments::{RemoveTag, SetTag};
use crate::fake_cluster::FakeCluster;
use crate::manifest::Manifest;
use crate::values::{Sources, Values};

const OWN: &str = "mutatingwebhookconfigurations/istio-sidecar-injector";
const TAG: &str = "mutatingwebhookconfigurations/istio-revision-tag-default";
const RIGHT: &str = "clusterroles/istio-revision-tag-default-istio-system";
const SERVICE: &str = "services/istiod-revision-tag-prod";

/// The webhook configuration of an installed revision, once its injector has set `caBundle`.
fn installed(revision: &str) -> Value {
    let sources = Sources {
        revision: Some(revision.to_owned()),
        ..Sources::default()
    };
    let manifest = Manifest::build(&Values::load(&sources).unwrap()).unwrap();
    let object = manifest.admission[0].to_json().unwrap();
    let mut typed: MutatingWebhookConfiguration = serde_json::from_value(object).unwrap();
    for entry in typed.webhooks.iter_mut().flatten() {
        entry.client_config.ca_bundle = Some(ByteString(b"authority".to_vec()));
    }
    serde_json::to_value(typed).unwrap()
}

fn cluster() -> FakeCluster {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"istio.io/rev": "prod"}}});
    FakeCluster::with([installed("default"), installed("canary"), namespace])
}

async fn set(cluster: &FakeCluster, tag: &str) {
    let options = SetTag {
        tag: tag.to_owned(),
        revision: "canary".parse().unwrap(),
        overwrite: false,
        auto_inject_namespaces: false,
        webhook_name: None,
        skip_confirmation: true,
    };
    let console = Console::for_terminal();
    set::set(&cluster.client(), &options, &console)
        .await
        .unwrap();
}

async fn remove(cluster: &FakeCluster, tag: &str) -> Result<()> {
    let options = RemoveTag {
        tag: tag.to_owned(),
        skip_confirmation: true,
    };
    let console = Console::for_terminal();
    remove::run(&cluster.client(), &options, &console).await
}

#[tokio::test]
async fn the_default_tag_takes_over_and_gives_back() {
    let cluster = cluster();
    let before = cluster.object(OWN).unwrap();
    set(&cluster, "default").await;
    let changes = cluster.changes();
    let position = |what: &str| {
        let change = format!("PATCH {what}");
        changes.iter().position(|known| *known == change).unwrap()
    };
    assert!(position(RIGHT) < position(TAG), "{changes:?}");
    assert!(position(TAG) < position(OWN), "{changes:?}");
    let asleep = cluster.object(OWN).unwrap();
    for entry in asleep["webhooks"].as_array().unwrap() {
        let never = json!({"matchLabels": {"istio.io/deactivated": "never-match"}});
        assert_eq!(entry["objectSelector"], never);
        assert!(entry["clientConfig"]["caBundle"].is_string());
    }

    remove(&cluster, "default").await.unwrap();
    assert_eq!(cluster.object(OWN).unwrap(), before);
    assert_eq!(cluster.names().len(), 3, "{:?}", cluster.names());
}

#[tokio::test]
async fn other_tags_change_nothing_but_themselves() {
    let cluster = cluster();
    let before = cluster.object(OWN).unwrap();
    set(&cluster, "prod").await;
    assert_eq!(cluster.object(OWN).unwrap(), before);
    let client = cluster.client();
    assert_eq!(namespaces(&client, "prod").await.unwrap(), ["shop"]);
    let service = cluster.object(SERVICE).unwrap();
    assert_eq!(service["spec"]["selector"]["istio.io/rev"], "canary");
    remove(&cluster, "prod").await.unwrap();
    assert_eq!(cluster.names().len(), 3, "{:?}", cluster.names());
}

#[tokio::test]
async fn a_tag_that_is_not_there_cannot_be_removed() {
    let error = remove(&cluster(), "other").await.unwrap_err();
    assert!(error.to_string().contains("no tag other"), "{error}");
}

#[tokio::test]
async fn a_service_is_enough_for_a_tag_to_be_known_and_removed() {
    let service = |namespace: &str, labels: Value| {
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "istiod-revision-tag-old", "namespace": namespace, "labels": labels}})
    };
    let labels = json!({"app": "istiod", "istio.io/tag": "old", "istio.io/rev": "1-26"});
    let others = json!({"app": "shop", "istio.io/tag": "old", "istio.io/rev": "1-26"});
    let cluster = FakeCluster::with([service("mesh", labels), service("shop", others)]);
    let known = list::known(&cluster.client()).await.unwrap();
    assert_eq!(known, [("old".to_owned(), "1-26".to_owned())].into());
    remove(&cluster, "old").await.unwrap();
    assert_eq!(
        cluster.changes(),
        ["DELETE services/istiod-revision-tag-old"]
    );
    assert!(list::known(&cluster.client()).await.unwrap().is_empty());
    assert_eq!(cluster.names().len(), 1, "somebody else's Service stays");
}
