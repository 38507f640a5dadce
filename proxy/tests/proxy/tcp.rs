//! TCP from an application to another.

use std::collections::HashMap;

use lateen_wire::lateen::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::app::App;
use crate::support::mesh::{Endpoint, Mesh, Service};
use crate::support::pair::Pair;
use crate::support::{soon, until};

#[tokio::test]
async fn each_half_of_a_connection_ends_for_itself_and_bytes_are_counted() {
    let app = App::tcp(|mut stream| async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream
            .write_all(format!("got {}", all.len()).as_bytes())
            .await
            .unwrap();
    })
    .await;
    let pair = Pair::start("echo", Protocol::Tcp, app).await;
    let mut stream = pair.dial().await;
    stream.write_all(&vec![7; 300_000]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    soon("the answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    assert_eq!(answer, "got 300000");
    let parts = [
        "request_protocol=\"tcp\"",
        "reporter=\"source\"",
        "destination_workload=\"server\"",
    ];
    until("the source counts", || {
        pair.client.sum("istio_tcp_received_bytes_total", &parts) == 300_000.0
            && pair.client.sum("istio_tcp_sent_bytes_total", &parts) == 10.0
            && pair
                .client
                .sum("istio_tcp_connections_closed_total", &parts)
                == 1.0
    })
    .await;
    let parts = [
        "reporter=\"destination\"",
        "connection_security_policy=\"mutual_tls\"",
    ];
    until("the destination counts", || {
        pair.server
            .sum("istio_tcp_connections_closed_total", &parts)
            == 1.0
    })
    .await;
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_through_both_proxies() {
    let app = App::tcp(|mut stream| async move {
        stream.write_all(b"220 ready\r\n").await.unwrap();
        let mut bytes = [0; 64];
        while let Ok(length @ 1..) = stream.read(&mut bytes).await {
            stream.write_all(&bytes[..length]).await.unwrap();
        }
    })
    .await;
    // Declared TCP, so that the client's proxy does not wait; the server's knows nothing.
    let pair = Pair::start("smtp", Protocol::Tcp, app).await;
    let mut stream = pair.dial().await;
    let mut greeting = [0; 11];
    soon("the greeting", stream.read_exact(&mut greeting))
        .await
        .unwrap();
    assert_eq!(&greeting, b"220 ready\r\n");
    stream.write_all(b"HELO").await.unwrap();
    let mut echo = [0; 4];
    soon("the echo", stream.read_exact(&mut echo))
        .await
        .unwrap();
    assert_eq!(&echo, b"HELO");
}

#[tokio::test]
async fn a_protocol_that_is_no_http_is_found_out_by_its_first_byte() {
    let app = App::echo().await;
    let pair = Pair::start("redis", Protocol::Undeclared, app).await;
    let mut stream = pair.dial().await;
    stream.write_all(b"*").await.unwrap();
    let mut echo = [0; 1];
    soon("the echo", stream.read_exact(&mut echo))
        .await
        .unwrap();
    assert_eq!(
        pair.client
            .sum("lateen_proxy_detection_timeouts_total", &[]),
        0.0
    );
}

#[tokio::test]
async fn silence_becomes_tcp_and_is_counted_by_port() {
    let app = App::tcp(|mut stream| async move {
        stream.write_all(b"hello").await.unwrap();
    })
    .await;
    let mesh = Mesh::start().await;
    let mut own = crate::support::mesh::own(&[]);
    own.mesh.as_mut().unwrap().protocol_detection_timeout_ms = Some(50);
    mesh.control.set(
        lateen_wire::resource::OWN,
        lateen_wire::resource::OWN_NAME,
        &own,
    );
    let service = Service::new("silent", Protocol::Undeclared);
    let door = mesh.stand_in(1);
    mesh.serve(&service, &[Endpoint::plain(app.address)]);
    let client = mesh
        .proxy("client", HashMap::from([(door, service.address)]))
        .await;
    let mut stream = client.dial(door).await;
    let mut greeting = String::new();
    soon("the greeting", stream.read_to_string(&mut greeting))
        .await
        .unwrap();
    assert_eq!(greeting, "hello");
    assert_eq!(
        client.sum("lateen_proxy_detection_timeouts_total", &["port=\"80\""]),
        1.0
    );
}

#[tokio::test]
async fn a_connection_finds_the_endpoint_that_can_be_called() {
    let app = App::echo().await;
    let mesh = Mesh::start().await;
    let service = Service::new("echo", Protocol::Tcp);
    let door = mesh.stand_in(1);
    let closed = App::echo().await;
    let gone = Endpoint::plain(closed.address);
    closed.stop().await;
    mesh.serve_two(&service, &Endpoint::plain(app.address), &gone);
    let client = mesh
        .proxy("client", HashMap::from([(door, service.address)]))
        .await;
    for _ in 0..10 {
        let mut stream = client.dial(door).await;
        stream.write_all(b"x").await.unwrap();
        let mut echo = [0; 1];
        soon("the echo", stream.read_exact(&mut echo))
            .await
            .unwrap();
    }
    assert_eq!(app.connections(), 10);
}

#[tokio::test]
async fn an_open_connection_outlives_its_endpoint_in_discovery() {
    let app = App::echo().await;
    let pair = Pair::start("echo", Protocol::Tcp, app).await;
    let mut stream = pair.dial().await;
    let mut echo = [0; 1];
    stream.write_all(b"1").await.unwrap();
    soon("the echo", stream.read_exact(&mut echo))
        .await
        .unwrap();
    pair.mesh.set_endpoints(&pair.service, &[]);
    until("the endpoint is gone", || {
        let snapshot = pair.client.shared.discovery.snapshot();
        snapshot
            .destinations
            .iter()
            .all(|one| one.endpoints.is_empty())
    })
    .await;
    stream.write_all(b"2").await.unwrap();
    soon("the echo", stream.read_exact(&mut echo))
        .await
        .unwrap();
    assert_eq!(&echo, b"2");
    let mut refused = pair.dial().await;
    assert_eq!(
        soon("the end", refused.read(&mut echo)).await.unwrap_or(0),
        0
    );
}
