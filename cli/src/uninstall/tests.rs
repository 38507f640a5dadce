//! What goes, what stays, and in which order.

use serde_json::json;

use super::*;
use crate::fake_cluster::FakeCluster;
use crate::manifest::Manifest;
use crate::values::{Sources, Values};

fn revisions(names: &[&str]) -> BTreeSet<Revision> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// A cluster with all objects of some revisions, and what their control planes write.
fn cluster(revisions: &[&str]) -> FakeCluster {
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "istio-ca-root-cert", "namespace": "shop"}}),
        json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "istio-ca-secret", "namespace": "istio-system"}}),
    ];
    for revision in revisions {
        let values = Values::load(&Sources {
            revision: Some((*revision).to_owned()),
            ..Sources::default()
        });
        let manifest = Manifest::build(&values.unwrap()).unwrap();
        objects.extend(manifest.objects().map(|object| object.to_json().unwrap()));
        let certs = manifest.revision.name_of(names::INJECTOR_CERTS);
        objects.push(json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": certs, "namespace": "istio-system"}}));
    }
    FakeCluster::with(objects)
}

async fn uninstall(cluster: &FakeCluster, revision: Option<&str>, purge: bool) {
    let options = Uninstall {
        revision: revision.map(|revision| revision.parse().unwrap()),
        purge,
        skip_confirmation: true,
    };
    let console = Console::for_terminal();
    remove(cluster.client(), "istio-system", &options, &console)
        .await
        .unwrap();
}

#[tokio::test]
async fn one_of_two_revisions_leaves_the_other_as_it_was() {
    let both = cluster(&["default", "canary"]);
    uninstall(&both, Some("canary"), false).await;
    assert_eq!(both.names(), cluster(&["default"]).names());
    let first = both.changes().first().cloned().unwrap();
    assert!(first.contains("mutatingwebhookconfigurations"), "{first}");

    uninstall(&both, None, false).await;
    let left = both.names();
    let kept = |name: &String| {
        name.starts_with("customresourcedefinitions/") || name == "secrets/istio-ca-secret"
    };
    assert!(left.iter().all(kept), "{left:?}");
}

#[tokio::test]
async fn what_a_default_tag_took_is_given_back_when_its_revision_goes() {
    let both = cluster(&["default", "canary"]);
    let own = "mutatingwebhookconfigurations/istio-sidecar-injector";
    let before = both.object(own).unwrap();
    let client = both.client();
    let hooks = hooks::list(&client).await.unwrap();
    takeover::deactivate(&client, &hooks).await.unwrap();
    assert_ne!(both.object(own).unwrap(), before);
    let mut tag = both.object(&format!("{own}-canary")).unwrap();
    tag["metadata"]["name"] = json!("istio-revision-tag-default");
    tag["metadata"]["labels"]["istio.io/tag"] = json!("default");
    both.add(tag);

    uninstall(&both, Some("canary"), false).await;
    assert_eq!(both.names(), cluster(&["default"]).names());
    assert_eq!(both.object(own).unwrap(), before);
}

#[tokio::test]
async fn a_purge_leaves_nothing_of_any_revision() {
    let both = cluster(&["default", "canary"]);
    uninstall(&both, None, true).await;
    assert_eq!(both.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_mesh_elsewhere_keeps_its_objects() {
    let there = cluster(&["default"]);
    let before = there.names();
    for purge in [false, true] {
        let options = Uninstall {
            revision: None,
            purge,
            skip_confirmation: true,
        };
        // Names of roles end in their namespace, which this one ends in.
        let outcome = remove(there.client(), "system", &options, &Console::for_terminal()).await;
        let refusal = outcome.err().map(|error| error.to_string());
        assert_eq!(refusal.is_some(), purge, "{refusal:?}");
        let names_it = |refusal: String| refusal.contains("namespace istio-system");
        assert!(refusal.is_none_or(names_it));
        assert_eq!(there.names(), before);
    }
}

#[test]
fn nothing_goes_that_is_not_meant() {
    let canary: Revision = "canary".parse().unwrap();
    let both = revisions(&["canary", "default"]);
    for (installed, named, purge, expected) in [
        (&both, Some(&canary), false, Ok(revisions(&["canary"]))),
        (&both, None, true, Ok(both.clone())),
        (&both, None, false, Err("name one by --revision")),
        (&both, Some(&canary), true, Err("there are others")),
        (
            &revisions(&["canary"]),
            None,
            false,
            Ok(revisions(&["canary"])),
        ),
        (
            &revisions(&["canary"]),
            Some(&canary),
            true,
            Ok(revisions(&["canary"])),
        ),
        (&revisions(&[]), None, false, Ok(revisions(&["default"]))),
    ] {
        match (doomed(installed, named, purge), expected) {
            (Ok(doomed), Ok(expected)) => assert_eq!(doomed, expected),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (doomed, expected) => panic!("{doomed:?} is not {expected:?}"),
        }
    }
}
