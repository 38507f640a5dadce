//! What the commands do to a cluster, in which order.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use super::*;
use crate::arguments::{RemoveTag, SetTag};
use crate::fake_cluster::FakeCluster;
use crate::hooks::Hook;
use crate::manifest::Object;
use crate::values::{Sources, Values};

const OWN: &str = "mutatingwebhookconfigurations/istio-sidecar-injector";
const TAG: &str = "mutatingwebhookconfigurations/istio-revision-tag-default";
const RIGHT: &str = "clusterroles/istio-revision-tag-default-istio-system";
const SERVICE: &str = "services/istiod-revision-tag-prod";

/// What tags go by of a revision: its webhook configuration, once its injector has set `caBundle`, and
/// the Service of its control plane.
pub(super) fn installed(revision: &str, namespace: &str) -> (Hook, Service) {
    let sources = Sources {
        revision: Some(revision.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..Sources::default()
    };
    let manifest = Manifest::build(&Values::load(&sources).unwrap()).unwrap();
    let object = manifest.admission[0].to_json().unwrap();
    let mut hook: MutatingWebhookConfiguration = serde_json::from_value(object).unwrap();
    for entry in hook.webhooks.iter_mut().flatten() {
        entry.client_config.ca_bundle = Some(ByteString(b"authority".to_vec()));
    }
    let is_service = |object: &&Object| object.resource.kind == "Service";
    let service = manifest.control.iter().find(is_service).unwrap();
    let service = serde_json::from_value(service.to_json().unwrap()).unwrap();
    (Hook::new(hook).unwrap(), service)
}

/// A cluster with these revisions in these namespaces.
fn cluster(revisions: &[(&str, &str)]) -> FakeCluster {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"istio.io/rev": "prod"}}});
    let mut objects = vec![namespace];
    for (revision, namespace) in revisions {
        let (hook, service) = installed(revision, namespace);
        objects.push(serde_json::to_value(hook.configuration()).unwrap());
        objects.push(serde_json::to_value(service).unwrap());
    }
    FakeCluster::with(objects)
}

fn side_by_side() -> FakeCluster {
    cluster(&[("default", "istio-system"), ("canary", "istio-system")])
}

/// The Service of a tag as Istio makes it.
fn istios_service(tag: &str, namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": format!("istiod-revision-tag-{tag}"), "namespace": namespace,
            "labels": {"app": "istiod", "istio.io/tag": tag, "istio.io/rev": "1-26"}}})
}

async fn inventory(cluster: &FakeCluster) -> Inventory {
    let client = cluster.client();
    let inventory = Inventory::of(&client, names::SYSTEM_NAMESPACE).await;
    inventory.unwrap()
}

async fn tags(cluster: &FakeCluster) -> Vec<String> {
    let inventory = inventory(cluster).await;
    let tags = inventory.tags().into_iter();
    tags.map(|(tag, revision)| format!("{tag} {revision}"))
        .collect()
}

async fn set(cluster: &FakeCluster, tag: &str, revision: &str, overwrite: bool) -> Result<()> {
    let options = SetTag {
        tag: tag.to_owned(),
        revision: revision.parse().unwrap(),
        overwrite,
        auto_inject_namespaces: false,
        webhook_name: None,
        skip_confirmation: true,
    };
    let inventory = inventory(cluster).await;
    let console = Console::for_terminal();
    set::set(&cluster.client(), &inventory, &options, &console).await
}

async fn remove(cluster: &FakeCluster, tag: &str) -> Result<()> {
    let options = RemoveTag {
        tag: tag.to_owned(),
        skip_confirmation: true,
    };
    let inventory = inventory(cluster).await;
    let console = Console::for_terminal();
    remove::run(&cluster.client(), &inventory, &options, &console).await
}

#[tokio::test]
async fn the_default_tag_takes_over_and_gives_back() {
    let cluster = side_by_side();
    let (before, names) = (cluster.object(OWN).unwrap(), cluster.names());
    set(&cluster, "default", "canary", false).await.unwrap();
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
    assert_eq!(cluster.names(), names);
}

#[tokio::test]
async fn other_tags_change_nothing_but_themselves() {
    let cluster = side_by_side();
    let (before, names) = (cluster.object(OWN).unwrap(), cluster.names());
    set(&cluster, "prod", "canary", false).await.unwrap();
    assert_eq!(cluster.object(OWN).unwrap(), before);
    assert_eq!(users(&cluster.client(), "prod").await.unwrap(), ["shop"]);
    let service = cluster.object(SERVICE).unwrap();
    assert_eq!(service["spec"]["selector"]["istio.io/rev"], "canary");
    set(&cluster, "prod", "default", true).await.unwrap();
    let service = cluster.object(SERVICE).unwrap();
    assert_eq!(service["spec"]["selector"]["istio.io/rev"], "default");
    assert_eq!(tags(&cluster).await, ["prod default"]);
    remove(&cluster, "prod").await.unwrap();
    assert_eq!(cluster.names(), names);
}

