use super::*;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::native::NativeSidecars;
use crate::parameters::Parameters;

fn injected(manifests: &str) -> Result<Manifests, InjectError> {
    let injector = Injector::new(Config::default(), NativeSidecars::Auto).unwrap();
    let target = Target {
        namespace: "fallback",
        parameters: &Parameters::default(),
        cluster: &Cluster::default(),
        owner: None,
    };
    kube_inject(manifests, &injector, &target)
}

fn documents(yaml: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_str_multiple(yaml).unwrap();
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect()
}

/// The owner that the proxy in a pod's `spec` is told of.
fn owner(spec: &Value) -> &str {
    let proxy = &spec["initContainers"][1];
    assert_eq!(proxy["name"], "istio-proxy");
    let mut variables = proxy["env"].as_array().unwrap().iter();
    variables
        .find(|entry| entry["name"] == "ISTIO_META_OWNER")
        .unwrap()["value"]
        .as_str()
        .unwrap()
}

#[test]
fn every_workload_is_injected() {
    for kind in TEMPLATED {
        let manifest = format!(
            "{{apiVersion: apps/v1, kind: {kind}, metadata: {{name: w, namespace: shop}},
              spec: {{template: {{spec: {{containers: [{{name: c}}]}}}}}}}}"
        );
        let result = injected(&manifest).unwrap();
        let spec = documents(&result.yaml)[0]["spec"]["template"]["spec"].clone();
        let kind = kind.to_lowercase();
        assert_eq!(
            owner(&spec),
            format!("kubernetes://apis/apps/v1/namespaces/shop/{kind}s/w")
        );
    }
    let result = injected(
        "
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  jobTemplate:
    spec: {template: {metadata: null, spec: {containers: [{name: c}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: alone}
spec: {containers: [{name: c}]}
",
    )
    .unwrap();
    let documents = documents(&result.yaml);
    let spec = &documents[0]["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(
        owner(spec),
        "kubernetes://apis/batch/v1/namespaces/fallback/cronjobs/tick"
    );
    assert_eq!(
        owner(&documents[1]["spec"]),
        "kubernetes://apis/v1/namespaces/fallback/pods/alone"
    );
}

#[test]
fn lists_are_entered_and_everything_else_passes_through() {
    let manifests = "
# A comment.
---
apiVersion: v1
kind: ConfigMap
metadata: {name: m}
data: {a: 'yes', b: \"0123\", c: \"1e3\", d: \"null\", e: \"a: b\\n  c\\n\", f: '', g: '~', h: 'off', i: ' x'}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIP: None, ports: [{port: 80}]}}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: d}
  spec: {template: {spec: {containers: [{name: c, unknown: 1}]}}}
";
    let result = injected(manifests).unwrap();
    let (before, after) = (documents(manifests), documents(&result.yaml));
    assert_eq!(after.len(), 2);
    assert_eq!(after[0], before[0], "{}", result.yaml);
    assert_eq!(after[1]["items"][0], before[1]["items"][0]);
    let spec = &after[1]["items"][1]["spec"]["template"]["spec"];
    assert_eq!(
        owner(spec),
        "kubernetes://apis/apps/v1/namespaces/fallback/deployments/d"
    );
    assert_eq!(
        spec["containers"],
        before[1]["items"][1]["spec"]["template"]["spec"]["containers"]
    );
    assert!(result.notices.is_empty());
    assert_eq!(injected(&result.yaml).unwrap().yaml, result.yaml);
}

#[test]
fn what_is_not_injected_stays_as_it_was_written() {
    let manifests = [
        "# Licence.\n",
        "apiVersion: v1 # of old\r\nkind: ConfigMap\r\ndata: {a: 'yes', \"b\": 0x10}\r\n",
        "apiVersion: x/v1\nkind: Widget\nspec:\n    mode: 0644\n    text: |+\n        a\n\n",
        "apiVersion: x/v1\nkind: Deployment\nspec: {template: {spec: {containers: [{name: c}]}}}\n",
        "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Service\"\n}\n",
        "apiVersion: v1\nkind: List\nitems:\n- &a {apiVersion: v1, kind: Secret}\n- *a\n",
        "apiVersion: v1\nkind: Pod\nspec: {hostNetwork: true, containers: []} # on the node\n",
        "apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: 0}\n",
    ];
    let mut text = manifests.join("---\n");
    let result = injected(&text).unwrap();
    text.push_str("---\n");
    assert_eq!(result.yaml, text);
    let injected_before = injected("{apiVersion: v1, kind: Pod, spec: {containers: [{name: c}]}}");
    let once = injected_before.unwrap().yaml;
    assert_eq!(injected(&once).unwrap().yaml, once);
}

#[test]
fn values_are_written_as_kubectl_reads_them() {
    let manifest = "
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {a: '0644', b: 'yes', c: '1e3', d: \"12:30\", e: 'y', f: '', g: '0x10'}}
spec:
  automountServiceAccountToken: no
  volumes: [{name: v, configMap: {name: v, defaultMode: 0644}}]
  containers: [&c {name: c, args: ['1_000', \"~\", \"null\", '=']}, {<<: *c, name: d}]
";
    let result = injected(manifest).unwrap();
    let document = documents(&result.yaml).remove(0);
    let mut volumes = document["spec"]["volumes"].as_array().unwrap().iter();
    let own = volumes.find(|volume| volume["name"] == "v").unwrap();
    assert_eq!(own["configMap"]["defaultMode"], 420);
    assert_eq!(document["spec"]["automountServiceAccountToken"], false);
    let labels = serde_json::json!({"a": "0644", "b": "yes", "c": "1e3", "d": "12:30", "e": "y", "f": "", "g": "0x10"});
    for (name, value) in labels.as_object().unwrap() {
        assert_eq!(document["metadata"]["labels"][name], *value, "{name}");
        let quoted = value.as_str().unwrap();
        let is_quoted = [
            format!("{name}: \"{quoted}\""),
            format!("{name}: '{quoted}'"),
        ];
        assert!(
            is_quoted.iter().any(|line| result.yaml.contains(line)),
            "{}",
            result.yaml
        );
    }
    let containers = document["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2);
    for container in containers {
        assert_eq!(
            container["args"],
            serde_json::json!(["1_000", "~", "null", "="])
        );
    }
}

#[test]
fn what_is_left_alone_is_said_beside_the_output() {
    let manifest = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {hostNetwork: true, containers: []}}";
    let result = injected(manifest).unwrap();
    assert_eq!(documents(&result.yaml), documents(manifest));
    let [reason, warning] = result.notices.as_slice() else {
        panic!("{:?}", result.notices)
    };
    let expected = "Pod \"p\": left alone because the pod uses the network of its node";
    assert_eq!(reason, expected);
    assert!(
        warning.contains("sidecar.istio.io/inject=false"),
        "{warning}"
    );
}

#[test]
fn errors_name_the_document() {
    let good = "{apiVersion: v1, kind: Service}";
    let cases = [
        ("a: [", "document 1"),
        ("{kind: Pod}", "document 1: it has no apiVersion and kind"),
        ("- a", "document 1: it has no apiVersion and kind"),
        (
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {template: 7}}",
            "Deployment \"d\"",
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: 7}}",
            "Pod \"p\"",
        ),
    ];
    for (manifest, expected) in cases {
        let error = injected(manifest).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let bad = "{apiVersion: v1, kind: Pod, metadata: {annotations: {sidecar.istio.io/proxyCPU: x}}, spec: {containers: []}}";
    let error = injected(&format!("{good}\n---\n{bad}"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("document 2") && error.contains("proxyCPU"),
        "{error}"
    );
}
