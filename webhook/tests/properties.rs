//! What holds for every pod: the patch makes what the injector says, nobody is injected twice, the
//! same pod gives the same patch, fields that nobody knows survive, and what was there before is
//! still there after what was added is taken out.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where something is missing"
)]

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, Pod};
use lateen_webhook::native::{Kubelets, NativeSidecars};
use lateen_webhook::parameters::Parameters;
use lateen_webhook::{Config, Injector, Outcome, Target};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Annotations of users, each with values that are good and values that are not.
const ANNOTATIONS: &[(&str, &[&str])] = &[
    (
        "example.org/note",
        &["", "$(POD_NAME) \"quoted\" {{ .Values }}\n- a: b"],
    ),
    (
        "sidecar.istio.io/nativeSidecar",
        &["true", "false", "perhaps"],
    ),
    (
        "sidecar.istio.io/interceptionMode",
        &["REDIRECT", "TPROXY", "NONE", "none"],
    ),
    ("sidecar.istio.io/proxyCPU", &["10m", "5", "x"]),
    ("sidecar.istio.io/rewriteAppHTTPProbers", &["true", "false"]),
    (
        "sidecar.istio.io/userVolume",
        &[r#"{"mine":{"emptyDir":{}}}"#],
    ),
    ("status.sidecar.istio.io/port", &["0", "15020", "15555"]),
    (
        "traffic.sidecar.istio.io/excludeInboundPorts",
        &["80", "1,2,3", "http"],
    ),
    (
        "proxy.istio.io/config",
        &[
            "{}",
            "holdApplicationUntilProxyStarts: true",
            "proxyMetadata: {A: b}",
        ],
    ),
    ("prometheus.io/scrape", &["true", "false"]),
    ("prometheus.io.port", &["8080", "15090"]),
    (
        "sidecar.istio.io/status",
        &["", "{}", r#"{"containers":["istio-proxy"]}"#],
    ),
];

fn probe() -> impl Strategy<Value = Value> {
    let port = prop_oneof![
        (1..30000u16).prop_map(|port| json!(port)),
        Just(json!("http"))
    ];
    let handler = prop_oneof![
        port.clone()
            .prop_map(|port| json!({"httpGet": {"port": port, "path": "/$(X)", "new": 1}})),
        port.clone()
            .prop_map(|port| json!({"httpGet": {"port": port, "scheme": "HTTPS"}})),
        port.prop_map(|port| json!({"tcpSocket": {"port": port}})),
        (1..30000u16).prop_map(|port| json!({"grpc": {"port": port, "service": ""}})),
        Just(json!({"exec": {"command": ["true"]}})),
    ];
    (handler, of(1..10i32)).prop_map(|(mut probe, timeout)| {
        probe["new"] = json!("probe");
        if let Some(timeout) = timeout {
            probe["timeoutSeconds"] = json!(timeout);
        }
        probe
    })
}

fn container(name: String) -> impl Strategy<Value = Value> {
    (
        of(probe()),
        of(probe()),
        of(probe()),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            move |(readiness, liveness, startup, has_port, is_sidecar)| {
                let mut container =
                    json!({"name": name, "image": "i", "new": format!("field of {name}")});
                if has_port {
                    container["ports"] = json!([{"name": "http", "containerPort": 8080}]);
                }
                if is_sidecar && name.starts_with("init") {
                    container["restartPolicy"] = json!("Always");
                }
                let probes = [
                    ("readinessProbe", readiness),
                    ("livenessProbe", liveness),
                    ("startupProbe", startup),
                ];
                for (field, probe) in probes {
                    if let Some(probe) = probe {
                        container[field] = probe;
                    }
                }
                container
            },
        )
}

fn containers(prefix: &'static str, least: usize) -> impl Strategy<Value = Vec<Value>> {
    btree_set(0..9u8, least..4).prop_flat_map(move |numbers| {
        numbers
            .into_iter()
            .map(|number| container(format!("{prefix}{number}")))
            .collect::<Vec<_>>()
    })
}

fn annotations() -> impl Strategy<Value = BTreeMap<String, String>> {
    let entry = select(ANNOTATIONS).prop_flat_map(|(key, values)| (Just(key), select(values)));
    vec(entry, 0..6).prop_map(|entries| {
        entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    })
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let key = select(vec![
        "app",
        "version",
        "security.istio.io/tlsMode",
        "pod-template-hash",
    ]);
    btree_map(key.prop_map(str::to_owned), "[a-z]{1,5}", 0..4)
}

/// A field that is absent, `null`, empty or filled.
fn optional(filled: Value, form: u8) -> Option<Value> {
    match form {
        0 => None,
        1 => Some(Value::Null),
        _ => Some(filled),
    }
}

prop_compose! {
    fn pod()(
        labels in labels(),
        annotations in annotations(),
        containers in containers("app", 1),
        init_containers in containers("init", 0),
        volumes in btree_set("vol[a-c]|istio-data|mine", 0..3),
        forms in proptest::array::uniform4(0..4u8),
        user_proxy in proptest::bool::weighted(0.1),
    ) -> Value {
        let mut containers = containers;
        if user_proxy {
            containers.push(json!({"name": "istio-proxy", "image": "auto", "env": [{"name": "A", "value": "1"}]}));
        }
        let volumes: Vec<Value> =
            volumes.iter().map(|name| json!({"name": name, "emptyDir": {}, "new": name})).collect();
        let mut metadata = Map::from_iter([("name".to_owned(), json!("p")), ("new".to_owned(), json!(1))]);
        let mut spec = Map::from_iter([("containers".to_owned(), json!(containers)), ("new".to_owned(), json!([{}]))]);
        metadata.extend(optional(json!(labels), forms[0]).map(|value| ("labels".to_owned(), value)));
        metadata.extend(optional(json!(annotations), forms[1]).map(|value| ("annotations".to_owned(), value)));
        spec.extend(optional(json!(init_containers), forms[2]).map(|value| ("initContainers".to_owned(), value)));
        spec.extend(optional(json!(volumes), forms[3]).map(|value| ("volumes".to_owned(), value)));
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    }
}

struct World {
    injector: Injector,
    parameters: Parameters,
    kubelets: Kubelets,
}

impl World {
    fn new() -> Self {
        let injector = Injector::new(Config::default(), NativeSidecars::Auto).unwrap();
        Self {
            injector,
            parameters: Parameters::default(),
            kubelets: Kubelets::default(),
        }
    }

    fn inject(&self, pod: &Value) -> Option<(Outcome, Value)> {
        let target = Target {
            namespace: "shop",
            parameters: &self.parameters,
            kubelets: &self.kubelets,
            owner: None,
        };
        let typed: Pod = serde_json::from_value(pod.clone()).unwrap();
        let outcome = self.injector.inject(&typed, &target).ok()?;
        let mut injected = pod.clone();
        if let Some(patch) = outcome.clone().patch(typed) {
            patch.apply(&mut injected).unwrap();
        }
        Some((outcome, injected))
    }
}

/// Every string of the pod that came in must come out, as it was, at some place.
fn strings<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::String(text) => {
            found.insert(text);
        }
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| strings(field, found)),
        _ => {}
    }
}