#[tokio::test]
async fn a_tag_that_moves_leaves_nothing_behind_and_always_leads_somewhere() {
    let cluster = cluster(&[("blue", "north"), ("green", "south")]);
    let names = cluster.names();
    set(&cluster, "prod", "blue", false).await.unwrap();
    let first = cluster.names();
    let before = cluster.changes().len();
    set(&cluster, "prod", "green", true).await.unwrap();
    assert_eq!(tags(&cluster).await, ["prod green"]);
    let service = cluster.object(SERVICE).unwrap();
    assert_eq!(service["metadata"]["namespace"], "south");
    assert_eq!(cluster.names().len(), first.len(), "{:?}", cluster.names());

    let changes = &cluster.changes()[before..];
    let made: Vec<bool> = changes
        .iter()
        .map(|change| change.starts_with("PATCH"))
        .collect();
    assert!(made.is_sorted_by(|one, next| one >= next), "{changes:?}");
    let gone = changes.iter().filter(|change| change.starts_with("DELETE"));
    let gone: Vec<&str> = gone.map(String::as_str).collect();
    let role = "istio-revision-tag-prod-north";
    assert_eq!(
        gone,
        [
            &format!("DELETE clusterrolebindings/{role}"),
            &format!("DELETE clusterroles/{role}"),
            "DELETE services/istiod-revision-tag-prod",
        ]
    );
    remove(&cluster, "prod").await.unwrap();
    assert_eq!(cluster.names(), names);
}

#[tokio::test]
async fn a_tag_that_an_installation_takes_leaves_nothing_behind() {
    let cluster = cluster(&[("blue", "north"), ("green", "south")]);
    set(&cluster, "prod", "blue", false).await.unwrap();
    let sources = Sources {
        revision: Some("green".to_owned()),
        namespace: Some("south".to_owned()),
        assignments: vec!["revisionTags={prod}".to_owned()],
        ..Sources::default()
    };
    let manifest = Manifest::build(&Values::load(&sources).unwrap()).unwrap();
    for object in &manifest.admission {
        cluster.add(object.to_json().unwrap());
    }
    settle(&cluster.client(), &manifest).await.unwrap();
    assert_eq!(tags(&cluster).await, ["prod green"]);
    let is_former = |name: &String| name.ends_with("-north");
    assert!(
        !cluster.names().iter().any(is_former),
        "{:?}",
        cluster.names()
    );
}

#[tokio::test]
async fn a_tag_leads_to_istios_control_plane_as_its_own_service_does() {
    let cluster = side_by_side();
    set(&cluster, "prod", "canary", false).await.unwrap();
    let (hook, service) = installed("1-26", "istio-system");
    let foreign = |object: Value| {
        let mut object = object;
        object["metadata"]["labels"] = json!({"app": "istiod", "istio.io/rev": "1-26"});
        object
    };
    cluster.add(foreign(serde_json::to_value(hook.configuration()).unwrap()));
    let mut service = foreign(serde_json::to_value(service).unwrap());
    service["spec"] = json!({"clusterIP": "10.0.0.1", "selector": {"app": "istiod"},
        "ports": [{"name": "grpc-xds", "port": 15010, "nodePort": 30000}]});
    cluster.add(service);

    set(&cluster, "prod", "1-26", true).await.unwrap();
    assert_eq!(tags(&cluster).await, ["prod 1-26"]);
    let expected = json!({"selector": {"app": "istiod"},
        "ports": [{"name": "grpc-xds", "port": 15010}]});
    assert_eq!(cluster.object(SERVICE).unwrap()["spec"], expected);
    let is_right = |name: &String| name.starts_with("clusterrole");
    assert!(!cluster.names().iter().any(is_right), "an injector of ours");
}

#[tokio::test]
async fn a_tag_that_is_not_there_cannot_be_removed() {
    let error = remove(&side_by_side(), "other").await.unwrap_err();
    assert!(error.to_string().contains("no tag other"), "{error}");
}

#[tokio::test]
async fn a_service_is_enough_for_a_tag_to_be_known_and_removed() {
    let cluster = side_by_side();
    let names = cluster.names();
    cluster.add(istios_service("prod", "istio-system"));
    assert_eq!(tags(&cluster).await, ["prod 1-26"]);
    let refusal = set(&cluster, "prod", "canary", false).await.unwrap_err();
    assert!(refusal.to_string().contains("--overwrite"), "{refusal}");
    let collision = istios_service("prod", "istio-system");
    remove(&cluster, "prod").await.unwrap();
    assert_eq!(cluster.names(), names);

    let mut revision = collision;
    revision["metadata"]["labels"] = json!({"app": "istiod", "istio.io/rev": "prod"});
    cluster.add(revision);
    let refusal = set(&cluster, "prod", "canary", true).await.unwrap_err();
    assert!(refusal.to_string().contains("revision prod"), "{refusal}");
}

#[tokio::test]
async fn services_of_other_namespaces_and_others_services_are_left_alone() {
    let mut others = istios_service("prod", "istio-system");
    others["metadata"]["labels"]["app"] = json!("shop");
    let cluster = FakeCluster::with([istios_service("prod", "elsewhere"), others]);
    assert!(tags(&cluster).await.is_empty());
    let error = remove(&cluster, "prod").await.unwrap_err();
    assert!(error.to_string().contains("no tag prod"), "{error}");
    assert!(cluster.changes().is_empty(), "{:?}", cluster.changes());
    let named = Inventory::of(&cluster.client(), "elsewhere").await.unwrap();
    assert_eq!(named.tags(), [("prod", "1-26")].into());
}
