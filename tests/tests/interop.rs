//! Istio's sidecar calls ours and is called by it, so that people can move to us pod by pod. What is
//! called is an application with its sidecar, over mutual TLS.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lateen_tests::bed::eventually;
use lateen_tests::interop::{HTTP_PORT, HTTP2_PORT, Interop, Side, identity};

/// The pods with Envoy on one side. Our programs are beside the one that cargo names.
async fn with_envoy(side: Side) -> Result<Interop> {
    let program = Path::new(env!("CARGO_BIN_EXE_lateen-offline-control"));
    let folder = program.parent().context("a program in no folder")?;
    Interop::with_envoy(side, folder).await
}

/// Calls by both versions of HTTP; the server's sidecar must tell it who called.
async fn call(interop: &Interop, http2_port: u16) -> Result<()> {
    for (port, http2) in [(HTTP_PORT, false), (http2_port, true)] {
        let seen = interop.request(port, http2).await?;
        let client = format!("URI={}", identity(Side::Client));
        ensure!(seen.contains(&client), "{client} is not in {seen}");
    }
    let echoed = interop.echo("neither HTTP nor TLS\n").await?;
    ensure!(echoed == "neither HTTP nor TLS\n", "'{echoed}' came back");
    Ok(())
}

#[tokio::test]
async fn the_sidecar_of_istio_calls_ours() -> Result<()> {
    let interop = with_envoy(Side::Client).await?;
    let called = async {
        call(&interop, HTTP2_PORT).await?;
        let identity = identity(Side::Client);
        let labels = [
            ("source_principal", identity.as_str()),
            ("connection_security_policy", "mutual_tls"),
        ];
        eventually("what ours counted", async || {
            let metrics = interop.metrics().await?;
            for (name, count) in [
                ("istio_requests_total", 2.0),
                ("istio_tcp_connections_opened_total", 1.0),
            ] {
                let counted = metrics.sum(name, &labels);
                ensure!(counted >= count, "{counted} in {name}: {}", metrics.text());
            }
            Ok(())
        })
        .await
    }
    .await;
    interop.end().await?;
    called
}

#[tokio::test]
async fn ours_calls_the_sidecar_of_istio() -> Result<()> {
    let interop = with_envoy(Side::Server).await?;
    let called = call(&interop, HTTP_PORT).await;
    interop.end().await?;
    called
}
