//! A shop of the shape of Google's microservices-demo, whose manifests many people try a mesh with:
//! gRPC probes, a Redis, a load generator that waits for the shop in an init container, and pods that
//! may do next to nothing. The programs are our own, in the roles of the originals; Redis is itself.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use lateen_tests::bed::manifest::{container, deployment, merge, service, template};
use lateen_tests::bed::{Bed, eventually};
use serde_json::{Value, json};

const SAMPLES: &str = "/usr/local/bin/lateen-samples";

/// Redis, as the manifests name it.
const REDIS: &str = "redis:alpine";

/// What speaks on the port of a service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Grpc,
    Http,
    Redis,
}

/// A Deployment with a Service: its name, what it speaks, the container's port and the Service's, and
/// how many seconds its first probe waits.
const SERVICES: [(&str, Speaks, u16, u16, u16); 11] = [
    ("adservice", Speaks::Grpc, 9555, 9555, 20),
    ("cartservice", Speaks::Grpc, 7070, 7070, 15),
    ("checkoutservice", Speaks::Grpc, 5050, 5050, 0),
    ("currencyservice", Speaks::Grpc, 7000, 7000, 0),
    ("emailservice", Speaks::Grpc, 8080, 5000, 0),
    ("frontend", Speaks::Http, 8080, 80, 10),
    ("paymentservice", Speaks::Grpc, 50051, 50051, 0),
    ("productcatalogservice", Speaks::Grpc, 3550, 3550, 0),
    ("recommendationservice", Speaks::Grpc, 8080, 8080, 0),
    ("redis-cart", Speaks::Redis, 6379, 6379, 0),
    ("shippingservice", Speaks::Grpc, 50051, 50051, 0),
];

/// Who calls whom.
const CALLS: [(&str, &[&str]); 3] = [
    (
        "frontend",
        &["adservice", "recommendationservice", "checkoutservice"],
    ),
    (
        "checkoutservice",
        &[
            "emailservice",
            "paymentservice",
            "shippingservice",
            "currencyservice",
        ],
    ),
    ("recommendationservice", &["productcatalogservice"]),
];

/// What puts two pairs of socks into a cart; Redis answers how many are in it.
const ADD_SOCKS: &str = "HINCRBY cart:7 socks 2";

/// The pod template of a service with its `server`.
fn server(name: &str, speaks: Speaks, port: u16, delay: u16) -> Value {
    let number = port.to_string();
    let (mut server, mut probe) = match speaks {
        Speaks::Grpc => (
            container(&["echo", "--http", &number]),
            json!({ "grpc": { "port": port } }),
        ),
        Speaks::Http => (container(&["echo", "--http", &number]), health_page(port)),
        Speaks::Redis => (redis(), json!({ "tcpSocket": { "port": port } })),
    };
    merge(
        &mut probe,
        json!({ "initialDelaySeconds": delay, "periodSeconds": 5 }),
    );
    let settings = json!({
        "name": "server", "ports": [{ "containerPort": port }],
        "readinessProbe": probe, "livenessProbe": probe, "securityContext": nearly_nothing(),
    });
    merge(&mut server, settings);
    let mut spec = json!({ "containers": [server] });
    if speaks == Speaks::Redis {
        spec["volumes"] = json!([{ "name": "redis-data", "emptyDir": {} }]);
    }
    restricted(name, &spec)
}

fn redis() -> Value {
    json!({
        "image": REDIS,
        "volumeMounts": [{ "mountPath": "/data", "name": "redis-data" }],
        "resources": { "requests": { "cpu": "5m", "memory": "16Mi" } },
    })
}

fn health_page(port: u16) -> Value {
    let cookie = json!({ "name": "Cookie", "value": "shop_session-id=x-readiness-probe" });
    json!({ "httpGet": { "path": "/_healthz", "port": port, "httpHeaders": [cookie] } })
}

/// The pod template of the load generator: it starts when the shop answers, and then goes on for ever.
fn load_generator() -> Value {
    let url = "http://frontend:80/";
    let mut check = container(&["client", "http", "--url", url]);
    merge(
        &mut check,
        json!({ "name": "frontend-check", "securityContext": nearly_nothing() }),
    );
    let load = [
        "client",
        "http",
        "--duration",
        "3600",
        "--rate",
        "10",
        "--url",
        url,
    ];
    let mut main = container(&load);
    merge(
        &mut main,
        json!({ "name": "main", "securityContext": nearly_nothing() }),
    );
    let mut template = restricted(
        "loadgenerator",
        &json!({ "initContainers": [check], "containers": [main] }),
    );
    let rewrite = json!({ "sidecar.istio.io/rewriteAppHTTPProbers": "true" });
    merge(
        &mut template,
        json!({ "metadata": { "annotations": rewrite } }),
    );
    template
}

fn restricted(name: &str, spec: &Value) -> Value {
    let mut template = template(name, &[]);
    let ids =
        json!({ "fsGroup": 1000, "runAsGroup": 1000, "runAsNonRoot": true, "runAsUser": 1000 });
    merge(
        &mut template,
        json!({ "spec": { "securityContext": ids, "terminationGracePeriodSeconds": 5 } }),
    );
    merge(&mut template, json!({ "spec": spec }));
    template
}

