//! Certificates end while traffic flows.

use std::collections::HashMap;
use std::time::Duration;

use lateen_wire::lateen::Protocol;

use crate::support::app::App;
use crate::support::client::Http1;
use crate::support::mesh::{Endpoint, Mesh, Service};
use crate::support::until;

#[tokio::test]
async fn short_lived_certificates_rotate_under_load_without_an_error() {
    let app = App::http("rotating").await;
    let mesh = Mesh::start().await;
    mesh.control.set_life(Duration::from_secs(3));
    let service = Service::new("rotating", Protocol::Http);
    let (door, back) = (mesh.stand_in(1), mesh.stand_in(2));
    let server = mesh
        .proxy("server", HashMap::from([(back, app.address)]))
        .await;
    mesh.serve(&service, &[Endpoint::mesh(&server, back)]);
    let client = mesh
        .proxy("client", HashMap::from([(door, service.address)]))
        .await;
    let mut kept = Http1::new(client.dial(door).await);
    while mesh.control.log(|log| log.certificates) < 8 {
        assert_eq!(kept.get("rotating", "/").await.status, 200);
        // A connection of its own, so that handshakes happen with every certificate.
        let answer = Http1::new(client.dial(door).await)
            .send("GET / HTTP/1.1\r\nHost: rotating\r\nConnection: close\r\n\r\n")
            .await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(
        client.sum("lateen_proxy_handshake_failures_total", &[]),
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
