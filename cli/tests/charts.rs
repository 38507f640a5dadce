//! What the charts repeat of the code is current.

use std::path::Path;

/// A file of the charts.
fn chart_file(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../charts")
        .join(path);
    std::fs::read_to_string(&file).expect("a chart has this file")
}

#[test]
fn definitions_are_those_of_the_code() {
    let current = lateenctl::render::definitions().unwrap();
    assert!(
        chart_file("base/files/crds.yaml") == current,
        "run: cargo run -p lateenctl -- manifest crds > charts/base/files/crds.yaml"
    );
}

#[test]
fn charts_are_of_this_version() {
    for chart in ["base", "istiod"] {
        let text = chart_file(&format!("{chart}/Chart.yaml"));
        for key in ["version", "appVersion"] {
            let line = format!("\n{key}: {}\n", env!("CARGO_PKG_VERSION"));
            assert!(text.contains(&line), "chart {chart} has another {key}");
        }
    }
}
