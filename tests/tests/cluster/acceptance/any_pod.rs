//! Pods of all sorts: most of them good, and every field that an injection touches or that bears on what
//! it adds in many forms.

use fastrand::Rng;
use lateen_tests::bed::manifest::merge;
use serde_json::{Map, Value, json};

/// The longest name that a container may have.
const LONG: &str = "a-name-of-sixty-three-letters-which-is-the-most-that-is-allowed";

/// Values of each key; a pod has some of the keys.
type Choices = &'static [(&'static str, &'static [&'static str])];

const LABELS: Choices = &[
    ("app", &["web", LONG, ""]),
    ("app.kubernetes.io/name", &["web", "A.b_c"]),
    ("version", &["v1", "", LONG]),
    ("security.istio.io/tlsMode", &["istio", "disabled"]),
    ("service.istio.io/canonical-name", &["web", ""]),
    ("topology.istio.io/network", &["here"]),
    ("sidecar.istio.io/inject", &["true", "yes", ""]),
    ("istio.io/rev", &["default", "nobody"]),
];

/// Settings of users that the injector takes.
const ANNOTATIONS: Choices = &[
    (
        "example.org/note",
        &["", "$(POD_NAME) \"quoted\" {{ .Values }}\n- a: b"],
    ),
    ("sidecar.istio.io/nativeSidecar", &["true", "false"]),
    (
        "sidecar.istio.io/interceptionMode",
        &["REDIRECT", "TPROXY", "NONE"],
    ),
    ("sidecar.istio.io/proxyCPU", &["10m", "0"]),
    ("sidecar.istio.io/proxyMemoryLimit", &["2Gi", "1.5Gi"]),
    ("sidecar.istio.io/proxyImage", &["example.org/proxy:1"]),
    ("sidecar.istio.io/logLevel", &["debug"]),
    ("sidecar.istio.io/capNetBindService", &["true", "false"]),
    ("sidecar.istio.io/rewriteAppHTTPProbers", &["true", "false"]),
    ("sidecar.istio.io/bootstrapOverride", &["bootstrap"]),
    (
        "sidecar.istio.io/userVolume",
        &[r#"{"mine":{"emptyDir":{}}}"#],
    ),
    ("status.sidecar.istio.io/port", &["0", "15020", "15555"]),
    (
        "readiness.status.sidecar.istio.io/periodSeconds",
        &["1", "2"],
    ),
    (
        "readiness.status.sidecar.istio.io/failureThreshold",
        &["1", "30"],
    ),
    (
        "readiness.status.sidecar.istio.io/initialDelaySeconds",
        &["0", "1"],
    ),
    (
        "traffic.sidecar.istio.io/includeInboundPorts",
        &["*", "", "80,8080"],
    ),
    (
        "traffic.sidecar.istio.io/excludeInboundPorts",
        &["22", "1,2,3"],
    ),
    (
        "traffic.sidecar.istio.io/excludeOutboundIPRanges",
        &["10.0.0.0/8,fd00::/8"],
    ),
    ("traffic.sidecar.istio.io/excludeInterfaces", &["eth1"]),
    (
        "proxy.istio.io/config",
        &[
            "{}",
            "holdApplicationUntilProxyStarts: true",
            "proxyMetadata: {A: b, PROXY_CONFIG: c}",
            "terminationDrainDuration: 1s",
        ],
    ),
    ("prometheus.io/scrape", &["true", "false"]),
    ("prometheus.io/port", &["8080"]),
    ("prometheus.io/path", &["/stats?a=b&c=\"d\""]),
    ("kubectl.kubernetes.io/default-container", &["app"]),
];

/// Annotations among them that ask for something.
const RESOURCES: [&str; 2] = [
    "sidecar.istio.io/proxyCPU",
    "sidecar.istio.io/proxyMemoryLimit",
];

/// Names of volumes, some of which are the injector's own.
const VOLUMES: &[&str] = &[
    "data",
    "mine",
    LONG,
    "istio-data",
    "istio-envoy",
    "istio-token",
    "workload-certs",
];

/// A pod that the API server may accept.
pub(super) fn any_pod(random: &mut Rng) -> Value {
    let volumes = some(random, VOLUMES);
    let mut init_containers = containers(random, "init", 0..3, &volumes);
    let mut containers = containers(random, "app", 1..4, &volumes);
    for container in &mut init_containers {
        if random.bool() {
            container["restartPolicy"] = json!("Always");
        } else {
            forget(
                container,
                &[
                    "readinessProbe",
                    "livenessProbe",
                    "startupProbe",
                    "lifecycle",
                ],
            );
        }
    }
    let has_own_proxy = one_in(random, 10);
    if has_own_proxy {
        containers.push(users_proxy(random));
    }
    let mut spec = json!({
        "containers": containers,
        "initContainers": init_containers,
        "volumes": volumes.iter().map(|name| volume(random, name)).collect::<Vec<_>>(),
    });
    for setting in settings(random) {
        merge(&mut spec, setting);
    }
    let (labels, annotations) = (pairs(random, LABELS, 4), pairs(random, ANNOTATIONS, 6));
    // A wish for the proxy may be more than all containers may have together: that is refused rightly.
    if has_own_proxy || RESOURCES.iter().any(|key| annotations.get(key).is_some()) {
        forget(&mut spec, &["resources"]);
    }
    let name = pick(random, &["web", "0", "a.b-c", LONG]);
    json!({
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": { "name": name, "labels": labels, "annotations": annotations },
    })
}

/// Settings of the whole pod.
fn settings(random: &mut Rng) -> Vec<Value> {
    let settings = [
        json!({ "serviceAccountName": "web" }),
        json!({ "automountServiceAccountToken": false }),
        json!({ "restartPolicy": "Never" }),
        json!({ "restartPolicy": "OnFailure", "activeDeadlineSeconds": 60 }),
        json!({ "terminationGracePeriodSeconds": 0 }),
        json!({ "dnsPolicy": "Default" }),
        json!({ "dnsPolicy": "None", "dnsConfig": { "nameservers": ["192.0.2.1"] } }),
        json!({ "shareProcessNamespace": true }),
        json!({ "hostPID": true, "hostIPC": true, "shareProcessNamespace": false }),
        json!({ "hostUsers": false }),
        json!({ "hostNetwork": true }),
        json!({ "hostname": "web", "subdomain": "sub", "setHostnameAsFQDN": true }),
        json!({ "enableServiceLinks": false }),
        json!({ "schedulingGates": [{ "name": "example.org/wait" }] }),
        json!({ "readinessGates": [{ "conditionType": "example.org/ready" }] }),
        json!({ "imagePullSecrets": [{ "name": "pull" }, { "name": "secret" }] }),
        json!({ "hostAliases": [{ "ip": "192.0.2.1", "hostnames": ["one.example"] }] }),
        json!({ "os": { "name": "linux" }, "nodeSelector": { "kubernetes.io/os": "linux" } }),
        json!({ "resources": { "limits": { "cpu": "8", "memory": "8Gi" } } }),
        json!({ "resources": { "requests": { "cpu": "1" }, "limits": { "memory": "256Mi" } } }),
        json!({ "priorityClassName": "system-node-critical" }),
        json!({ "tolerations": [{ "operator": "Exists" }] }),
        json!({ "securityContext": { "runAsUser": 0 } }),
        json!({ "securityContext": { "runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": true } }),
        json!({ "securityContext": { "runAsUser": 1337, "fsGroup": 1337 } }),
        json!({ "securityContext": { "fsGroup": 2000, "supplementalGroups": [3000],
            "fsGroupChangePolicy": "OnRootMismatch" } }),
        json!({ "securityContext": { "seccompProfile": { "type": "RuntimeDefault" },
            "appArmorProfile": { "type": "Unconfined" } } }),
        json!({ "securityContext": { "sysctls":
            [{ "name": "net.ipv4.ip_unprivileged_port_start", "value": "80" }] } }),
        json!({ "securityContext": { "seLinuxOptions": { "level": "s0:c123,c456" } } }),
    ];
    some(random, &settings)
}

fn containers(
    random: &mut Rng,
    prefix: &str,
    count: std::ops::Range<usize>,
    volumes: &[&str],
) -> Vec<Value> {
    let count = random.usize(count);
    (0..count)
        .map(|number| {
            let name = match random.u8(..10) {
                0 => format!("{prefix}{number}{}", &LONG[5..63]),
                _ => format!("{prefix}{number}"),
            };
            container(random, &name, "example.org/image", volumes)
        })
        .collect()
}

fn container(random: &mut Rng, name: &str, image: &str, volumes: &[&str]) -> Value {
    let mut container = json!({ "name": name, "image": image, "ports": ports(random) });
    for field in ["readinessProbe", "livenessProbe", "startupProbe"] {
        if one_in(random, 3) {
            container[field] = probe(random);
        }
    }
    for field in ["postStart", "preStop"] {
        if one_in(random, 5) {
            merge(
                &mut container,
                json!({ "lifecycle": { field: hook(random) } }),
            );
        }
    }
    for setting in container_settings(random) {
        merge(&mut container, setting);
    }
    let mounts = some(random, volumes);
    let mounts = mounts
        .iter()
        .map(|name| json!({ "name": name, "mountPath": format!("/mnt/{name}") }));
    container["volumeMounts"] = mounts.collect();
    container
}

/// Settings of a container.
fn container_settings(random: &mut Rng) -> Vec<Value> {
    let settings = [
        json!({ "env": [{ "name": "A", "value": "$(B)" }, { "name": "A", "value": "" }] }),
        json!({ "env": [{ "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }] }),
        json!({ "env": [{ "name": "CPU", "valueFrom": { "resourceFieldRef": { "resource": "limits.cpu" } } }] }),
        json!({ "envFrom": [{ "configMapRef": { "name": "c" }, "prefix": "P_" }] }),
        json!({ "resources": { "requests": { "cpu": "10m" }, "limits": { "memory": "32Mi" } } }),
        json!({ "resources": { "limits": { "cpu": "100m", "memory": "32Mi", "ephemeral-storage": "1Gi" } } }),
        json!({ "command": ["/bin/sh"], "args": ["-c", "$(A) \"\n"] }),
        json!({ "stdin": true, "tty": true, "workingDir": "/" }),
        json!({ "imagePullPolicy": "Always", "terminationMessagePolicy": "FallbackToLogsOnError" }),
    ];
    let context = pick(
        random,
        &[
            json!({}),
            json!({ "securityContext": { "privileged": true } }),
            json!({ "securityContext": { "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] } } }),
            json!({ "securityContext": { "runAsUser": 1337, "runAsNonRoot": true } }),
        ],
    );
    let mut chosen = some(random, &settings);
    chosen.push(context);
    chosen
}

fn ports(random: &mut Rng) -> Vec<Value> {
    let ports = [
        json!({ "name": "http", "containerPort": 8080 }),
        json!({ "name": "http-envoy-prom", "containerPort": 9090 }),
        json!({ "containerPort": 15090 }),
        json!({ "containerPort": 15020, "name": "status" }),
        json!({ "containerPort": 53, "protocol": "UDP", "name": "dns" }),
        json!({ "containerPort": 53, "protocol": "TCP" }),
        json!({ "containerPort": 65535, "protocol": "SCTP" }),
        json!({ "containerPort": 443, "hostPort": random.u16(1..), "hostIP": "127.0.0.1" }),
    ];
    some(random, &ports)
}

fn port(random: &mut Rng) -> Value {
    pick(
        random,
        &[
            json!(1),
            json!(8080),
            json!(15021),
            json!(65535),
            json!("http"),
            json!("nowhere"),
        ],
    )
}

fn probe(random: &mut Rng) -> Value {
    let mut probe = match random.u8(..3) {
        0 => json!({ "grpc": { "port": random.u16(1..), "service": pick(random, &["", "a.B"]) } }),
        _ => handler(random),
    };
    let settings = [
        json!({ "initialDelaySeconds": 1 }),
        json!({ "periodSeconds": 1, "failureThreshold": 1 }),
        json!({ "timeoutSeconds": 100 }),
    ];
    for setting in some(random, &settings) {
        merge(&mut probe, setting);
    }
    probe
}

fn hook(random: &mut Rng) -> Value {
    match random.u8(..4) {
        0 => json!({ "sleep": { "seconds": 1 } }),
        _ => handler(random),
    }
}

/// What both a probe and a hook may do.
fn handler(random: &mut Rng) -> Value {
    match random.u8(..5) {
        0 => json!({ "exec": { "command": ["true"] } }),
        1 => json!({ "tcpSocket": { "port": port(random) } }),
        2 => json!({ "tcpSocket": { "port": port(random), "host": "192.0.2.1" } }),
        3 => json!({ "httpGet": { "port": port(random) } }),
        _ => json!({ "httpGet": {
            "port": port(random), "path": "/a?b=c#d", "scheme": pick(random, &["HTTP", "HTTPS"]),
            "host": "localhost", "httpHeaders": [{ "name": "Host", "value": "a b" }, { "name": "X", "value": "" }],
        } }),
    }
}

fn volume(random: &mut Rng, name: &str) -> Value {
    let source = pick(
        random,
        &[
            json!({}),
            json!({ "emptyDir": {} }),
            json!({ "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } }),
            json!({ "hostPath": { "path": "/tmp" } }),
            json!({ "configMap": { "name": "c", "items": [{ "key": "k", "path": "p" }] } }),
            json!({ "secret": { "secretName": "s", "optional": true, "defaultMode": 256 } }),
            json!({ "projected": { "sources": [{ "serviceAccountToken": { "path": "t", "audience": "a" } }] } }),
            json!({ "downwardAPI": { "items": [{ "path": "l", "fieldRef": { "fieldPath": "metadata.labels" } }] } }),
        ],
    );
    let mut volume = json!({ "name": name });
    merge(&mut volume, source);
    volume
}

/// A container that says of the sidecar what is to be another way.
fn users_proxy(random: &mut Rng) -> Value {
    let image = pick(random, &["auto", "example.org/proxy:1"]);
    container(random, "istio-proxy", image, &[])
}

/// Some of the keys, each with one of its values.
fn pairs(random: &mut Rng, choices: Choices, most: usize) -> Value {
    let count = random.usize(..=most);
    let pairs = random.choose_multiple(choices.iter(), count).into_iter();
    let pairs: Map<String, Value> = pairs
        .map(|(key, values)| ((*key).to_owned(), pick(random, values).into()))
        .collect();
    Value::Object(pairs)
}

/// None, one or several, in their order.
fn some<T: Clone>(random: &mut Rng, all: &[T]) -> Vec<T> {
    let rare = random.usize(2..=2 + all.len());
    all.iter()
        .filter(|_| one_in(random, rare))
        .cloned()
        .collect()
}

fn pick<T: Clone>(random: &mut Rng, all: &[T]) -> T {
    all[random.usize(..all.len())].clone()
}

fn one_in(random: &mut Rng, count: usize) -> bool {
    random.usize(..count) == 0
}

fn forget(object: &mut Value, fields: &[&str]) {
    if let Some(object) = object.as_object_mut() {
        object.retain(|field, _| !fields.contains(&field.as_str()));
    }
}
