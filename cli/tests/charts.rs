//! What the charts repeat of the code is current, and so is what the documentation repeats of the charts.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::Value;

/// A file of the repository.
fn file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).expect("the repository has this file")
}

#[test]
fn definitions_are_those_of_the_code() {
    let current = lateenctl::render::definitions().unwrap();
    assert!(
        file("charts/base/files/crds.yaml") == current,
        "run: cargo run -p lateenctl -- manifest crds > charts/base/files/crds.yaml"
    );
}

#[test]
fn charts_are_of_this_version() {
    for chart in ["base", "istiod"] {
        let text = file(&format!("charts/{chart}/Chart.yaml"));
        for key in ["version", "appVersion"] {
            let line = format!("\n{key}: {}\n", env!("CARGO_PKG_VERSION"));
            assert!(text.contains(&line), "chart {chart} has another {key}");
        }
    }
}

#[test]
fn every_value_is_documented() {
    let values: Value = serde_saphyr::from_str(&file("charts/istiod/values.yaml")).unwrap();
    let page = file("docs/install.md");
    let missing: Vec<String> = paths("", &values)
        .into_iter()
        .filter(|path| !is_documented(&page, path))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

/// The page has the value itself or a section that it belongs to, such as `pilot.resources`.
fn is_documented(page: &str, path: &str) -> bool {
    let sections = path.match_indices('.').map(|(dot, _)| path.split_at(dot).0);
    sections
        .chain([path])
        .any(|section| page.contains(&format!("`{section}`")))
}

/// The paths of all values that are no maps of further ones.
fn paths(parent: &str, value: &Value) -> Vec<String> {
    match value.as_object().filter(|map| !map.is_empty()) {
        None => vec![parent.trim_start_matches('.').to_owned()],
        Some(map) => map
            .iter()
            .flat_map(|(key, value)| paths(&format!("{parent}.{key}"), value))
            .collect(),
    }
}
