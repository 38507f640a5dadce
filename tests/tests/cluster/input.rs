//! What bad input gets: the right error, and nobody else is affected.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use kube::ResourceExt as _;
use lateen_tests::bed::Bed;
use lateen_tests::bed::manifest::client;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::system_pod;

/// Posts to the webhook as the API server does.
async fn review(kind: &str, body: impl Into<Bytes>) -> Result<(StatusCode, String)> {
    let (system, pod) = system_pod("istio=sidecar-injector").await?;
    let name = "istio-sidecar-injector.istio-system.svc";
    let stream = system
        .connect_tls(&pod, 15017, name, &["http/1.1"], None)
        .await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post("/inject")
        .header("host", name)
        .header("content-type", kind)
        .body(Full::new(body.into()))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let text = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

#[tokio::test]
async fn the_webhook_refuses_what_is_no_review() -> Result<()> {
    let json = "application/json";
    for (kind, body, status) in [
        (json, Bytes::new(), StatusCode::BAD_REQUEST),
        (
            json,
            Bytes::from_static(b"{\"kind\":"),
            StatusCode::BAD_REQUEST,
        ),
        (
            "text/plain",
            Bytes::from_static(b"{}"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
    ] {
        let (answered, text) = review(kind, body).await?;
        ensure!(answered == status, "{kind}: {answered} {text}");
        ensure!(!text.is_empty(), "{kind}: no reason is given");
    }
    Ok(())
}

#[tokio::test]
async fn the_webhook_refuses_ten_megabytes() -> Result<()> {
    // The answer may come before the body is read: the client then sees either it or a closed
    // connection, and the webhook goes on for others.
    if let Ok((status, text)) = review("application/json", vec![b' '; 10 << 20]).await {
        ensure!(status == StatusCode::BAD_REQUEST, "{status} {text}");
    }
    let (status, _) = review("text/plain", "{}").await?;
    ensure!(status == StatusCode::UNSUPPORTED_MEDIA_TYPE, "{status}");
    Ok(())
}

#[tokio::test]
async fn a_bad_annotation_refuses_the_pod_with_the_reason() -> Result<()> {
    let bed = Bed::injected("bad-annotation").await?;
    let mut pod = lateen_tests::bed::manifest::template("web", &["sleep"]);
    let change = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web",
        "annotations": {
            "traffic.sidecar.istio.io/excludeInboundPorts": "http",
            "sidecar.istio.io/proxyCPU": "lots",
        } } });
    lateen_tests::bed::manifest::merge(&mut pod, change);
    bed.apply([lateen_tests::bed::manifest::service_account("web")])
        .await?;
    let error = format!("{:#}", bed.apply([pod]).await.unwrap_err());
    for part in [
        "traffic.sidecar.istio.io/excludeInboundPorts",
        "http",
        "sidecar.istio.io/proxyCPU",
        "lots",
    ] {
        ensure!(error.contains(part), "{part} is missing in: {error}");
    }
    bed.end().await
}

#[tokio::test]
async fn garbage_on_every_port_of_a_sidecar_harms_nobody() -> Result<()> {
    let bed = Bed::injected("garbage").await?;
    bed.apply(client("client")).await?;
    let pod = bed.ready("app=client", 1).await?[0].name_any();
    for port in [15000, 15001, 15006, 15020, 15021, 15090] {
        for garbage in [
            &b"\x16\x03\x01\xff\xff"[..],
            b"PRI * HTTP/2.0\r\n\r\nXX",
            &[0; 4096],
            b"\r\n\r\n\r\n",
        ] {
            let mut stream = bed.connect(&pod, port).await?;
            // The proxy may close before everything is written: that is a right answer.
            let _ = stream.write_all(garbage).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
        }
    }
    ensure!(
        bed.get(&pod, 15021, "/healthz/ready")
            .await?
            .contains("ready")
    );
    let restarts = bed.pod("app=client").await?.status.context("no status")?;
    let restarts: i32 = restarts
        .init_container_statuses
        .iter()
        .flatten()
        .map(|container| container.restart_count)
        .sum();
    ensure!(restarts == 0, "the sidecar was restarted {restarts} times");
    bed.end().await
}
