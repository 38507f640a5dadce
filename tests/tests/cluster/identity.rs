//! Nothing readable crosses the wire between nodes.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use lateen_tests::bed::Bed;
use lateen_tests::bed::manifest::{deployment, merge, service, template};
use lateen_tests::bed::scene::{ECHO, PORTS, Scene};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Extension `supported_versions` of a ServerHello that chose TLS 1.3 (RFC 8446, section 4.2.1).
const TLS_1_3_CHOSEN: &[u8] = &[0x00, 0x2b, 0x00, 0x02, 0x03, 0x04];

/// Captures what passes the node's link to the other nodes.
async fn capture(node: &str, file: &std::path::Path) -> Result<Child> {
    let mut tcpdump = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{node}"))
        .args([
            "tcpdump",
            "--immediate-mode",
            "-U",
            "-i",
            "eth0",
            "-s",
            "0",
            "-w",
        ])
        .arg(file)
        .arg("tcp")
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

#[tokio::test]
async fn between_nodes_there_is_tls_1_3_and_no_plain_text() -> Result<()> {
    let bed = Bed::injected("capture").await?;
    let nodes = Api::<Node>::all(bed.client.clone())
        .list(&ListParams::default())
        .await?;
    let nodes: Vec<String> = nodes.iter().map(ResourceExt::name_any).collect();
    ensure!(nodes.len() >= 2, "the capture needs two nodes");
    for (app, arguments, node) in [
        ("web", &ECHO[..], &nodes[0]),
        ("client", &["sleep"], &nodes[1]),
    ] {
        let mut pod = template(app, arguments);
        merge(&mut pod, json!({ "spec": { "nodeName": node } }));
        bed.apply(deployment(app, 1, &pod)).await?;
    }
    bed.apply([service("web", &PORTS)]).await?;
    let web = vec![bed.ready("app=web", 1).await?[0].name_any()];
    let client = bed.ready("app=client", 1).await?[0].name_any();
    let scene = Scene { bed, client, web };

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("capture");
    let mut tcpdump = capture(&nodes[0], &file).await?;
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
    tcpdump.kill().await?;

    let captured = std::fs::read(&file)?;
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
