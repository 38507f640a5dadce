//! The Helm charts and the command line make the same objects, for every file of values in
//! `tests/values`. Needs `helm`: from the cache of the local cluster, or from `PATH`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use lateenctl::manifest::Manifest;
use lateenctl::values::{Sources, Values};
use serde_json::Value;

/// Namespaces to install into: the usual one and another.
const NAMESPACES: [&str; 2] = ["istio-system", "mesh"];

/// Objects by kind, namespace and name.
type Objects = BTreeMap<[String; 3], Value>;

#[test]
fn charts_and_command_line_make_the_same_objects() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("cli/tests/values"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 10, "the matrix is {files:?}");
    for file in &files {
        for namespace in NAMESPACES {
            let mut rendered = template("base", namespace, &[]);
            rendered.extend(template(
                "istiod",
                namespace,
                &["--values".into(), file.into()],
            ));
            compare(
                &built(file, namespace),
                &rendered,
                &format!("{} in {namespace}", file.display()),
            );
        }
    }
}

#[test]
fn charts_refuse_what_the_command_line_refuses() {
    for assignment in [
        "revision=Canary",
        "revisionTags={Prod}",
        "revisionTags={default}",
        "global.proxy.autoInject=maybe",
        "global.proxy_init.backend=ebpf",
        "global.nativeNftables=true,global.proxy_init.backend=iptables",
        "sidecarInjectorWebhook.reinvocationPolicy=Always",
    ] {
        let sources = Sources {
            assignments: vec![assignment.to_owned()],
            ..Sources::default()
        };
        assert!(
            Values::load(&sources).is_err(),
            "lateenctl accepts {assignment}"
        );
        let output = helm(
            "istiod",
            "istio-system",
            &["--set".into(), assignment.into()],
        );
        assert!(!output.status.success(), "the chart accepts {assignment}");
    }
}

/// What `lateenctl install` would apply.
fn built(file: &Path, namespace: &str) -> Objects {
    let values = Values::load(&Sources {
        files: vec![file.to_owned()],
        namespace: Some(namespace.to_owned()),
        ..Sources::default()
    })
    .unwrap();
    let manifest = Manifest::build(&values).unwrap();
    manifest
        .objects()
        .map(|object| keyed(object.to_json().unwrap()))
        .collect()
}

/// What `helm install` would apply.
fn template(chart: &str, namespace: &str, arguments: &[OsString]) -> Objects {
    let output = helm(chart, namespace, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "helm template {chart} {arguments:?}: {errors}"
    );
    let yaml = String::from_utf8(output.stdout).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&yaml).unwrap();
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .map(keyed)
        .collect()
}

fn helm(chart: &str, namespace: &str, arguments: &[OsString]) -> std::process::Output {
    let mut command = Command::new(program());
    command
        .args(["template", chart])
        .arg(root().join("charts").join(chart))
        .args(["--namespace", namespace]);
    command.args(arguments).output().expect("helm runs")
}

/// An object by its name, with the texts of ConfigMaps read, since YAML has many forms.
fn keyed(mut object: Value) -> ([String; 3], Value) {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let key = [
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name"),
    ];
    if let Some(Value::Object(data)) = object.get_mut("data") {
        for text in data.values_mut() {
            *text = serde_saphyr::from_str(text.as_str().unwrap()).unwrap();
        }
    }
    (key, object)
}

fn compare(built: &Objects, rendered: &Objects, case: &str) {
    let keys = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(built),
        keys(rendered),
        "{case}: left lateenctl, right helm"
    );
    for (key, object) in built {
        let expected = &rendered[key];
        assert!(
            object == expected,
            "{case}: {key:?}\nlateenctl: {}\nhelm: {}",
            serde_json::to_string_pretty(object).unwrap(),
            serde_json::to_string_pretty(expected).unwrap()
        );
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The `helm` of the local cluster's cache, or of `PATH`.
fn program() -> PathBuf {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = variable("LATEEN_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("lateen")))
        .or_else(|| variable("HOME").map(|folder| folder.join(".cache/lateen")));
    let cached = cache.map(|folder| folder.join("bin/helm")).into_iter();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("helm"));
    cached
        .chain(on_path)
        .find(|candidate| candidate.is_file())
        .expect(
            "no helm: `cargo xtask cluster up` builds it into the cache; or put helm 3 into PATH",
        )
}
