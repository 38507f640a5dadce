//! Values as users give them.

use serde_json::json;

use super::*;

fn load(assignments: &[&str]) -> Result<Values> {
    let assignments = assignments.iter().map(|text| (*text).to_owned()).collect();
    Values::load(&Sources {
        assignments,
        ..Sources::default()
    })
}

#[test]
fn the_defaults_are_this_release() {
    let values = load(&[]).unwrap();
    assert_eq!(values.global.tag.as_str(), env!("CARGO_PKG_VERSION"));
    assert_eq!(values.namespace(), lateen_wire::names::SYSTEM_NAMESPACE);
    assert_eq!(values.warnings, Vec::<String>::new());
}

#[test]
fn a_flag_beats_set_and_set_beats_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(
        &file,
        "hub: file\nglobal: {tag: 1.5, proxy: {resources: {limits: null}}}\nnamespace: file\n",
    )
    .unwrap();
    let values = Values::load(&Sources {
        files: vec![file],
        assignments: vec!["values.global.hub=set,namespace=set".to_owned()],
        namespace: Some("flag".to_owned()),
        revision: None,
    })
    .unwrap();
    assert_eq!(values.global.hub.as_str(), "set");
    assert_eq!(values.global.tag.as_str(), "1.5");
    assert_eq!(values.namespace(), "flag");
    assert_eq!(
        values.raw("global").pointer("/proxy/resources").unwrap(),
        &json!({"requests": {"cpu": "100m", "memory": "128Mi"}})
    );
}

#[test]
fn what_has_no_effect_is_named() {
    let values = load(&["pilot.replicas=1,meshConfig.enableTracign=true"]).unwrap();
    assert_eq!(values.warnings.len(), 2, "{:?}", values.warnings);
    assert!(values.warnings[0].contains("pilot.replicas"));
    assert!(values.warnings[1].contains("enableTracign"));
}

#[test]
fn wrong_values_are_refused_with_their_path() {
    for (assignment, expected) in [
        ("pilot.replicaCount=two", "pilot.replicaCount"),
        ("global.proxy.autoInject=maybe", "global.proxy.autoInject"),
        (
            "sidecarInjectorWebhook.reinvocationPolicy=Always",
            "reinvocationPolicy",
        ),
        ("meshConfig.connectTimeout=soon", "connectTimeout"),
        ("revision=Canary", "Canary"),
        ("revisionTags={Prod}", "Prod"),
        (
            "revision=canary,revisionTags={canary}",
            "the revision itself",
        ),
        (
            "global.proxy_init.backend=ebpf",
            "global.proxy_init.backend",
        ),
        (
            "global.nativeNftables=true,global.proxy_init.backend=iptables",
            "contradicts global.nativeNftables",
        ),
        ("profile=ambient", "ambient"),
        ("pilot=1", "pilot"),
    ] {
        let error = load(&[assignment]).unwrap_err();
        assert!(
            format!("{error:#}").contains(expected),
            "{assignment}: {error:#}"
        );
    }
}

#[test]
fn whole_floats_become_integers() {
    let mut value = json!({"a": 1.0, "b": [2.5, 1e30], "c": 7});
    integers(&mut value);
    assert_eq!(
        value.to_string(),
        json!({"a": 1, "b": [2.5, 1e30], "c": 7}).to_string()
    );
}
