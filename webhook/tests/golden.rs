//! Golden files: what a pod looks like after injection, and the patch that makes it so.
//!
//! Each folder of `tests/golden` is a case: `pod.yaml`, perhaps `settings.yaml` with the texts of the
//! ConfigMaps, and what came out: `injected.yaml` and `patch.json` and perhaps `warnings.txt`, or
//! `error.txt`, or `skipped.txt`.
//! `UPDATE_GOLDEN=1 cargo test -p lateen-webhook --test golden` writes what came out anew.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use lateen_webhook::config::{Config, Sources};
use lateen_webhook::native::{Kubelets, NativeSidecars};
use lateen_webhook::parameters::Parameters;
use lateen_webhook::patch::{Patch, diff};
use lateen_webhook::{Injector, Outcome, Target};
use serde::Deserialize;
use serde_json::Value;

/// What else a case depends on.
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Settings {
    config: String,
    values: String,
    mesh: String,
    namespace: String,
    /// Versions of kubelets by node.
    kubelets: BTreeMap<String, String>,
    /// What follows `/inject/` in the URL.
    url: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            config: String::new(),
            values: r#"{"global":{"hub":"registry.example/lateen","tag":"1.2.3"}}"#.to_owned(),
            mesh: String::new(),
            namespace: "shop".to_owned(),
            kubelets: BTreeMap::from([("node".to_owned(), "v1.34.0".to_owned())]),
            url: String::new(),
        }
    }
}

/// What can come out.
const NAMES: [&str; 5] = [
    "injected.yaml",
    "patch.json",
    "warnings.txt",
    "error.txt",
    "skipped.txt",
];

/// File names and texts.
type Outputs = BTreeMap<&'static str, String>;

fn injector(settings: &Settings) -> Injector {
    let sources = Sources {
        config: &settings.config,
        values: &settings.values,
        mesh: &settings.mesh,
    };
    let (config, _) = Config::parse(sources).unwrap();
    Injector::new(config, NativeSidecars::Auto).unwrap()
}

fn outputs(pod: &Value, settings: &Settings) -> Outputs {
    let mut kubelets = Kubelets::default();
    for (node, version) in &settings.kubelets {
        kubelets.insert(node, version);
    }
    let parameters = Parameters::parse(&settings.url);
    let target = Target {
        namespace: &settings.namespace,
        parameters: &parameters,
        kubelets: &kubelets,
        owner: None,
    };
    let injector = injector(settings);
    let typed: Pod = serde_json::from_value(pod.clone()).unwrap();
    let injection = match injector.inject(&typed, &target) {
        Ok(Outcome::Injected(injection)) => injection,
        Ok(Outcome::AlreadyInjected) => {
            return Outputs::from([("skipped.txt", "already injected\n".to_owned())]);
        }
        Ok(Outcome::Skipped(reason)) => {
            return Outputs::from([("skipped.txt", format!("{reason}\n"))]);
        }
        Err(error) => return Outputs::from([("error.txt", format!("{error}\n"))]),
    };
    let patch = diff(typed, *injection.pod.clone());
    let mut injected = pod.clone();
    patch.apply(&mut injected).unwrap();
    let read: Pod = serde_json::from_value(injected.clone()).unwrap();
    assert_eq!(read, *injection.pod, "the patch makes another pod");
    assert_eq!(
        injector.inject(&read, &target),
        Ok(Outcome::AlreadyInjected),
        "an injected pod is injected again"
    );
    let mut outputs = Outputs::from([
        ("injected.yaml", serde_saphyr::to_string(&injected).unwrap()),
        ("patch.json", operations(&patch)),
    ]);
    if !injection.warnings.is_empty() {
        outputs.insert("warnings.txt", injection.warnings.join("\n") + "\n");
    }
    outputs
}

/// A patch with one operation on each line.
fn operations(patch: &Patch) -> String {
    let Value::Array(operations) = serde_json::to_value(patch).unwrap() else {
        return String::new();
    };
    let lines: Vec<_> = operations.iter().map(Value::to_string).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    cases
}

#[test]
fn injected_pods_are_as_recorded() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differing = Vec::new();
    for case in cases() {
        let pod: Value = serde_saphyr::from_str(&read(&case.join("pod.yaml")).unwrap()).unwrap();
        let settings = read(&case.join("settings.yaml"))
            .map(|yaml| serde_saphyr::from_str(&yaml).unwrap())
            .unwrap_or_default();
        let outputs = outputs(&pod, &settings);
        for name in NAMES {
            let path = case.join(name);
            let expected = outputs.get(name);
            if read(&path).as_ref() == expected {
                continue;
            }
            if !update {
                differing.push(path.display().to_string());
            } else if let Some(text) = expected {
                fs::write(path, text).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    }
    assert!(
        differing.is_empty(),
        "run again with UPDATE_GOLDEN=1 and review:\n{}",
        differing.join("\n")
    );
}

/// Two cases with the same result say the same thing twice.
#[test]
fn no_two_cases_have_the_same_patch() {
    let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
    for case in cases() {
        if let Some(patch) = read(&case.join("patch.json"))
            && let Some(other) = seen.insert(patch, case.clone())
        {
            panic!(
                "{} and {} have the same patch",
                other.display(),
                case.display()
            );
        }
    }
}
