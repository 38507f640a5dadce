//! Which tags can be, and what they consist of.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;

use super::super::tests::installed;
use super::*;
use crate::manifest::to_yaml;

/// What there is with these revisions.
fn inventory(revisions: &[&str]) -> Inventory {
    let installed = |revision: &&str| installed(revision, names::SYSTEM_NAMESPACE);
    let (hooks, services) = revisions.iter().map(installed).unzip();
    Inventory { hooks, services }
}

/// A webhook configuration, changed.
fn changed(hook: &Hook, change: impl FnOnce(&mut MutatingWebhookConfiguration)) -> Hook {
    let mut configuration = hook.configuration().clone();
    change(&mut configuration);
    Hook::new(configuration).unwrap()
}

fn hook(object: &Object) -> Hook {
    Hook::new(serde_json::from_value(object.to_json().unwrap()).unwrap()).unwrap()
}

fn options(tag: &str, revision: &str) -> SetTag {
    SetTag {
        tag: tag.to_owned(),
        revision: revision.parse().unwrap(),
        overwrite: false,
        auto_inject_namespaces: false,
        webhook_name: None,
        skip_confirmation: false,
    }
}

/// The webhook configuration of a tag among others.
fn tagged(options: &SetTag, inventory: &Inventory) -> Hook {
    let plan = Plan::new(options, inventory).unwrap();
    hook(plan.tag().objects().unwrap().last().unwrap())
}

fn doubts(options: &SetTag, inventory: &Inventory) -> Option<String> {
    Plan::new(options, inventory)
        .unwrap()
        .doubts(&inventory.hooks)
}

fn refusal(options: &SetTag, inventory: &Inventory) -> Option<String> {
    let refusal = Plan::new(options, inventory).err();
    refusal.map(|error| error.to_string())
}

#[test]
fn a_tag_is_this() {
    let inventory = inventory(&["default", "canary"]);
    let options = options("prod", "canary");
    assert_eq!(doubts(&options, &inventory), None);
    let plan = Plan::new(&options, &inventory).unwrap();
    insta::assert_snapshot!(to_yaml(&plan.tag().objects().unwrap()).unwrap());
}

#[test]
fn the_default_tag_has_the_entries_of_the_default_revision() {
    let inventory = inventory(&["default", "canary"]);
    let names =
        |hook: &Hook| -> Vec<String> { hook.entries().map(|entry| entry.name.clone()).collect() };
    let mut options = options("default", "canary");
    assert_eq!(
        names(&tagged(&options, &inventory)),
        names(&inventory.hooks[0])
    );
    assert_eq!(doubts(&options, &inventory), None);

    options.auto_inject_namespaces = true;
    let entries = names(&tagged(&options, &inventory));
    assert_eq!(entries.last().unwrap(), "auto.sidecar-injector.istio.io");
}

#[test]
fn what_would_break_something_is_refused() {
    let mut inventory = inventory(&["default", "canary"]);
    let prod = tagged(&options("prod", "canary"), &inventory);
    inventory.hooks.push(prod);
    let auto = SetTag {
        auto_inject_namespaces: true,
        ..options("test", "canary")
    };
    let named = |name: &str| SetTag {
        webhook_name: Some(name.to_owned()),
        ..options("test", "canary")
    };
    for (options, expected) in [
        (options("canary", "default"), "there is a revision canary"),
        (options("prod", "default"), "--overwrite"),
        (options("test", "other"), "installed: default, canary"),
        (auto, "only the tag default"),
        (named("istio-sidecar-injector"), "another revision's"),
        (named("istio-revision-tag-prod"), "another revision's"),
    ] {
        let refusal = refusal(&options, &inventory).unwrap();
        assert!(refusal.contains(expected), "{refusal}");
    }
    assert_eq!(refusal(&options("test", "canary"), &inventory), None);
    let overwrite = SetTag {
        overwrite: true,
        ..options("prod", "default")
    };
    assert_eq!(refusal(&overwrite, &inventory), None);
}

#[test]
fn a_revision_whose_injector_never_was_ready_gets_no_tag() {
    let mut inventory = inventory(&["fresh"]);
    inventory.hooks[0] = changed(&inventory.hooks[0], |configuration| {
        for entry in configuration.webhooks.iter_mut().flatten() {
            entry.client_config.ca_bundle = None;
        }
    });
    let refusal = refusal(&options("test", "fresh"), &inventory).unwrap();
    assert!(refusal.contains("no caBundle yet"), "{refusal}");
}

#[test]
fn a_second_configuration_for_the_same_pods_is_doubted() {
    let mut inventory = inventory(&["default", "canary"]);
    let prod = tagged(&options("prod", "canary"), &inventory);
    inventory.hooks.push(prod.clone());
    let again = SetTag {
        overwrite: true,
        webhook_name: Some("other".to_owned()),
        ..options("prod", "default")
    };
    // The tag's first configuration goes.
    assert_eq!(doubts(&again, &inventory), None);
    let plan = Plan::new(&again, &inventory).unwrap();
    let objects = plan.tag().objects().unwrap();
    assert_eq!(
        plan.former(&inventory, &objects),
        ["MutatingWebhookConfiguration istio-revision-tag-prod"]
    );

    inventory.hooks[2] = changed(&prod, |configuration| {
        let tag = ("istio.io/tag".to_owned(), "another".to_owned());
        configuration.labels_mut().extend([tag]);
    });
    let doubts = doubts(&again, &inventory).unwrap();
    assert!(
        doubts.contains("istio-revision-tag-prod and other"),
        "{doubts}"
    );
}

#[test]
fn a_foreign_revision_needs_no_rights_of_ours() {
    let mut inventory = inventory(&["canary"]);
    inventory.hooks[0] = changed(&inventory.hooks[0], |configuration| {
        configuration
            .labels_mut()
            .retain(|key, _| key == names::REVISION);
    });
    let plan = options("prod", "canary");
    let objects = Plan::new(&plan, &inventory).unwrap().tag().objects();
    let kinds = objects
        .unwrap()
        .into_iter()
        .map(|object| object.resource.kind);
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        ["Service", "MutatingWebhookConfiguration"]
    );
}
