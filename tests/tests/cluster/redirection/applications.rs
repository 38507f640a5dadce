//! Applications of every habit: they talk to themselves, speak first, send datagrams, listen on
//! localhost only, run before the mesh, or run as the proxy's own user.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use futures::try_join;
use k8s_openapi::api::core::v1::Service;
use lateen_tests::bed::manifest::{container, merge, service};
use lateen_tests::bed::scene::ECHO;
use lateen_tests::bed::{Backend, Seen, eventually};
use serde_json::{Value, json};

use super::stage::{Stage, annotated, client, server, web, web6};

pub(super) async fn applications_talk_as_ever(backend: Backend) -> Result<()> {
    let stage = Stage::open("talk", backend).await?;
    stage.bed.apply([web(), web6(), datagrams()]).await?;
    let pods = [
        server("web", json!({})),
        client("client", json!({})),
        on_localhost("local4", "127.0.0.1"),
        on_localhost("local6", "::1"),
    ];
    stage.enter(pods).await?;
    try_join!(
        both_families_of_a_service_are_reached(&stage),
        a_pod_reaches_itself_by_its_service(&stage),
        servers_that_speak_first_are_heard(&stage),
        datagrams_are_left_alone(&stage),
        a_service_of_ipv6_alone_is_reached(&stage),
        an_application_on_localhost_talks_to_itself(&stage),
    )?;
    stage.bed.end().await
}

/// A Service of `web`'s UDP port.
fn datagrams() -> Value {
    let mut service = service("web", &[]);
    let port = json!({ "name": "udp", "port": 9002, "protocol": "UDP" });
    merge(
        &mut service,
        json!({ "metadata": { "name": "datagrams" }, "spec": { "ports": [port] } }),
    );
    service
}

fn on_localhost(name: &str, address: &str) -> Value {
    let echo = [&ECHO[..], &["--bind", address]].concat();
    server(
        name,
        json!({ "spec": { "containers": [container(&echo)] } }),
    )
}

async fn both_families_of_a_service_are_reached(stage: &Stage) -> Result<()> {
    for address in stage.cluster_addresses("web").await?.both() {
        stage.encrypted("client", address, 8080).await?;
        stage.encrypted("client", address, 8081).await?;
        let tcp = SocketAddr::new(address, 9000).to_string();
        stage.run("client", &["tcp", &tcp]).await?;
    }
    Ok(())
}

async fn a_pod_reaches_itself_by_its_service(stage: &Stage) -> Result<()> {
    for address in stage.cluster_addresses("web").await?.both() {
        stage.encrypted("web", address, 8080).await?;
        let tcp = SocketAddr::new(address, 9000).to_string();
        stage.run("web", &["tcp", &tcp]).await?;
    }
    // By its own address it talks to itself alone, as docs/redirection.md says.
    for address in stage.addresses("web").await?.both() {
        let seen = stage.plain("web", address, 8080).await?;
        ensure!(seen.peer() == address, "{seen:?}");
    }
    Ok(())
}

async fn servers_that_speak_first_are_heard(stage: &Stage) -> Result<()> {
    let printed = stage
        .run("client", &["tcp", "web:3306", "--banner"])
        .await?;
    ensure!(printed.contains("\"web\""), "the banner: {printed}");
    eventually("an encrypted TCP connection", async || {
        let metrics = stage.bed.metrics("web").await?;
        let encrypted = [
            ("connection_security_policy", "mutual_tls"),
            ("source_workload", "client"),
        ];
        let opened = metrics.sum("istio_tcp_connections_opened_total", &encrypted);
        ensure!(opened >= 1.0, "{opened} in {}", metrics.text());
        Ok(())
    })
    .await
}

async fn datagrams_are_left_alone(stage: &Stage) -> Result<()> {
    let (pod, service) = (stage.addresses("web"), stage.cluster_addresses("datagrams"));
    let (pod, service) = try_join!(pod, service)?;
    for address in [pod.both(), service.both()].concat() {
        let address = SocketAddr::new(address, 9002).to_string();
        stage.run("client", &["udp", &address]).await?;
    }
    let name = format!("web.{}.svc.cluster.local", stage.bed.namespace);
    let udp = stage.run("client", &["dns", &name]).await?;
    let tcp = stage.run("client", &["dns", &name, "--tcp"]).await?;
    ensure!(udp == tcp, "over UDP {udp}, over TCP {tcp}");
    Ok(())
}

async fn a_service_of_ipv6_alone_is_reached(stage: &Stage) -> Result<()> {
    let spec = stage.bed.api::<Service>().get("web6").await?.spec;
    let addresses = spec.and_then(|spec| spec.cluster_ips).unwrap_or_default();
    let [address] = &addresses[..] else {
        anyhow::bail!("web6 has the addresses {addresses:?}");
    };
    stage.encrypted("client", address.parse()?, 8080).await?;
    let seen = stage.seen("client", "http://web6:8080/").await?;
    ensure!(seen.client() == Some("client"), "{seen:?}");
    let printed = stage
        .run("client", &["tcp", "web6:3306", "--banner"])
        .await?;
    ensure!(printed.contains("\"web\""), "the banner: {printed}");
    // What it binds, its own pod reaches as well.
    stage
        .encrypted("web", address.parse()?, 8080)
        .await
        .map(drop)
}

