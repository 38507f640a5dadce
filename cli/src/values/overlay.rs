//! What a user asks for, laid over the charts' defaults: Helm values files, `IstioOperator` files
//! and `--set`, all brought into the shape of the charts' `values.yaml`.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::assignment::Assignment;

/// Reads a values file: Helm values, or an `IstioOperator`, whose `spec` counts.
///
/// # Errors
/// Says where the YAML is broken, or what the document is instead.
pub(super) fn parse_file(yaml: &str) -> Result<Map<String, Value>> {
    let document: Option<Value> = serde_saphyr::from_str(yaml)?;
    let mut tree = match document {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(tree)) => tree,
        Some(_) => bail!("expected fields, such as `meshConfig: {{...}}`"),
    };
    let Some(kind) = tree.get("kind").and_then(Value::as_str) else {
        return Ok(tree);
    };
    ensure!(
        kind == "IstioOperator",
        "kind {kind:?} holds no values; expected Helm values or kind IstioOperator"
    );
    match tree.remove("spec").unwrap_or_default() {
        Value::Object(spec) => Ok(spec),
        Value::Null => Ok(Map::new()),
        _ => bail!("`spec` holds no fields"),
    }
}

/// The overlay that arguments of `--set` make together.
///
/// # Errors
/// Names the argument that cannot be read or contradicts an earlier one.
pub(super) fn parse_assignments(arguments: &[String]) -> Result<Map<String, Value>> {
    let mut tree = Map::new();
    for argument in arguments {
        for assignment in Assignment::parse_all(argument)? {
            assignment
                .apply(&mut tree)
                .with_context(|| format!("cannot apply --set {argument:?}"))?;
        }
    }
    Ok(tree)
}

/// Moves what `istioctl` writes in other places to where the charts have it: `values.X` to `X`,
/// `hub`, `tag` and `namespace` below `global`.
///
/// # Errors
/// Refuses profiles that do not exist, and fields with a value of the wrong type.
pub(super) fn normalize(mut tree: Map<String, Value>) -> Result<Map<String, Value>> {
    if let Some(profile) = tree.remove("profile") {
        let known = profile
            .as_str()
            .is_some_and(|name| ["", "default"].contains(&name));
        ensure!(
            known,
            "profile {profile} does not exist; the only one is default"
        );
    }
    let mut global = Map::new();
    for (field, value) in [
        ("hub", "hub"),
        ("tag", "tag"),
        ("namespace", "istioNamespace"),
    ] {
        if let Some(given) = tree.remove(field) {
            global.insert(value.to_owned(), given);
        }
    }
    match tree.remove("values") {
        None | Some(Value::Null) => {}
        Some(Value::Object(values)) => lay_over(&mut tree, values),
        Some(other) => bail!("`values` holds no fields but {other}"),
    }
    if !global.is_empty() {
        lay_over(
            &mut tree,
            Map::from_iter([("global".to_owned(), Value::Object(global))]),
        );
    }
    Ok(tree)
}

/// Lays one overlay over another. Unlike [`merge`] it keeps nulls: they are to take defaults
/// away, not only what an earlier overlay said.
pub(super) fn lay_over(base: &mut Map<String, Value>, overlay: Map<String, Value>) {
    for (key, value) in overlay {
        match (base.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => lay_over(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Lays an overlay over the defaults as Helm does it: maps are merged, a null takes the default away,
/// all else is replaced.
pub(super) fn merge(base: &mut Map<String, Value>, overlay: Map<String, Value>) {
    for (key, value) in overlay {
        match (base.get_mut(&key), value) {
            (_, Value::Null) => {
                base.remove(&key);
            }
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: impl Into<Value>) -> Map<String, Value> {
        let Value::Object(map) = value.into() else {
            panic!("not a map")
        };
        map
    }

    #[test]
    fn istioctl_paths_move_to_the_charts_places() {
        let spec = map(json!({
            "hub": "h", "tag": "t", "namespace": "mesh", "profile": "default",
            "values": {"global": {"meshID": "m"}, "pilot": {"replicaCount": 1}},
            "meshConfig": {"trustDomain": "td"}
        }));
        let expected = json!({
            "global": {"hub": "h", "tag": "t", "istioNamespace": "mesh", "meshID": "m"},
            "pilot": {"replicaCount": 1},
            "meshConfig": {"trustDomain": "td"}
        });
        assert_eq!(Value::Object(normalize(spec).unwrap()), expected);
    }

    #[test]
    fn an_unknown_profile_is_refused() {
        let error = normalize(map(json!({"profile": "ambient"}))).unwrap_err();
        assert!(error.to_string().contains("ambient"), "{error}");
    }

    #[test]
    fn both_kinds_of_files_are_read() {
        let operator =
            "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {hub: h}\n";
        assert_eq!(parse_file(operator).unwrap(), map(json!({"hub": "h"})));
        assert_eq!(
            parse_file("global: {hub: h}").unwrap(),
            map(json!({"global": {"hub": "h"}}))
        );
        assert!(
            parse_file("kind: Pod")
                .unwrap_err()
                .to_string()
                .contains("Pod")
        );
        assert!(parse_file("- 1").is_err());
        assert!(parse_file("# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn merging_follows_helm() {
        let mut base = map(json!({"a": {"b": 1, "c": 2}, "d": [1, 2], "e": 1}));
        merge(
            &mut base,
            map(json!({"a": {"c": null, "x": 3}, "d": [3], "e": null, "f": null})),
        );
        assert_eq!(
            Value::Object(base),
            json!({"a": {"b": 1, "x": 3}, "d": [3]})
        );
    }
}
