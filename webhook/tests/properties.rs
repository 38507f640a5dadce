//! What holds for every pod: the patch makes what the injector says, nobody is injected twice, the
//! same pod gives the same patch, fields that nobody knows survive, what was there before is still
//! there after what was added is taken out, an earlier injection makes no difference to a later one,
//! and no text of a user's is anything but a text.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where something is missing"
)]

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, Pod};
use lateen_webhook::config::Sources;
use lateen_webhook::native::NativeSidecars;
use lateen_webhook::parameters::Parameters;
use lateen_webhook::{Cluster, Config, Injector, Outcome, Target};
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
        "inject.istio.io/templates",
        &["sidecar", "gateway", "sidecar,team", "team", "none"],
    ),
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

fn hooks() -> impl Strategy<Value = Value> {
    let run = json!({"exec": {"command": ["run"]}});
    select(vec![
        json!({"preStop": run}),
        json!({"postStart": run}),
        json!({"preStop": {"sleep": {"seconds": 1}}, "postStart": run}),
    ])
}

fn container(name: String) -> impl Strategy<Value = Value> {
    (
        of(probe()),
        of(probe()),
        of(probe()),
        of(hooks()),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            move |(readiness, liveness, startup, hooks, has_port, is_sidecar)| {
                let mut container =
                    json!({"name": name, "image": "i", "new": format!("field of {name}")});
                if has_port {
                    container["ports"] = json!([{"name": "http", "containerPort": 8080}]);
                }
                if is_sidecar && name.starts_with("init") {
                    container["restartPolicy"] = json!("Always");
                }
                let fields = [
                    ("readinessProbe", readiness),
                    ("livenessProbe", liveness),
                    ("startupProbe", startup),
                    ("lifecycle", hooks),
                ];
                for (field, value) in fields {
                    if let Some(value) = value {
                        container[field] = value;
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

/// A custom template that touches the application, the proxy and more, and copies a text.
const TEMPLATES: &str = r#"
templates:
  team:
    metadata: {annotations: {example.org/copy: "<${annotation:example.org/note}>"}}
    spec:
      containers:
      - {name: helper, image: h, readinessProbe: {httpGet: {port: 81, path: "/${serviceAccount}"}}}
      - {name: istio-proxy, env: [{name: NOTE, value: "${annotation:example.org/note}"}]}
      initContainers: [{name: prepare, image: p}]
"#;

struct World {
    injector: Injector,
    parameters: Parameters,
    cluster: Cluster,
}

impl World {
    fn new() -> Self {
        let values = r#"{"global":{"tag":"1","proxy":{"holdApplicationUntilCallersLeave":true}}}"#;
        Self::with(values, NativeSidecars::Auto)
    }

    fn with(values: &str, native: NativeSidecars) -> Self {
        let sources = Sources {
            config: TEMPLATES,
            values,
            mesh: "",
        };
        let (config, notices) = Config::parse(sources).unwrap();
        assert_eq!(notices, Vec::<String>::new());
        let injector = Injector::new(config, native).unwrap();
        Self {
            injector,
            parameters: Parameters::default(),
            cluster: Cluster::default(),
        }
    }

    fn inject(&self, pod: &Value) -> Option<(Outcome, Value)> {
        let target = Target {
            namespace: "shop",
            parameters: &self.parameters,
            cluster: &self.cluster,
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

/// Stands for a text in a pod that is compared.
const MARK: &str = "MARK";

/// Where users write texts of their own: the place, and the JSON, or the value of the annotation, that
/// is written there.
const PLACES: &[(&str, &str)] = &[
    ("/metadata/annotations/example.org~1note", "TEXT"),
    ("/metadata/annotations/prometheus.io~1path", "TEXT"),
    (
        "/metadata/annotations/proxy.istio.io~1config",
        r#"{"proxyMetadata":{"OWN":"TEXT"}}"#,
    ),
    (
        "/metadata/annotations/sidecar.istio.io~1userVolume",
        r#"{"own":{"hostPath":{"path":"TEXT"}}}"#,
    ),
    (
        "/metadata/annotations/sidecar.istio.io~1userVolumeMount",
        r#"{"own":{"mountPath":"TEXT"}}"#,
    ),
    ("/spec/serviceAccountName", "\"TEXT\""),
    ("/spec/containers/0/image", "\"TEXT\""),
    ("/spec/containers/0/args", r#"["TEXT"]"#),
    (
        "/spec/containers/0/env",
        r#"[{"name":"OWN","value":"TEXT"}]"#,
    ),
    (
        "/spec/containers/0/ports",
        r#"[{"containerPort":80,"hostIP":"TEXT"}]"#,
    ),
    (
        "/spec/containers/0/livenessProbe",
        r#"{"httpGet":{"port":80,"path":"TEXT","httpHeaders":[{"name":"x","value":"TEXT"}]}}"#,
    ),
    (
        "/spec/containers/0/readinessProbe",
        r#"{"grpc":{"port":80,"service":"TEXT"}}"#,
    ),
];

/// Texts that would be something else, pasted into another text.
fn text() -> impl Strategy<Value = String> {
    let known = select(vec![
        "\"",
        "'",
        "\\",
        "\n- name: evil\n",
        "\r\u{0}\u{7}",
        "}}\n{{ .Values }}",
        "${hub}",
        "$${hub}",
        "$(POD_NAME)",
        "$$(POD_NAME)",
        "\", \"-x\", \"",
        "{}",
        "[",
        "# comment",
        "&a *a",
        "!!binary",
        "null",
        "true",
        "~",
        "\u{2028}",
        "a,b=c",
    ]);
    let piece = prop_oneof![known.prop_map(str::to_owned), "\\PC{0,4}"];
    vec(piece, 1..4)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("said by silence", |text| !text.is_empty())
}

/// Puts a value at the end of a path whose beginning is there.
fn put(pod: &mut Value, path: &str, value: Value) {
    let (parent, name) = path.rsplit_once('/').unwrap();
    pod.pointer_mut(parent).unwrap()[name.replace("~1", "/")] = value;
}

/// The pod with the JSON inside its strings as JSON, so that texts in there are texts again.
fn opened(mut pod: Value) -> Value {
    let read = |text: &mut Value, escaped: bool| {
        let Some(json) = text.as_str() else { return };
        let json = if escaped {
            json.replace("$$", "$")
        } else {
            json.to_owned()
        };
        *text = serde_json::from_str(&json).unwrap();
    };
    for key in ["sidecar.istio.io/status", "proxy.istio.io/overrides"] {
        if let Some(text) = pod["metadata"]["annotations"].get_mut(key) {
            read(text, false);
        }
    }
    for list in ["containers", "initContainers"] {
        let containers = pod["spec"][list].as_array_mut().into_iter().flatten();
        let proxies = containers.filter(|container| container["name"] == "istio-proxy");
        for proxy in proxies {
            for variable in proxy["env"].as_array_mut().into_iter().flatten() {
                match variable["name"].as_str() {
                    Some("ISTIO_KUBE_APP_PROBERS" | "ISTIO_PROMETHEUS_ANNOTATIONS") => {
                        read(&mut variable["value"], true);
                    }
                    Some("PROXY_CONFIG" | "ISTIO_META_POD_PORTS") => {
                        read(&mut variable["value"], false);
                    }
                    _ => {}
                }
            }
        }
    }
    pod
}

/// The value with the text in place of the mark.
fn replaced(value: Value, text: &str) -> Value {
    match value {
        Value::String(old) => Value::String(if old.contains("{\"") {
            let quoted = Value::from(text).to_string();
            old.replace(&format!("\"{MARK}\""), &quoted)
        } else {
            old.replace(MARK, text)
        }),
        Value::Array(items) => items.into_iter().map(|item| replaced(item, text)).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            fields
                .map(|(name, field)| (name, replaced(field, text)))
                .collect()
        }
        other => other,
    }
}

/// The pod with numbers for the ports of probes, which is what is left of a name after an injection, and
/// without empty lists, which is what is left of a list.
fn plain(mut value: Value) -> Value {
    match &mut value {
        Value::Array(items) => {
            items.iter_mut().for_each(|item| *item = plain(item.take()));
        }
        Value::Object(fields) => {
            let is_empty = |field: &Value| field.as_array().is_some_and(Vec::is_empty);
            fields.retain(|_, field| !field.is_null() && !is_empty(field));
            for (name, field) in fields {
                let is_name = name == "port" && field == "http";
                *field = if is_name {
                    json!(8080)
                } else {
                    plain(field.take())
                };
            }
        }
        _ => {}
    }
    value
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
    restore_hooks(container, original);
}

fn restore_hooks(container: &mut Value, original: &Value) {
    let fields = container.as_object_mut().unwrap();
    let Some(hooks) = fields.get_mut("lifecycle").and_then(Value::as_object_mut) else {
        return;
    };
    if hooks
        .get("preStop")
        .is_some_and(|hook| hook["httpGet"]["path"] == "/callers-left")
    {
        hooks.remove("preStop");
    }
    if hooks.is_empty() && original.get("lifecycle").is_none() {
        fields.remove("lifecycle");
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
            let after: Vec<_> = after
                .into_iter()
                .filter(|(name, _)| !["helper", "prepare"].contains(name))
                .collect();
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
    fn an_earlier_injection_makes_no_difference_to_a_later_one(pod in pod()) {
        let values = r#"{"global":{"tag":"2","proxy":{"statusPort":15030,"resources":{}}}}"#;
        let (earlier, later) = (World::new(), World::with(values, NativeSidecars::Never));
        let (Some((_, once)), Some((_, anew))) = (earlier.inject(&pod), later.inject(&pod)) else {
            return Ok(());
        };
        let (_, twice) = later.inject(&once).unwrap();
        prop_assert_eq!(plain(twice), plain(anew));
    }

    #[test]
    fn a_text_is_nothing_but_a_text(text in text(), place in select(PLACES), pod in pod()) {
        let world = World::new();
        let with = |text: &str| {
            let mut pod = pod.clone();
            pod["metadata"]["annotations"] = json!({"inject.istio.io/templates": "sidecar,team"});
            let quoted = Value::from(text).to_string();
            let pattern = place.1.replace("\"TEXT\"", &quoted);
            let value = match place.0.starts_with("/metadata") {
                true => json!(pattern.replace("TEXT", text)),
                false => serde_json::from_str(&pattern).unwrap(),
            };
            put(&mut pod, place.0, value);
            world.inject(&pod)
        };
        let (Some((_, one)), Some((_, other))) = (with(&text), with(MARK)) else {
            return Err(TestCaseError::fail("any text must do"));
        };
        prop_assert_eq!(opened(one), replaced(opened(other), &text));
    }

    #[test]
    fn no_string_is_lost(pod in pod()) {
        let Some((Outcome::Injected(_), injected)) = World::new().inject(&pod) else { return Ok(()) };
        let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
        let mut kept = pod;
        // A proxy that an earlier injection says to have made is made anew.
        if kept["metadata"]["annotations"].get("sidecar.istio.io/status").is_some() {
            let containers = kept["spec"]["containers"].as_array_mut().unwrap();
            containers.retain(|container| container["name"] != "istio-proxy");
        }
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