fn nearly_nothing() -> Value {
    json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
        "privileged": false, "readOnlyRootFilesystem": true })
}

#[tokio::test]
async fn a_shop_of_eleven_services_is_in_the_mesh_as_it_is() -> Result<()> {
    let bed = Bed::injected("boutique").await?;
    bed.apply(deployment("loadgenerator", 1, &load_generator()))
        .await?;
    for (name, speaks, port, service_port, delay) in SERVICES {
        bed.apply(deployment(name, 1, &server(name, speaks, port, delay)))
            .await?;
        let port_name = match speaks {
            Speaks::Grpc => "grpc",
            Speaks::Http => "http",
            Speaks::Redis => "tcp-redis",
        };
        bed.apply([service(name, &[(port_name, service_port, port)])])
            .await?;
    }
    // The load generator tries again and again, which takes it longer and longer.
    bed.ready("version=v1,app!=loadgenerator", SERVICES.len())
        .await?;
    bed.ready("app=loadgenerator", 1).await?;
    let listed = bed.kubectl(&["get", "pods", "--no-headers"]).await?;
    ensure!(listed.lines().all(|line| line.contains("2/2")), "{listed}");

    for (caller, callees) in CALLS {
        for callee in callees {
            call(&bed, caller, callee).await?;
        }
    }
    fill_a_cart(&bed).await?;
    let frontend = bed.pod("app=frontend").await?.name_any();
    eventually("load on the shop", async || {
        let labels = [
            ("reporter", "destination"),
            ("source_workload", "loadgenerator"),
        ];
        let metrics = bed.metrics(&frontend).await?;
        let count = |label| {
            let labels = [&labels[..], &[label]].concat();
            metrics.sum("istio_requests_total", &labels)
        };
        let (all, good, encrypted) = (
            metrics.sum("istio_requests_total", &labels),
            count(("response_code", "200")),
            count(("connection_security_policy", "mutual_tls")),
        );
        ensure!(all >= 50.0, "{all} requests until now");
        // Floats of counters, which are whole.
        ensure!(
            all <= good && all <= encrypted,
            "{good} and {encrypted} of {all}"
        );
        Ok(())
    })
    .await?;
    bed.end().await
}

/// Calls a service from the server of another, and looks at what the callee's sidecar saw.
async fn call(bed: &Bed, caller: &str, callee: &str) -> Result<()> {
    let of_callee = SERVICES.into_iter().find(|service| service.0 == callee);
    let (_, _, _, port, _) = of_callee.unwrap();
    let url = format!("http://{callee}:{port}/");
    let pods = (
        bed.pod(&format!("app={caller}")).await?.name_any(),
        bed.pod(&format!("app={callee}")).await?.name_any(),
    );
    let command = [
        SAMPLES,
        "client",
        "http",
        "--protocol",
        "grpc",
        "--url",
        &url,
    ];
    bed.run(&pods.0, "server", &command).await?.stdout()?;
    eventually(&format!("a call of {caller} at {callee}"), async || {
        let labels = [
            ("reporter", "destination"),
            ("source_workload", caller),
            ("connection_security_policy", "mutual_tls"),
        ];
        let calls = bed.metrics(&pods.1).await?;
        let calls = calls.sum("istio_requests_total", &labels);
        ensure!(calls >= 1.0, "none was seen");
        Ok(())
    })
    .await
}

/// Keeps a cart in Redis over several connections, and looks for it there, and in what both sidecars
/// counted.
async fn fill_a_cart(bed: &Bed) -> Result<()> {
    let cart = bed.pod("app=cartservice").await?.name_any();
    let redis = bed.pod("app=redis-cart").await?.name_any();
    let add = ["client", "tcp", "redis-cart:6379", "--send", ADD_SOCKS];
    let add = [&[SAMPLES], &add[..]].concat();
    for socks in [":2", ":4", ":6"] {
        let told = bed.run(&cart, "server", &add).await?;
        let answer: Value = serde_json::from_str(&told.stdout).context(told.stderr)?;
        ensure!(answer["answer"] == socks, "{answer} is not {socks}");
    }
    let look = ["redis-cli", "HGETALL", "cart:7"];
    let kept = bed.run(&redis, "server", &look).await?.stdout()?;
    ensure!(kept == "socks\n6\n", "the cart holds: {kept}");

    for (pod, reporter, security) in [
        (cart, "source", "unknown"),
        (redis, "destination", "mutual_tls"),
    ] {
        eventually(&format!("what the {reporter} counted"), async || {
            let labels = [
                ("reporter", reporter),
                ("source_workload", "cartservice"),
                ("destination_service_name", "redis-cart"),
                ("request_protocol", "tcp"),
                ("connection_security_policy", security),
            ];
            let metrics = bed.metrics(&pod).await?;
            let count = |what| metrics.sum(&format!("istio_tcp_{what}_total"), &labels) as usize;
            let counted = [
                "connections_opened",
                "connections_closed",
                "received_bytes",
                "sent_bytes",
            ]
            .map(count);
            // Each line ends with one byte there, and with two on the way back.
            let sent = [3, 3, 3 * (ADD_SOCKS.len() + 1), 3 * ":2\r\n".len()];
            ensure!(counted == sent, "{counted:?}, not {sent:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}
