//! Nothing readable crosses the wire between nodes, and nobody can stand in for somebody else.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use lateen_tests::bed::eventually;
use lateen_tests::bed::inside::{connect_as_sidecar, network_of, on_node};
use lateen_tests::bed::manifest::{deployment, service, template};
use lateen_tests::bed::scene::{ECHO, PORTS, Scene};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Child;

/// Extension `supported_versions` of a ServerHello that chose TLS 1.3 (RFC 8446, section 4.2.1).
const TLS_1_3_CHOSEN: &[u8] = &[0x00, 0x2b, 0x00, 0x02, 0x03, 0x04];

fn node_of(pod: &Pod) -> Result<String> {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.node_name.clone())
        .context("a pod of no node")
}

/// Captures what passes the node's link to the other nodes, to and from these addresses.
async fn capture(node: &str, addresses: &[String], file: &Path) -> Result<Child> {
    let hosts: Vec<String> = addresses
        .iter()
        .map(|address| format!("host {address}"))
        .collect();
    let mut tcpdump = on_node(node, "tcpdump")
        .args(["--immediate-mode", "-U", "-i", "eth0", "-s", "0", "-w"])
        .arg(file)
        .arg(format!("tcp and ({})", hosts.join(" or ")))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("Starting tcpdump in the node's network namespace")?;
    let mut lines = BufReader::new(tcpdump.stderr.take().context("no standard error")?).lines();
    while let Some(line) = lines.next_line().await? {
        if line.contains("listening on") {
            return Ok(tcpdump);
        }
    }
    anyhow::bail!("tcpdump ended before it listened")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What was captured of what the client sent to `web` until now: sends something last in plain text,
/// past the sidecar, and waits for it. It also shows that plain text would be found.
async fn captured_until_last(scene: &Scene, web: &Pod, file: &Path) -> Result<Vec<u8>> {
    let last = format!("last-{:016x}", fastrand::u64(..));
    let client = network_of(&scene.bed.pod("app=client").await?)?;
    let address = addresses(web).first().context("no address")?.parse()?;
    let mut plain = connect_as_sidecar(&client, SocketAddr::new(address, 9000)).await?;
    plain.write_all(last.as_bytes()).await?;
    eventually("the end of the capture", async || {
        let captured = std::fs::read(file)?;
        ensure!(contains(&captured, last.as_bytes()), "it is not there");
        Ok(captured)
    })
    .await
}

#[tokio::test]
async fn between_nodes_there_is_tls_1_3_and_no_plain_text() -> Result<()> {
    let elsewhere = json!([{ "topologyKey": "kubernetes.io/hostname",
        "labelSelector": { "matchLabels": { "app": "client" } } }]);
    let affinity = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": elsewhere } });
    let change = json!({ "spec": { "affinity": affinity } });
    let scene = Scene::changed("capture", 1, &change).await?;
    let web = scene.bed.pod("app=web").await?;
    let node = node_of(&web)?;

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("capture");
    let mut tcpdump = capture(&node, &addresses(&web), &file).await?;
    let marker = format!("marker-{:016x}", fastrand::u64(..));
    let header = format!("x-marker: {marker}");
    scene
        .http(
            "http://web:8080/",
            &["--requests", "5", "--header", &header],
        )
        .await?
        .all_succeeded()?;
    scene
        .client(&["tcp", "web:9000", "--send", &marker])
        .await?;
    let captured = captured_until_last(&scene, &web, &file).await?;
    tcpdump.kill().await?;

    ensure!(
        contains(&captured, TLS_1_3_CHOSEN),
        "no TLS 1.3 handshake in {} bytes",
        captured.len()
    );
    ensure!(
        !contains(&captured, marker.as_bytes()),
        "the marker crossed the wire in plain text"
    );
    ensure!(
        !contains(&captured, b"HTTP/1.1"),
        "HTTP crossed the wire in plain text"
    );
    scene.bed.end().await
}

/// Delivers what a node sends to `victim` to `thief`, as whoever holds the network can.
struct Theft {
    node: String,
    table: String,
}

impl Theft {
    async fn begin(node: &str, victim: &Pod, thief: &Pod) -> Result<Self> {
        let theft = Self {
            node: node.to_owned(),
            table: format!("theft{:04x}", fastrand::u16(..)),
        };
        let mut rules = String::new();
        for (victim, thief) in addresses(victim).into_iter().zip(addresses(thief)) {
            let family = if victim.contains(':') { "ip6" } else { "ip" };
            rules +=
                &format!("{family} daddr {victim} meta l4proto tcp dnat {family} to {thief}\n");
        }
        let table = &theft.table;
        let hook = "type nat hook prerouting priority dstnat - 10";
        theft
            .nft(&format!(
                "table inet {table} {{ chain stolen {{ {hook};\n{rules} }}\n}}"
            ))
            .await?;
        Ok(theft)
    }

    async fn end(self) -> Result<()> {
        self.nft(&format!("delete table inet {}", self.table)).await
    }

    async fn nft(&self, script: &str) -> Result<()> {
        let mut nft = on_node(&self.node, "nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .context("Starting nft in the node's network namespace")?;
        let mut stdin = nft.stdin.take().context("no standard input")?;
        stdin.write_all(script.as_bytes()).await?;
        drop(stdin);
        ensure!(nft.wait().await?.success(), "nft refuses {script}");
        Ok(())
    }
}

fn addresses(pod: &Pod) -> Vec<String> {
    let ips = pod.status.iter().flat_map(|status| status.pod_ips.iter());
    ips.flatten().map(|ip| ip.ip.clone()).collect()
}

#[tokio::test]
async fn a_valid_certificate_of_another_account_is_refused() -> Result<()> {
    let scene = Scene::injected("naming", 1).await?;
    let bed = &scene.bed;
    bed.apply(deployment("other", 1, &template("other", &ECHO)))
        .await?;
    bed.apply([service("other", &PORTS)]).await?;
    let thief = bed.serving("app=other", 1, 8080).await?.remove(0);
    let (victim, client) = (bed.pod("app=web").await?, bed.pod("app=client").await?);
    let theft = Theft::begin(&node_of(&client)?, &victim, &thief).await?;
    let attempts = async {
        let web = scene.http("http://web:8080/", &[]).await?;
        let tcp = scene.client(&["tcp", "web:9000"]).await;
        let other = scene
            .http("http://other:8080/", &["--requests", "3"])
            .await?;
        anyhow::Ok((web, tcp, other))
    }
    .await;
    theft.end().await?;
    let (web, tcp, other) = attempts?;
    ensure!(web.statuses.get("503") == Some(&1), "{web:?}");
    ensure!(tcp.is_err(), "a TCP connection came through: {tcp:?}");

    let name = |account| format!("spiffe://cluster.local/ns/{}/sa/{account}", bed.namespace);
    let refusal = format!("the peer is {}, expected {}", name("other"), name("web"));
    eventually("the refusal in the log", async || {
        let log = ["logs", &scene.client, "-c", "istio-proxy"];
        let log = bed.kubectl(&log).await?;
        ensure!(log.contains(&refusal), "'{refusal}' is not in {log}");
        Ok(())
    })
    .await?;
    let metrics = bed.metrics(&scene.client).await?;
    let refused = metrics.sum("lateen_proxy_handshake_failures_total", &[]);
    ensure!(refused >= 2.0, "{refused} refusals were counted");

    // By its own name the other application is served: only that came to it.
    other.all_succeeded()?;
    eventually("what came to the other application", async || {
        let metrics = bed.metrics(&thief.name_any()).await?;
        let requests = metrics.sum("istio_requests_total", &[]);
        let connections = metrics.sum("istio_tcp_connections_opened_total", &[]);
        ensure!(
            (requests, connections) == (3.0, 0.0),
            "{requests} requests, {connections} connections"
        );
        Ok(())
    })
    .await?;
    // And with the network as it should be, the client reaches whom it meant.
    scene.http("http://web:8080/", &[]).await?.all_succeeded()?;
    scene.client(&["tcp", "web:9000"]).await?;
    scene.bed.end().await
}
