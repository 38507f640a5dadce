//! A shop of the shape of Google's microservices-demo, whose manifests many people try a mesh with:
//! gRPC probes, a Redis, a load generator that waits for the shop in an init container, and pods that
//! may do next to nothing. The programs are our own, in the roles of the originals.

use anyhow::{Result, ensure};
use kube::ResourceExt as _;
use lateen_tests::bed::manifest::{container, deployment, merge, service, template};
use lateen_tests::bed::{Bed, eventually};
use serde_json::{Value, json};

const SAMPLES: &str = "/usr/local/bin/lateen-samples";

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
const CALLS: [(&str, &[&str]); 4] = [
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
    ("cartservice", &["redis-cart"]),
];

/// The pod template of a service with its `server`.
fn server(name: &str, speaks: Speaks, port: u16, delay: u16) -> Value {
    let number = port.to_string();
    let (flag, probe) = match speaks {
        Speaks::Grpc => ("--http", json!({ "grpc": { "port": port } })),
        Speaks::Http => ("--http", health_page(port)),
        Speaks::Redis => ("--tcp", json!({ "tcpSocket": { "port": port } })),
    };
    let mut server = container(&["echo", flag, &number]);
    let mut probe = probe;
    merge(
        &mut probe,
        json!({ "initialDelaySeconds": delay, "periodSeconds": 5 }),
    );
    let settings = json!({
        "name": "server", "ports": [{ "containerPort": port }],
        "readinessProbe": probe, "livenessProbe": probe, "securityContext": nearly_nothing(),
    });
    merge(&mut server, settings);
    restricted(name, &json!({ "containers": [server] }))
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
    bed.ready("version=v1", SERVICES.len() + 1).await?;
    let listed = bed.kubectl(&["get", "pods", "--no-headers"]).await?;
    ensure!(listed.lines().all(|line| line.contains("2/2")), "{listed}");

    for (caller, callees) in CALLS {
        for callee in callees {
            call(&bed, caller, callee).await?;
        }
    }
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
    let (_, speaks, _, port, _) = of_callee.unwrap();
    let address = format!("{callee}:{port}");
    let url = format!("http://{address}/");
    let (command, counter) = match speaks {
        Speaks::Redis => (vec!["tcp", &address], "istio_tcp_connections_opened_total"),
        Speaks::Grpc | Speaks::Http => (
            vec!["http", "--protocol", "grpc", "--url", &url],
            "istio_requests_total",
        ),
    };
    let pods = (
        bed.pod(&format!("app={caller}")).await?.name_any(),
        bed.pod(&format!("app={callee}")).await?.name_any(),
    );
    let command = [&[SAMPLES, "client"], &command[..]].concat();
    bed.run(&pods.0, "server", &command).await?.stdout()?;
    eventually(&format!("a call of {caller} at {callee}"), async || {
        let labels = [
            ("reporter", "destination"),
            ("source_workload", caller),
            ("connection_security_policy", "mutual_tls"),
        ];
        let calls = bed.metrics(&pods.1).await?.sum(counter, &labels);
        ensure!(calls >= 1.0, "none was seen");
        Ok(())
    })
    .await
}
