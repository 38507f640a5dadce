//! Who reaches whom, and how: every way that applications find each other in a cluster. How they talk
//! then is tried with each back end of redirection, in `redirection`.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use lateen_tests::bed::manifest::{client, deployment, merge, service, template, workload};
use lateen_tests::bed::scene::{ECHO, Outside, Scene};
use lateen_tests::bed::{Bed, eventually};
use serde_json::json;

const ENCRYPTED: (&str, &str) = ("connection_security_policy", "mutual_tls");
const PLAIN: (&str, &str) = ("connection_security_policy", "none");

fn addresses(pod: &Pod) -> Vec<String> {
    let ips = pod
        .status
        .as_ref()
        .and_then(|status| status.pod_ips.clone());
    ips.unwrap_or_default()
        .into_iter()
        .map(|ip| ip.ip)
        .collect()
}

fn authority(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

/// `count` more requests are served with these labels once the series are up to date.
async fn served(scene: &Scene, labels: &[(&str, &str)], count: f64) -> Result<()> {
    eventually(&format!("{count} requests {labels:?}"), async || {
        let seen = scene.served(labels).await?;
        ensure!(seen >= count, "{seen} were seen");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn http_on_declared_and_undeclared_ports_is_encrypted() -> Result<()> {
    let scene = Scene::injected("http", 1).await?;
    for port in [8080, 8081] {
        let url = format!("http://web:{port}/");
        scene
            .http(&url, &["--requests", "10"])
            .await?
            .all_succeeded()?;
    }
    scene
        .http("http://web:8082/", &["--protocol", "grpc"])
        .await?
        .all_succeeded()?;
    scene
        .http("http://web:8081/", &["--protocol", "http2"])
        .await?
        .all_succeeded()?;
    scene
        .client(&["websocket", "ws://web:8080/websocket"])
        .await?;
    served(&scene, &[ENCRYPTED, ("response_code", "200")], 22.0).await?;
    ensure!(
        scene.served(&[PLAIN]).await? == 0.0,
        "requests came in plain text"
    );
    scene.bed.end().await
}

#[tokio::test]
async fn every_spelling_of_a_service_name_works() -> Result<()> {
    let scene = Scene::injected("names", 1).await?;
    let namespace = &scene.bed.namespace;
    for host in [
        format!("web.{namespace}"),
        format!("web.{namespace}.svc"),
        format!("web.{namespace}.svc.cluster.local"),
    ] {
        scene
            .http(&format!("http://{host}:8080/"), &[])
            .await?
            .all_succeeded()?;
    }
    served(&scene, &[ENCRYPTED], 3.0).await?;
    scene.bed.end().await
}

/// Waits until kube-proxy leads `client`, which has no sidecar, to the scene's `web`: by a port that no
/// test of such clients looks at, since it learns of all ports at once.
async fn led_to_web(scene: &Scene, bed: &Bed, client: &str) -> Result<()> {
    let target = format!("web.{}:9000", scene.bed.namespace);
    let connect = ["/usr/local/bin/lateen-samples", "client", "tcp", &target];
    eventually(&format!("a way from {client} to web"), async || {
        bed.run(client, "app", &connect).await?.stdout()
    })
    .await
    .map(drop)
}

#[tokio::test]
async fn pod_addresses_and_headless_names_are_encrypted() -> Result<()> {
    let spec = json!({ "replicas": 2, "serviceName": "web" });
    let mut web = workload("StatefulSet", "web", &spec, &template("web", &ECHO));
    let mut headless = service("web", &[("http", 8080, 8080), ("tcp", 9000, 9000)]);
    merge(&mut headless, json!({ "spec": { "clusterIP": "None" } }));
    web.push(headless);
    let scene = Scene::of("headless", 2, web).await?;
    let pods = scene.bed.pods("app=web").await?;
    for pod in &pods {
        let name = pod.name_any();
        scene.in_dns(&format!("{name}.web")).await?;
        for host in [
            authority(&addresses(pod)[0], 8080),
            format!("{name}.web:8080"),
        ] {
            let report = scene
                .http(&format!("http://{host}/"), &[])
                .await?
                .all_succeeded()?;
            ensure!(
                report.pods.contains_key(&name),
                "{host} was answered by {:?}",
                report.pods
            );
        }
        scene.client(&["tcp", &format!("{name}.web:9000")]).await?;
    }
    scene.http("http://web:8080/", &[]).await?.all_succeeded()?;
    served(&scene, &[ENCRYPTED], 5.0).await?;
    ensure!(
        scene.served(&[PLAIN]).await? == 0.0,
        "requests came in plain text"
    );
    scene.bed.end().await
}

#[tokio::test]
async fn clients_and_servers_without_a_sidecar_are_reached() -> Result<()> {
    let scene = Scene::injected("mixed", 1).await?;
    let namespace = scene.bed.namespace.clone();
    let plain = Bed::plain("mixed-plain").await?;
    plain.apply(client("client")).await?;
    plain
        .apply(deployment("web", 1, &template("web", &ECHO)))
        .await?;
    plain
        .apply([service("web", &[("http", 8080, 8080)])])
        .await?;
    let outsider = plain.ready("app=client", 1).await?[0].name_any();
    plain.serving("app=web", 1, 8080).await?;
    led_to_web(&scene, &plain, &outsider).await?;

    let url = format!("http://web.{namespace}:8080/");
    let arguments = ["http", "--output", "json", "--url", &url];
    plain.send(&outsider, &arguments).await?.all_succeeded()?;
    served(&scene, &[PLAIN], 1.0).await?;

    let url = format!("http://web.{}:8080/", plain.namespace);
    scene.http(&url, &[]).await?.all_succeeded()?;
    plain.end().await?;
    scene.bed.end().await
}

#[tokio::test]
async fn host_network_clients_and_servers_are_reached() -> Result<()> {
    let scene = Scene::injected("hostnet", 1).await?;
    let port = 20000 + fastrand::u16(..10000);
    let mut host = template("host", &["echo", "--http", &port.to_string()]);
    let change = json!({ "spec": { "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet" } });
    merge(&mut host, change);
    scene.bed.apply(deployment("host", 1, &host)).await?;
    scene
        .bed
        .apply([service("host", &[("http", 8080, port)])])
        .await?;
    let host = scene.bed.serving("app=host", 1, port).await?[0].name_any();
    led_to_web(&scene, &scene.bed, &host).await?;

    scene
        .http("http://host:8080/", &[])
        .await?
        .all_succeeded()?;
    let url = format!("http://web.{}:8080/", scene.bed.namespace);
    let arguments = ["http", "--output", "json", "--url", &url];
    scene.bed.send(&host, &arguments).await?.all_succeeded()?;
    served(&scene, &[PLAIN], 1.0).await?;
    scene.bed.end().await
}

async fn node_addresses(bed: &Bed) -> Result<Vec<String>> {
    let nodes = Api::<Node>::all(bed.client.clone())
        .list(&ListParams::default())
        .await?;
    let addresses = nodes.into_iter().filter_map(|node| {
        let addresses = node.status?.addresses?;
        Some(
            addresses
                .into_iter()
                .find(|address| address.type_ == "InternalIP")?
                .address,
        )
    });
    Ok(addresses.collect())
}

/// Whether `GET /` from outside the cluster is answered with 200.
async fn answers(address: &str) -> Result<()> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get("/")
        .header("host", address)
        .body(http_body_util::Empty::<bytes::Bytes>::new())?;
    let status = sender.send_request(request).await?.status();
    connection.abort();
    ensure!(status == 200, "{address} answered {status}");
    Ok(())
}

#[tokio::test]
async fn node_ports_are_reached_from_outside() -> Result<()> {
    let scene = Scene::injected("nodeport", 1).await?;
    let serving = scene
        .bed
        .pod("app=web")
        .await?
        .status
        .and_then(|status| status.host_ip);
    for policy in ["Cluster", "Local"] {
        let mut exposed = service("web", &[("http", 8080, 8080)]);
        let name = format!("web-{}", policy.to_lowercase());
        let spec = json!({ "type": "NodePort", "externalTrafficPolicy": policy });
        merge(
            &mut exposed,
            json!({ "metadata": { "name": name }, "spec": spec }),
        );
        scene.bed.apply([exposed]).await?;
        let spec = scene
            .bed
            .api::<Service>()
            .get(&name)
            .await?
            .spec
            .context("no spec")?;
        let port = spec.ports.context("no ports")?[0]
            .node_port
            .context("no node port")?;
        for node in node_addresses(&scene.bed).await? {
            if policy == "Cluster" || serving.as_ref() == Some(&node) {
                let address = format!("{node}:{port}");
                eventually(&format!("{policy}: {address}"), || answers(&address)).await?;
            }
        }
    }
    scene.bed.end().await
}

#[tokio::test]
async fn an_address_outside_the_cluster_is_passed_through() -> Result<()> {
    let scene = Scene::injected("outside", 1).await?;
    let outside = Outside::start("outside-node").await?;
    let url = format!("http://{}/", outside.address);
    scene
        .http(&url, &["--requests", "3"])
        .await?
        .all_succeeded()?;
    scene
        .http(&url, &["--header", "host: nobody.example"])
        .await?
        .all_succeeded()?;
    let labels = [
        ("destination_service_name", "PassthroughCluster"),
        ("reporter", "source"),
    ];
    eventually("requests that are counted as passed through", async || {
        let metrics = scene.bed.metrics(&scene.client).await?;
        let passed = metrics.sum("istio_requests_total", &labels);
        ensure!(passed >= 4.0, "there are {passed}");
        Ok(())
    })
    .await?;
    outside.bed.end().await?;
    scene.bed.end().await
}
