//! Certificates end while traffic flows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lateen_wire::lateen::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::app::App;
use crate::support::authority::Authority;
use crate::support::envoy;
use crate::support::mesh::{Endpoint, Mesh};
use crate::support::pair::Pair;
use crate::support::{soon, until};

#[tokio::test]
async fn short_lived_certificates_rotate_under_load_without_an_error() {
    let mesh = Mesh::start().await;
    mesh.control.set_life(Duration::from_secs(3));
    let app = App::http("rotating").await;
    let pair = Pair::within(mesh, "rotating", Protocol::Http, app).await;
    let mut kept = pair.http().await;
    while pair.mesh.control.log(|log| log.certificates) < 8 {
        assert_eq!(kept.get("rotating", "/").await.status, 200);
        // A connection of its own, so that handshakes happen with every certificate.
        let answer = pair
            .http()
            .await
            .send("GET / HTTP/1.1\r\nHost: rotating\r\nConnection: close\r\n\r\n")
            .await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(
        pair.client
            .sum("lateen_proxy_handshake_failures_total", &[]),
        0.0
    );
}

#[tokio::test]
async fn a_proxy_without_control_is_not_ready_until_it_comes() {
    let mesh = Mesh::start().await;
    mesh.control.stop();
    let proxy = mesh.unready_proxy("late", HashMap::new());
    until("it has tried", || {
        proxy.sum("lateen_proxy_certificate_failures_total", &[]) > 0.0
    })
    .await;
    assert!(!proxy.shared.readiness.is_ready());
    mesh.control.restart().await;
    until("it is ready", || proxy.shared.readiness.is_ready()).await;
    let certificate = proxy.shared.certificates.snapshot().unwrap();
    assert_eq!(
        certificate.identity,
        "spiffe://cluster.local/ns/default/sa/late"
    );
}

#[tokio::test]
async fn a_certificate_renews_itself_when_the_token_is_of_no_use() {
    let mesh = Mesh::start().await;
    mesh.control.set_life(Duration::from_secs(3));
    let proxies = [
        mesh.proxy("without", HashMap::new()).await,
        mesh.proxy("refused", HashMap::new()).await,
    ];
    mesh.remove_token("without");
    mesh.write_token("refused", "nonsense");
    for proxy in proxies {
        until("it is renewed twice", || {
            proxy.sum("lateen_proxy_certificates_total", &[]) >= 3.0
        })
        .await;
        assert_eq!(
            proxy.sum("lateen_proxy_certificate_failures_total", &[]),
            0.0
        );
    }
}

#[tokio::test]
async fn exchanged_roots_count_in_both_directions_without_a_restart() {
    let app = App::http("rooted").await;
    let pair = Pair::start("rooted", Protocol::Http, app).await;
    let next = Authority::new();
    // Somebody with a certificate of the next authority calls.
    let call = async || {
        let stream = pair.dial_inbound().await;
        let stream = envoy::connect(&next, "client", envoy::HTTP1, stream).await;
        // A refusal may come with the first bytes only.
        let mut stream = stream.ok()?;
        let request = b"GET / HTTP/1.1\r\nHost: rooted\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    };
    assert!(call().await.is_none());
    pair.mesh.set_roots(&[&pair.mesh.authority, &next]);
    soon("the server trusts the next authority", async {
        while call().await.is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    // A server with a certificate of the next authority is called.
    let (next, present) = (Arc::new(next), Arc::clone(&pair.mesh.authority));
    let server = App::tcp(move |stream| {
        let (next, present) = (Arc::clone(&next), Arc::clone(&present));
        async move {
            let (_, mut stream) =
                envoy::accept(&next, &present, "server", &["http/1.1"], stream).await;
            let mut bytes = [0; 1024];
            while let Ok(1..) = stream.read(&mut bytes).await {
                let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        }
    })
    .await;
    let endpoint = Endpoint {
        address: server.address,
        ..Endpoint::mesh(&pair.server, pair.back)
    };
    pair.mesh.set_endpoints(&pair.service, &[endpoint]);
    let mut http = pair.http().await;
    soon("the client trusts the next authority", async {
        while http.get("rooted", "/").await.status != 204 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
