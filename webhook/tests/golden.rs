//! Golden files: what a pod looks like after injection, and the patch that makes it so.
//!
//! Each folder of `tests/golden` is a case: `pod.yaml`, perhaps `settings.yaml` with the texts of the
//! ConfigMaps, and what came out: `injected.yaml` and perhaps `warnings.txt`, or `error.txt`, or
//! `skipped.txt`. A case that has a `patch.json` holds the patch too.
//! `tests/golden/rows.yaml` is the index: which case shows what Istio's injector does.
//! `UPDATE_GOLDEN=1 cargo test -p lateen-webhook --test golden` writes what came out anew.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::core::DynamicObject;
use lateen_webhook::config::{Config, Sources};
use lateen_webhook::native::{Kubelets, NativeSidecars};
use lateen_webhook::openshift::Namespaces;
use lateen_webhook::parameters::Parameters;
use lateen_webhook::patch::{Patch, diff};
use lateen_webhook::proxy_configs::ProxyConfigs;
use lateen_webhook::{Cluster, Injector, Outcome, Target};
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
    /// Annotations of namespaces.
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// `ProxyConfig` resources.
    proxy_configs: Vec<DynamicObject>,
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
            namespaces: BTreeMap::new(),
            proxy_configs: Vec::new(),
            url: String::new(),
        }
    }
}

/// The file with the patch, for cases that are about its form.
const PATCH: &str = "patch.json";

/// What can come out.
const NAMES: [&str; 5] = [
    "injected.yaml",
    PATCH,
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

fn cluster(settings: &Settings) -> Cluster {
    let mut kubelets = Kubelets::default();
    for (node, version) in &settings.kubelets {
        kubelets.note(node, version);
    }
    let mut namespaces = Namespaces::default();
    for (namespace, annotations) in &settings.namespaces {
        namespaces.note(namespace, annotations);
    }
    let mut proxy_configs = ProxyConfigs::default();
    for resource in &settings.proxy_configs {
        proxy_configs.note(resource).unwrap();
    }
    Cluster {
        kubelets: Arc::new(kubelets),
        namespaces: Arc::new(namespaces),
        proxy_configs: Arc::new(proxy_configs),
    }
}

fn outputs(pod: &Value, settings: &Settings) -> Outputs {
    let cluster = cluster(settings);
    let parameters = Parameters::parse(&settings.url);
    let target = Target {
        namespace: &settings.namespace,
        parameters: &parameters,
        cluster: &cluster,
        owner: None,
    };
    let injector = injector(settings);
    let typed: Pod = serde_json::from_value(pod.clone()).unwrap();
    let injection = match injector.inject(&typed, &target) {
        Ok(Outcome::Injected(injection)) => injection,
        Ok(Outcome::AlreadyInjected) => {
            return Outputs::from([("skipped.txt", "already injected\n".to_owned())]);
        }
        Ok(Outcome::Skipped { reason, warnings }) => {
            let mut lines = vec![reason.to_string()];
            lines.extend(warnings);
            return Outputs::from([("skipped.txt", lines.join("\n") + "\n")]);
        }
        Err(error) => return Outputs::from([("error.txt", format!("{error}\n"))]),
    };
    let patch = diff(typed, *injection.pod.clone());
    let mut injected = pod.clone();
    patch.apply(&mut injected).unwrap();
    let read: Pod = serde_json::from_value(injected.clone()).unwrap();
    assert!(read == *injection.pod, "the patch makes another pod");
    assert!(
        injector.inject(&read, &target) == Ok(Outcome::AlreadyInjected),
        "an injected pod is injected again: {:?}",
        read.metadata.annotations
    );
    let mut outputs = Outputs::from([
        ("injected.yaml", serde_saphyr::to_string(&injected).unwrap()),
        (PATCH, operations(&patch)),
    ]);
    if !injection.warnings.is_empty() {
        outputs.insert("warnings.txt", injection.warnings.join("\n") + "\n");
    }
    outputs
}

/// A patch with one operation on each line.
fn operations(patch: &Patch) -> String {
    let Value::Array(operations) = serde_json::from_slice(patch.as_bytes()).unwrap() else {
        return String::new();
    };
    let lines: Vec<_> = operations.iter().map(Value::to_string).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(root()).unwrap();
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.is_dir());
    cases.sort();
    cases
}

/// What comes out of a case now.
fn outputs_of(case: &Path) -> Outputs {
    let pod: Value = serde_saphyr::from_str(&read(&case.join("pod.yaml")).unwrap()).unwrap();
    let settings = read(&case.join("settings.yaml"))
        .map(|yaml| serde_saphyr::from_str(&yaml).unwrap())
        .unwrap_or_default();
    outputs(&pod, &settings)
}

#[test]
fn injected_pods_are_as_recorded() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differing = Vec::new();
    for case in cases() {
        let outputs = outputs_of(&case);
        for name in NAMES {
            let path = case.join(name);
            let recorded = read(&path);
            let is_optional = name == PATCH && recorded.is_none();
            let expected = outputs.get(name).filter(|_| !is_optional);
            if recorded.as_ref() == expected {
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
    let mut seen: BTreeMap<Outputs, PathBuf> = BTreeMap::new();
    let mut twice = Vec::new();
    for case in cases() {
        let mut outputs = outputs_of(&case);
        outputs.remove("injected.yaml");
        if let Some(other) = seen.insert(outputs, case.clone()) {
            twice.push(format!("{} and {}", other.display(), case.display()));
        }
    }
    assert!(twice.is_empty(), "the same result:\n{}", twice.join("\n"));
}

/// A row of the index.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    row: String,
    case: String,
    /// A piece of what came out that is there because of the row.
    shows: Option<String>,
    /// A piece of the case `default` that is not there because of the row.
    hides: Option<String>,
}

#[test]
fn every_row_is_shown_by_its_case() {
    let rows: Vec<Row> = serde_saphyr::from_str(&read(&root().join("rows.yaml")).unwrap()).unwrap();
    let results = |case: &str| {
        let names = NAMES.iter().filter(|name| **name != PATCH);
        let texts = names.filter_map(|name| read(&root().join(case).join(name)));
        texts.collect::<Vec<_>>().join("\n")
    };
    let default = results("default");
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for Row {
        row,
        case,
        shows,
        hides,
    } in rows
    {
        let result = results(&case);
        let is_shown = shows.as_ref().is_none_or(|piece| {
            result.contains(piece) && (case == "default" || !default.contains(piece))
        });
        let is_hidden = hides
            .as_ref()
            .is_none_or(|piece| !result.contains(piece) && default.contains(piece));
        let says_something = shows.is_some() || hides.is_some();
        if result.is_empty() || !is_shown || !is_hidden || !says_something {
            wrong.push(format!("{row}: case {case} does not show it"));
        }
        if !seen.insert(row.clone()) {
            wrong.push(format!("{row}: there twice"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