async fn an_application_on_localhost_talks_to_itself(stage: &Stage) -> Result<()> {
    for (pod, url) in [
        ("local4", "http://127.0.0.1:8080/"),
        ("local6", "http://[::1]:8080/"),
    ] {
        let seen = eventually(url, || stage.seen(pod, url)).await?;
        ensure!(
            seen.peer().is_loopback() && !seen.came_by_sidecar(),
            "{seen:?}"
        );
        // As without a mesh: what listens on localhost only is not served to others.
        for address in stage.addresses(pod).await?.both() {
            let address = SocketAddr::new(address, 8080);
            let url = format!("http://{address}/");
            let refused = ["http", "--url", &url, "--expect", "503"];
            stage.run("client", &refused).await?;
        }
    }
    // It reaches others, though.
    for pod in ["local4", "local6"] {
        let seen = stage.seen(pod, "http://web:8080/").await?;
        ensure!(seen.client() == Some(pod), "{seen:?}");
    }
    Ok(())
}

/// A native sidecar is there before them. A classic one is not: they reach others without the mesh.
pub(super) async fn init_containers_are_in_the_mesh_once_it_is_there(
    backend: Backend,
) -> Result<()> {
    let stage = Stage::open("before", backend).await?;
    stage.bed.apply([web()]).await?;
    stage.enter([server("web", json!({}))]).await?;
    let classic = annotated(&json!({ "sidecar.istio.io/nativeSidecar": "false" }));
    let mut early = asks_first("early");
    merge(&mut early, classic);
    stage.enter([asks_first("late"), early]).await?;
    for (pod, first) in [("late", Some("late")), ("early", None)] {
        let said = stage.bed.kubectl(&["logs", pod, "-c", "first"]).await?;
        let seen = Seen::parse(&said)?;
        ensure!(
            seen.client() == first,
            "the init container of {pod}: {seen:?}"
        );
        let seen = stage.seen(pod, "http://web:8080/").await?;
        ensure!(seen.client() == Some(pod), "{seen:?}");
    }
    stage.bed.end().await
}

/// A pod whose init container sends a request to `web` and must succeed.
fn asks_first(name: &str) -> Value {
    let mut first = container(&["client", "get", "http://web:8080/", "--timeout", "30"]);
    merge(&mut first, json!({ "name": "first" }));
    client(name, json!({ "spec": { "initContainers": [first] } }))
}

/// What it sends nobody redirects, and whoever creates it is told. What comes to it is redirected like
/// anything else.
pub(super) async fn the_proxys_user_bypasses_the_mesh(backend: Backend) -> Result<()> {
    let stage = Stage::open("own", backend).await?;
    stage.bed.apply([web()]).await?;
    let user = running_as("user", &json!({ "runAsUser": 1337 }));
    let group = running_as("group", &json!({ "runAsUser": 1000, "runAsGroup": 1337 }));
    let others = [server("web", json!({})), client("client", json!({}))];
    let pods = others.into_iter().chain([user.clone(), group.clone()]);
    stage.enter(pods).await?;
    let web = stage.cluster_addresses("web").await?;
    for pod in ["user", "group"] {
        let own = stage.addresses(pod).await?;
        for (web, own) in web.both().into_iter().zip(own.both()) {
            stage.plain(pod, web, 8080).await?;
            stage.encrypted("client", own, 8080).await?;
            // Its call of its own pod is taken for one of the proxy, and so comes in by the proxy.
            let seen = stage.plain(pod, own, 8080).await?;
            ensure!(seen.came_by_sidecar(), "{pod} to itself: {seen:?}");
        }
    }
    warned_of(&stage, &user).await?;
    warned_of(&stage, &group).await?;
    stage.bed.end().await
}

fn running_as(name: &str, context: &Value) -> Value {
    server(name, json!({ "spec": { "securityContext": context } }))
}

/// The API server passes on what the injector says of a pod.
async fn warned_of(stage: &Stage, pod: &Value) -> Result<()> {
    let mut pod = pod.clone();
    merge(&mut pod, json!({ "metadata": { "name": "another" } }));
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, pod.to_string())?;
    let create = ["create", "--dry-run=server", "--filename"];
    let mut create = stage.bed.kubectl_command(&create);
    let output = create.arg(file.path()).output().await.context("kubectl")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let warned = said.contains("Warning: ") && said.contains("bypasses the mesh");
    ensure!(output.status.success() && warned, "{said}");
    Ok(())
}
