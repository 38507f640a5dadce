//! Which tags can be, and what they consist of.

use k8s_openapi::ByteString;
use kube::ResourceExt;

use super::*;
use crate::manifest::{Manifest, Object};
use crate::values::{Sources, Values};

/// The webhook configuration of an installed revision, once its injector has set `caBundle`.
fn installed(revision: &str) -> Hook {
    let sources = Sources {
        revision: Some(revision.to_owned()),
        ..Sources::default()
    };
    let manifest = Manifest::build(&Values::load(&sources).unwrap()).unwrap();
    let hook = hook(&manifest.admission[0]);
    let mut configuration = hook.configuration().clone();
    for entry in configuration.webhooks.iter_mut().flatten() {
        entry.client_config.ca_bundle = Some(ByteString(b"authority".to_vec()));
    }
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
fn tagged(options: &SetTag, hooks: &[Hook]) -> Hook {
    let plan = Plan::new(options, hooks).unwrap();
    hook(plan.tag().objects().unwrap().last().unwrap())
}

#[test]
fn a_tag_is_this() {
    let hooks = [installed("default"), installed("canary")];
    let options = options("prod", "canary");
    let plan = Plan::new(&options, &hooks).unwrap();
    assert_eq!(plan.doubts(&hooks), None);
    insta::assert_snapshot!(to_yaml(&plan.tag().objects().unwrap()).unwrap());
}

#[test]
fn the_default_tag_has_the_entries_of_the_default_revision() {
    let hooks = [installed("default"), installed("canary")];
    let names =
        |hook: &Hook| -> Vec<String> { hook.entries().map(|entry| entry.name.clone()).collect() };
    let mut options = options("default", "canary");
    assert_eq!(names(&tagged(&options, &hooks)), names(&hooks[0]));
    assert_eq!(Plan::new(&options, &hooks).unwrap().doubts(&hooks), None);

    options.auto_inject_namespaces = true;
    let entries = names(&tagged(&options, &hooks));
    assert_eq!(entries.last().unwrap(), "auto.sidecar-injector.istio.io");
}

#[test]
fn what_would_break_something_is_refused() {
    let mut hooks = vec![installed("default"), installed("canary")];
    hooks.push(tagged(&options("prod", "canary"), &hooks));
    let refusal = |options: &SetTag, hooks: &[Hook]| {
        Plan::new(options, hooks)
            .err()
            .map(|error| error.to_string())
    };
    let auto = SetTag {
        auto_inject_namespaces: true,
        ..options("test", "canary")
    };
    for (options, expected) in [
        (options("canary", "default"), "there is a revision canary"),
        (options("prod", "default"), "--overwrite"),
        (options("test", "other"), "installed: default, canary"),
        (auto, "only the tag default"),
    ] {
        let refusal = refusal(&options, &hooks).unwrap();
        assert!(refusal.contains(expected), "{refusal}");
    }
    assert_eq!(refusal(&options("test", "canary"), &hooks), None);
    let overwrite = SetTag {
        overwrite: true,
        ..options("prod", "default")
    };
    assert_eq!(refusal(&overwrite, &hooks), None);

    let fresh = {
        let mut configuration = installed("fresh").configuration().clone();
        for entry in configuration.webhooks.iter_mut().flatten() {
            entry.client_config.ca_bundle = None;
        }
        Hook::new(configuration).unwrap()
    };
    let refusal = refusal(&options("test", "fresh"), &[fresh]).unwrap();
    assert!(refusal.contains("no caBundle yet"), "{refusal}");
}

#[test]
fn a_second_configuration_for_the_same_pods_is_doubted() {
    let mut hooks = vec![installed("default"), installed("canary")];
    hooks.push(tagged(&options("prod", "canary"), &hooks));
    let twice = SetTag {
        overwrite: true,
        webhook_name: Some("other".to_owned()),
        ..options("prod", "default")
    };
    let doubts = Plan::new(&twice, &hooks).unwrap().doubts(&hooks).unwrap();
    assert!(
        doubts.contains("istio-revision-tag-prod and other"),
        "{doubts}"
    );
}

#[test]
fn a_foreign_revision_needs_no_rights_of_ours() {
    let mut configuration = installed("canary").configuration().clone();
    configuration
        .labels_mut()
        .retain(|key, _| key == names::REVISION);
    let hooks = [Hook::new(configuration).unwrap()];
    let plan = options("prod", "canary");
    let objects = Plan::new(&plan, &hooks).unwrap().tag().objects().unwrap();
    assert_eq!(objects.len(), 1);
}
