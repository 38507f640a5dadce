use serde_json::json;

use super::*;

fn document(value: &Value) -> Document {
    let part = |name: &str| value.get(name).cloned().unwrap_or_else(|| json!({}));
    let list = value.get("defaultTemplates").cloned();
    Document {
        default_templates: serde_json::from_value(list.unwrap_or_else(|| json!([]))).unwrap(),
        templates: serde_json::from_value(part("templates")).unwrap(),
        aliases: serde_json::from_value(part("aliases")).unwrap(),
    }
}

fn templates(value: &Value) -> Result<(Templates, Vec<String>), String> {
    Templates::parse(document(value)).map_err(|error| error.to_string())
}

/// All templates in the order in which they are laid over one another.
fn names(selection: &Selection) -> Vec<&str> {
    let below = selection.below.iter().map(|overlay| overlay.name.as_str());
    let above = selection.above.iter().map(|overlay| overlay.name.as_str());
    below
        .chain(selection.base.map(BuiltIn::name))
        .chain(above)
        .collect()
}

#[test]
fn pods_get_the_sidecar_unless_somebody_says_otherwise() {
    let (plain, _) = templates(&json!({})).unwrap();
    assert_eq!(names(plain.defaults()), ["sidecar"]);
    let (own, _) = templates(&json!({
        "templates": {"a": "spec: {}", "b": {"metadata": {"labels": {"x": "y"}}}},
        "aliases": {"both": ["a", "b"], "gw": ["gateway"]},
        "defaultTemplates": ["sidecar", "b"],
    }))
    .unwrap();
    assert_eq!(names(own.defaults()), ["sidecar", "b"]);
    let cases: [(&str, &[&str]); 5] = [
        ("both", &["a", "b"]),
        (" gw , b, a", &["gateway", "b", "a"]),
        ("b,sidecar,a", &["b", "sidecar", "a"]),
        ("sidecar,sidecar", &["sidecar"]),
        ("sidecar,a,sidecar,b", &["a", "sidecar", "b"]),
    ];
    for (list, expected) in cases {
        assert_eq!(names(&own.select(list).unwrap()), expected, "{list}");
    }
}

#[test]
fn what_is_not_known_is_refused_with_what_is() {
    let (own, _) = templates(&json!({"templates": {"a": "spec: {}"}})).unwrap();
    for list in ["", "sidecar,mine", "waypoint", "Sidecar"] {
        let allowed = own.select(list).unwrap_err();
        assert!(
            allowed.ends_with("which are: sidecar, gateway, a"),
            "{allowed}"
        );
    }
    let both = own.select("sidecar,gateway").unwrap_err();
    assert!(both.contains("not both"), "{both}");
    let error = templates(&json!({"defaultTemplates": ["mine"]})).unwrap_err();
    assert!(
        error.contains("field defaultTemplates: \"mine\""),
        "{error}"
    );
    let error = templates(&json!({"aliases": {"x": ["mine"]}})).unwrap_err();
    assert!(error.contains("field aliases.x: \"mine\""), "{error}");
}

#[test]
fn the_go_templates_of_istio_s_charts_have_no_effect_and_others_are_refused() {
    let go = "{{ .Values.global.hub }}";
    let (_, notices) = templates(&json!({
        "templates": {"sidecar": go, "grpc-agent": go, "a": "spec: {nodename: x}"},
        "aliases": {"grpc": ["sidecar", "grpc-agent"]},
    }))
    .unwrap();
    let paths: Vec<&str> = notices
        .iter()
        .filter_map(|notice| notice.split(':').next())
        .collect();
    let expected = [
        "templates.a.spec.nodename",
        "templates.grpc-agent",
        "templates.sidecar",
        "aliases.grpc",
    ];
    assert_eq!(paths, expected);
    let error = templates(&json!({"templates": {"mine": go}})).unwrap_err();
    assert!(
        error.contains("field templates.mine: it is a Go template"),
        "{error}"
    );
}
