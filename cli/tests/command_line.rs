//! The program as people call it: exit codes, what goes where, and its two names.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
---
apiVersion: v1
kind: Pod
metadata: {name: host}
spec: {hostNetwork: true, containers: [{name: host, image: host}]}
";

fn lateenctl(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lateenctl"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("KUBECONFIG", folder.join("none"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with the configuration that an installation would have, in files.
fn offline(assignment: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rendered = lateenctl(
        &["manifest", "generate", "--set", assignment],
        folder.path(),
    );
    assert!(rendered.status.success(), "{}", text(&rendered.stderr));
    let objects = text(&rendered.stdout);
    std::fs::write(folder.path().join("objects.yaml"), &objects).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&objects).unwrap();
    for document in documents
        .iter()
        .filter(|document| document["kind"] == "ConfigMap")
    {
        for (key, content) in document["data"].as_object().unwrap() {
            std::fs::write(folder.path().join(key), content.as_str().unwrap()).unwrap();
        }
    }
    std::fs::write(folder.path().join("web.yaml"), DEPLOYMENT).unwrap();
    folder
}

const INJECT: [&str; 9] = [
    "kube-inject",
    "-f",
    "web.yaml",
    "--meshConfigFile",
    "mesh",
    "--injectConfigFile",
    "config",
    "--valuesFile",
    "values",
];