fn named<'a>(pod: &'a Value, list: &str) -> BTreeMap<&'a str, &'a Value> {
    let items = pod["spec"][list].as_array().into_iter().flatten();
    items
        .map(|item| (item["name"].as_str().unwrap(), item))
        .collect()
}

/// The variable of the proxy's container, as JSON.
fn probers(pod: &Pod) -> Map<String, Value> {
    let spec = pod.spec.as_ref().unwrap();
    let mut all = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    let proxy: &Container = all
        .find(|container| container.name == "istio-proxy")
        .unwrap();
    let mut variables = proxy.env.iter().flatten();
    let variable = variables.find(|variable| variable.name == "ISTIO_KUBE_APP_PROBERS");
    let text = variable.and_then(|variable| variable.value.clone());
    text.map(|text| serde_json::from_str(&text.replace("$$", "$")).unwrap())
        .unwrap_or_default()
}

/// Puts the application's own probe back in place of the one that asks the agent.
fn restore(container: &mut Value, original: &Value, probers: &Map<String, Value>) {
    for (field, kind) in [
        ("readinessProbe", "readyz"),
        ("livenessProbe", "livez"),
        ("startupProbe", "startupz"),
    ] {
        let path = format!("/app-health/{}/{kind}", container["name"].as_str().unwrap());
        let Some(prober) = probers.get(&path) else {
            continue;
        };
        assert_eq!(container[field]["httpGet"]["path"], json!(path));
        for handler in ["httpGet", "tcpSocket", "grpc"] {
            let told = &prober[handler];
            let before = &original[field][handler];
            assert_eq!(told.is_null(), before.is_null(), "{path}: {handler}");
            if before["port"].is_number() {
                assert_eq!(told["port"], before["port"]);
            } else if !told.is_null() {
                assert_eq!(told["port"], json!(8080));
            }
        }
        assert_eq!(prober["timeoutSeconds"], original[field]["timeoutSeconds"]);
        container[field] = original[field].clone();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_patch_makes_the_injected_pod_and_no_pod_is_injected_twice(pod in pod()) {
        let world = World::new();
        let Some((outcome, injected)) = world.inject(&pod) else { return Ok(()) };
        prop_assert_eq!(Some((outcome.clone(), injected.clone())), world.inject(&pod));
        let Outcome::Injected(injection) = outcome else { return Ok(()) };
        prop_assert_eq!(&serde_json::from_value::<Pod>(injected.clone()).unwrap(), &*injection.pod);
        prop_assert_eq!(world.inject(&injected), Some((Outcome::AlreadyInjected, injected)));
    }

    #[test]
    fn taking_out_what_was_added_gives_back_the_pod(pod in pod()) {
        let world = World::new();
        let Some((Outcome::Injected(injection), injected)) = world.inject(&pod) else { return Ok(()) };
        let probers = probers(&injection.pod);
        for list in ["containers", "initContainers"] {
            let (before, after) = (named(&pod, list), named(&injected, list));
            let ours = |name: &&str| *name == "istio-proxy" || *name == "istio-init";
            let before: Vec<_> = before.into_iter().filter(|(name, _)| !ours(name)).collect();
            let after: Vec<_> = after.into_iter().filter(|(name, _)| !ours(name)).collect();
            prop_assert_eq!(before.len(), after.len());
            for ((_, original), (_, container)) in before.into_iter().zip(after) {
                let mut container = container.clone();
                restore(&mut container, original, &probers);
                prop_assert_eq!(&container, original);
            }
        }
        let volumes = named(&injected, "volumes");
        for (name, volume) in named(&pod, "volumes") {
            prop_assert_eq!(volumes.get(name), Some(&volume));
        }
        prop_assert_eq!(&injected["metadata"]["new"], &pod["metadata"]["new"]);
        prop_assert_eq!(&injected["spec"]["new"], &pod["spec"]["new"]);
        for (kind, changed) in [("labels", ""), ("annotations", "prometheus")] {
            for (key, value) in pod["metadata"][kind].as_object().into_iter().flatten() {
                if changed.is_empty() || !(key.starts_with(changed) || key == "sidecar.istio.io/status") {
                    prop_assert_eq!(&injected["metadata"][kind][key], value);
                }
            }
        }
    }

    #[test]
    fn a_string_changes_nothing_but_its_own_value(note in "\\PC*", pod in pod()) {
        let world = World::new();
        let with = |note: &str| {
            let mut pod = pod.clone();
            let annotations = json!({"example.org/note": note});
            pod["metadata"]["annotations"] = annotations;
            world.inject(&pod)
        };
        let (Some((_, mut one)), Some((_, other))) = (with(&note), with("other")) else {
            return Err(TestCaseError::fail("a note must not matter"));
        };
        prop_assert_eq!(&one["metadata"]["annotations"]["example.org/note"], &json!(note));
        one["metadata"]["annotations"]["example.org/note"] = json!("other");
        prop_assert_eq!(one, other);
    }

    #[test]
    fn no_string_is_lost(pod in pod()) {
        let Some((Outcome::Injected(_), injected)) = World::new().inject(&pod) else { return Ok(()) };
        let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
        let mut kept = pod;
        if let Some(annotations) = kept["metadata"]["annotations"].as_object_mut() {
            annotations.retain(|key, _| key.starts_with("example.org"));
        }
        for list in ["containers", "initContainers"] {
            for container in kept["spec"][list].as_array_mut().into_iter().flatten() {
                let fields = container.as_object_mut().unwrap();
                fields.retain(|name, _| !name.ends_with("Probe"));
            }
        }
        strings(&kept, &mut before);
        strings(&injected, &mut after);
        before.remove("auto");
        prop_assert!(before.is_subset(&after), "{:?}", before.difference(&after));
    }
}
