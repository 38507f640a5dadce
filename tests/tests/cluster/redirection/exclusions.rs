//! Annotations `traffic.sidecar.istio.io/*` keep ports, networks and interfaces out of the mesh.

use anyhow::{Result, ensure};
use futures::try_join;
use lateen_tests::bed::Backend;
use lateen_tests::bed::manifest::{container, merge};
use lateen_tests::bed::scene::ECHO;
use serde_json::{Value, json};

use super::stage::{Addresses, Stage, annotated, client, outside, server, web};

/// A port that `web` and its like serve beside those of [`ECHO`].
const HIDDEN: u16 = 8090;

pub(super) async fn what_is_excluded_is_not_redirected(backend: Backend) -> Result<()> {
    let stage = Stage::open("except", backend).await?;
    stage.bed.apply([web()]).await?;
    let web = stage.cluster_addresses("web").await?;
    let mut unplugged = serving(
        "unplugged",
        &json!({ "traffic.sidecar.istio.io/excludeInterfaces": "lo,eth0" }),
    );
    let plain = json!({ "security.istio.io/tlsMode": "disabled" });
    merge(&mut unplugged, json!({ "metadata": { "labels": plain } }));
    let servers = [
        unplugged,
        serving(
            "web",
            &json!({ "traffic.sidecar.istio.io/excludeInboundPorts": "9999,8090" }),
        ),
        serving(
            "narrow",
            &json!({ "traffic.sidecar.istio.io/includeInboundPorts": "8080,9999" }),
        ),
    ];
    stage.enter(servers.into_iter().chain(clients(web))).await?;
    outbound(&stage, web).await?;
    inbound(&stage).await?;
    stage.bed.end().await
}

fn serving(name: &str, annotations: &Value) -> Value {
    let hidden = HIDDEN.to_string();
    let echo = [&ECHO[..], &["--http", &hidden]].concat();
    let mut change = annotated(annotations);
    merge(
        &mut change,
        json!({ "spec": { "containers": [container(&echo)] } }),
    );
    server(name, change)
}

fn clients(web: Addresses) -> [Value; 4] {
    let networks = format!("{}/32,{}/128", web.v4, web.v6);
    let network = format!("{}/32", web.v4);
    let ports = json!({ "traffic.sidecar.istio.io/excludeOutboundPorts": "9999,8081" });
    let ranges = json!({ "traffic.sidecar.istio.io/excludeOutboundIPRanges": networks });
    let included = json!({
        "traffic.sidecar.istio.io/includeOutboundIPRanges": network,
        "traffic.sidecar.istio.io/includeOutboundPorts": "9999,8081",
    });
    [
        client("ports", annotated(&ports)),
        client("ranges", annotated(&ranges)),
        client("included", annotated(&included)),
        client("outsider", outside()),
    ]
}

async fn outbound(stage: &Stage, web: Addresses) -> Result<()> {
    let pod = stage.addresses("web").await?;
    stage.led("outsider", "web").await?;
    for address in web.both() {
        stage.plain("ports", address, 8081).await?;
        stage.encrypted("ports", address, 8080).await?;
        stage.plain("ranges", address, 8080).await?;
        stage.encrypted("included", address, 8081).await?;
        stage.plain("unplugged", address, 8080).await?;
    }
    for address in pod.both() {
        stage.encrypted("ranges", address, 8080).await?;
        stage.plain("included", address, 8080).await?;
    }
    stage.encrypted("included", web.v4, 8080).await?;
    stage.plain("included", web.v6, 8080).await.map(drop)
}

async fn inbound(stage: &Stage) -> Result<()> {
    let outsider = stage.addresses("outsider").await?;
    for (server, port, redirected) in [
        ("web", 8080, true),
        ("web", HIDDEN, false),
        ("narrow", 8080, true),
        ("narrow", HIDDEN, false),
        ("unplugged", 8080, false),
        ("unplugged", HIDDEN, false),
    ] {
        for address in stage.addresses(server).await?.both() {
            let seen = stage.plain("outsider", address, port).await?;
            let direct = outsider.both().contains(&seen.peer());
            ensure!(
                seen.came_by_sidecar() == redirected && direct != redirected,
                "{server}:{port} at {address}: {seen:?}"
            );
        }
    }
    // Pods of the mesh reach what the proxy never sees where its pod says that it wants plain text.
    let (server, client) = (stage.addresses("unplugged"), stage.addresses("ports"));
    let (server, client) = try_join!(server, client)?;
    for (server, client) in server.both().into_iter().zip(client.both()) {
        let seen = stage.plain("ports", server, 8080).await?;
        ensure!(seen.peer() == client, "{server}: {seen:?}");
    }
    Ok(())
}