#[test]
fn injection_by_hand_writes_yaml_alone() {
    // By hand, also where the installation injects only pods that ask for it.
    let folder = offline("global.proxy.autoInject=disabled");
    let output = lateenctl(&INJECT, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text(&output.stdout)).unwrap();
    let documents: Vec<&Value> = documents
        .iter()
        .filter(|document| !document.is_null())
        .collect();
    assert_eq!(documents.len(), 3);
    let names: Vec<_> = documents[0]["spec"]["template"]["spec"]["initContainers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| container["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["istio-init", "istio-proxy"]);
    assert_eq!(
        *documents[1],
        serde_saphyr::from_str::<Value>(DEPLOYMENT.split("---").nth(1).unwrap()).unwrap()
    );
    assert!(
        text(&output.stderr).contains("host"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn pods_bring_the_tokens_that_control_asks_for() {
    let folder = offline("global.sds.token.aud=other,global.proxy.clusterDomain=cluster.example");
    let injected = lateenctl(&INJECT, folder.path());
    let injected = text(&injected.stdout);
    assert!(injected.contains("audience: other\n"), "{injected}");
    assert!(injected.contains(".svc.cluster.example"), "{injected}");

    let objects = std::fs::read_to_string(folder.path().join("objects.yaml")).unwrap();
    let control: Vec<Value> = serde_saphyr::from_multiple(&objects).unwrap();
    let control = control
        .iter()
        .find(|object| object["kind"] == "Deployment" && object["metadata"]["name"] == "istiod")
        .unwrap();
    let environment = &control["spec"]["template"]["spec"]["containers"][0]["env"];
    for (name, value) in [
        ("TOKEN_AUDIENCE", "other"),
        ("CLUSTER_DOMAIN", "cluster.example"),
    ] {
        let wanted = serde_json::json!({ "name": name, "value": value });
        let environment = environment.as_array().unwrap();
        assert!(environment.contains(&wanted), "{environment:?}");
    }
}

#[test]
fn injection_by_hand_tells_what_it_cannot_know_without_a_cluster() {
    for (platform, told_of_users) in [("", false), ("openshift", true)] {
        let folder = offline(&format!("global.platform={platform}"));
        let output = lateenctl(&INJECT, folder.path());
        let told = text(&output.stderr);
        let mut told = told
            .lines()
            .filter(|line| line.contains("No cluster was asked"));
        let told = told.next().unwrap();
        assert!(
            told.contains("ProxyConfig") && told.contains("kubelets"),
            "{told}"
        );
        assert_eq!(told.contains("user 1337"), told_of_users, "{told}");
    }
}

#[test]
fn injection_by_hand_writes_to_a_file() {
    let folder = offline("global.hub=other");
    let output = lateenctl(
        &[&INJECT[..], &["-o", "injected.yaml"]].concat(),
        folder.path(),
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
    let injected = std::fs::read_to_string(folder.path().join("injected.yaml")).unwrap();
    assert!(injected.contains("other/proxyv2:"), "{injected}");
}

#[test]
fn injection_by_hand_from_an_operators_file_needs_no_cluster() {
    let folder = offline("global.hub=file");
    let operator = "
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec: {hub: operator, revision: canary, meshConfig: {trustDomain: mesh.example}}
";
    std::fs::write(folder.path().join("operator.yaml"), operator).unwrap();
    // The operator's file has the say, also over files with single texts.
    for more in [
        &[][..],
        &["--valuesFile", "values", "--meshConfigFile", "mesh"],
    ] {
        let arguments = [
            "kube-inject",
            "-f",
            "web.yaml",
            "--operatorFileName",
            "operator.yaml",
        ];
        let output = lateenctl(&[&arguments[..], more].concat(), folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let injected = text(&output.stdout);
        for part in [
            "operator/proxyv2:",
            "istiod-canary.istio-system.svc:15012",
            "mesh.example",
        ] {
            assert!(injected.contains(part), "{part}: {injected}");
        }
    }
}

#[test]
fn flags_without_effect_are_told() {
    let folder = offline("global.hub=other");
    let output = lateenctl(&[&INJECT[..], &["--xds-port", "1"]].concat(), folder.path());
    assert!(output.status.success());
    let told = text(&output.stderr);
    assert!(told.contains("--xds-port has no effect"), "{told}");
}

#[test]
fn failures_and_wrong_usage_have_different_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code, message) in [
        (&["install", "-y"][..], 1, "KUBECONFIG"),
        (&["install", "--set", "profile=ambient"], 1, "ambient"),
        (&["kube-inject", "-f", "missing.yaml"], 1, "missing.yaml"),
        (&["kube-inject"], 2, "--filename"),
        (&["instal"], 2, "install"),
        (&["tag", "set", "prod"], 2, "--revision"),
        (&["tag", "set", "Prod", "-r", "canary"], 2, "DNS label"),
        (&["uninstall", "-r", "1.2"], 2, "cannot be a revision"),
        (&["check-inject", "-n", "shop"], 1, "KUBECONFIG"),
        (
            &["x", "precheck", "--output-threshold", "none"],
            2,
            "Warning",
        ),
        (&["version", "--remote=false"], 0, ""),
    ] {
        let output = lateenctl(arguments, folder.path());
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        let told = text(&output.stderr);
        assert!(told.contains(message), "{arguments:?}: {told}");
        assert!(
            !told.contains('\u{1b}'),
            "colours without a terminal: {told}"
        );
    }
}

#[test]
fn a_version_is_known_without_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let output = lateenctl(&["version", "-o", "json"], folder.path());
    assert!(output.status.success());
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        answer["clientVersion"]["version"],
        env!("CARGO_PKG_VERSION")
    );
    assert!(text(&output.stderr).contains("unknown"));
}

#[test]
fn it_answers_as_istioctl() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("istioctl");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lateenctl"), &link).unwrap();
    let output = Command::new(link)
        .args(["install", "--help"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let help = text(&output.stdout);
    assert!(help.contains("Usage: istioctl install"), "{help}");
    assert!(help.contains("  istioctl install -y"), "{help}");
    assert!(!help.contains("lateenctl"), "{help}");
}

#[test]
fn analyses_of_files_end_as_istioctls_do() {
    let folder = tempfile::tempdir().unwrap();
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec: {containers: [{name: NAME, image: auto}]}\n";
    for (name, text) in [
        (
            "bare.yaml",
            format!("{namespace}---\n{}", pod.replace("NAME", "web")),
        ),
        (
            "auto.yaml",
            pod.replace("NAME", "istio-proxy").replace("web", "gateway"),
        ),
        ("broken.yaml", "a: [\n".to_owned()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let analyze = |arguments: &str| {
        let arguments = format!("analyze --use-kube=false {arguments}");
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        lateenctl(&arguments, folder.path())
    };
    for (arguments, expected) in [
        ("bare.yaml", 0),
        ("bare.yaml --failure-threshold Warning", 79),
        ("auto.yaml", 79),
        ("auto.yaml -o json", 0),
        ("broken.yaml", 65),
        ("broken.yaml --ignore-unknown", 0),
        (".", 79),
        ("none.yaml", 1),
        ("", 1),
        ("-L", 0),
    ] {
        let output = analyze(arguments);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(expected), "{arguments}: {told}");
    }
    let told = text(&analyze("bare.yaml").stdout);
    let expected = "Warning [IST0103] (Pod shop/web bare.yaml:5) ";
    assert!(told.starts_with(expected), "{told}");
    let told: Value = serde_json::from_slice(&analyze("auto.yaml -o json").stdout).unwrap();
    let origin = &told[0]["origin"];
    assert_eq!(
        (&told[0]["code"], origin),
        (&"IST0147".into(), &"Pod shop/gateway".into())
    );
    let suppressed = lateenctl(
        &[
            "analyze",
            "--use-kube=false",
            "auto.yaml",
            "-S",
            "IST0147=Pod *.shop",
        ],
        folder.path(),
    );
    assert_eq!(suppressed.status.code(), Some(0));
    assert!(text(&suppressed.stdout).is_empty());
}
