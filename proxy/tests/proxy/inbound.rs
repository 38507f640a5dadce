//! Callers without a sidecar, and garbage: one port takes everything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lateen_wire::lateen::{InboundPort, Protocol};
use lateen_wire::resource;
use rcgen::SanType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::support::app::App;
use crate::support::client::Http1;
use crate::support::mesh::{Mesh, Proxy, own};
use crate::support::{soon, until};

async fn behind(app: &App) -> (Mesh, Proxy, std::net::IpAddr) {
    let mesh = Mesh::start().await;
    let back = mesh.stand_in(2);
    let server = mesh
        .proxy("server", HashMap::from([(back, app.address)]))
        .await;
    (mesh, server, back)
}

/// Says what the application's port speaks.
async fn declare(mesh: &Mesh, server: &Proxy, app: &App, protocol: Protocol) {
    let port = InboundPort {
        target_port: u32::from(app.address.port()),
        protocol: protocol.into(),
        service_port: 80,
        ..InboundPort::default()
    };
    mesh.control
        .set(resource::OWN, resource::OWN_NAME, &own(&[port]));
    until("the port is known", || {
        !server.shared.discovery.own().inbound.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_plain_caller_is_served_and_cannot_pretend_to_be_somebody() {
    let app = App::http("plain").await;
    let (_mesh, server, back) = behind(&app).await;
    let mut http = Http1::new(server.dial_inbound(back).await);
    let answer = http
        .send("GET /headers HTTP/1.1\r\nHost: x\r\nX-Forwarded-Client-Cert: URI=spiffe://a\r\n\r\n")
        .await;
    assert_eq!(
        (answer.status, answer.header("server")),
        (200, Some("istio-envoy"))
    );
    assert!(
        !answer.body.contains("forwarded-client-cert"),
        "{}",
        answer.body
    );
    let parts = [
        "source_workload=\"unknown\"",
        "connection_security_policy=\"none\"",
    ];
    until("it is counted", || {
        server.sum("istio_requests_total", &parts) == 1.0
    })
    .await;
}

#[tokio::test]
async fn the_service_of_a_port_is_named_in_the_metrics() {
    let app = App::http("plain").await;
    let (mesh, server, back) = behind(&app).await;
    let port = InboundPort {
        target_port: u32::from(app.address.port()),
        protocol: Protocol::Http.into(),
        service_name: "reviews".to_owned(),
        service_namespace: "default".to_owned(),
        service_host: "reviews.default.svc.cluster.local".to_owned(),
        service_port: 9080,
    };
    mesh.control
        .set(resource::OWN, resource::OWN_NAME, &own(&[port]));
    until("the port is known", || {
        !server.shared.discovery.own().inbound.is_empty()
    })
    .await;
    Http1::new(server.dial_inbound(back).await)
        .get("x", "/")
        .await;
    let parts = [
        "destination_service=\"reviews.default.svc.cluster.local\"",
        "destination_service_name=\"reviews\"",
        "destination_workload=\"own\"",
    ];
    until("it is counted", || {
        server.sum("istio_requests_total", &parts) == 1.0
    })
    .await;
}

#[tokio::test]
async fn the_applications_own_tls_passes_untouched() {
    let mesh = Mesh::start().await;
    let (chain, key) = mesh
        .authority
        .issue(SanType::DnsName("app".try_into().unwrap()));
    let config = rustls::ServerConfig::builder_with_provider(lateen_proxy::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let app = App::tcp(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            stream.write_all(b"inner").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    })
    .await;
    let back = mesh.stand_in(2);
    let server = mesh
        .proxy("server", HashMap::from([(back, app.address)]))
        .await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(mesh.authority.root_der.clone()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(lateen_proxy::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = server.dial_inbound(back).await;
    let mut stream = connector
        .connect("app".try_into().unwrap(), stream)
        .await
        .unwrap();
    let mut text = String::new();
    soon("the text", stream.read_to_string(&mut text))
        .await
        .unwrap();
    assert_eq!(text, "inner");
}

#[tokio::test]
async fn an_application_that_speaks_first_is_heard_by_a_plain_caller() {
    let app =
        App::tcp(|mut stream| async move { stream.write_all(b"welcome").await.unwrap() }).await;
    let (_mesh, server, back) = behind(&app).await;
    let mut stream = server.dial_inbound(back).await;
    let mut text = String::new();
    soon("the greeting", stream.read_to_string(&mut text))
        .await
        .unwrap();
    assert_eq!(text, "welcome");
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn a_slow_caller_is_still_understood() {
    let app = App::http("slow").await;
    let (_mesh, server, back) = behind(&app).await;
    let mut http = Http1::new(server.dial_inbound(back).await);
    for byte in b"GET /headers HTTP/1.1\r\n" {
        http.stream.write_all(&[*byte]).await.unwrap();
        http.stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let answer = http.send("Host: x\r\n\r\n").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn garbage_reaches_the_application_only_where_anything_may() {
    let app = App::echo().await;
    let (mesh, server, back) = behind(&app).await;
    for garbage in [
        &b"\x16\x03\x01\xff\xff garbage"[..],
        b"\0\0\0\0",
        b"GET nothing\r\n\r\n",
    ] {
        let mut stream = server.dial_inbound(back).await;
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        soon("the echo", stream.read_to_end(&mut back))
            .await
            .unwrap();
        assert_eq!(back, garbage);
    }
    declare(&mesh, &server, &app, Protocol::Http).await;
    let answer = Http1::new(server.dial_inbound(back).await)
        .send("\0garbage\r\n\r\n")
        .await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn an_application_that_is_gone_gives_503_and_no_secret_to_plain_callers() {
    let app = App::http("gone").await;
    let (_mesh, server, back) = behind(&app).await;
    app.stop().await;
    let answer = Http1::new(server.dial_inbound(back).await)
        .get("x", "/")
        .await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.body.contains("connection failure"),
        "{}",
        answer.body
    );
    assert!(answer.header("x-lateen-not-executed").is_none());
}

#[tokio::test]
async fn a_connection_to_the_proxy_itself_does_not_go_round() {
    let mesh = Mesh::start().await;
    let back = mesh.stand_in(2);
    // A destination equal to the capture port: configured as 0 in these tests.
    let itself = "127.0.0.1:0".parse().unwrap();
    let server = mesh.proxy("server", HashMap::from([(back, itself)])).await;
    for mut stream in [server.dial_inbound(back).await, server.dial(back).await] {
        let mut bytes = [0; 1];
        assert_eq!(
            soon("the end", stream.read(&mut bytes)).await.unwrap_or(0),
            0
        );
    }
    assert_eq!(server.sum("lateen_proxy_loops_total", &[]), 2.0);
}

#[tokio::test]
async fn a_caller_that_trickles_holds_nothing_for_long() {
    let app = App::echo().await;
    let (_mesh, server, back) = behind(&app).await;
    let letters = async {
        let mut stream = server.dial_inbound(back).await;
        stream.write_all(b"GE").await.unwrap();
        let mut echo = [0; 2];
        soon("the echo", stream.read_exact(&mut echo))
            .await
            .unwrap();
        assert_eq!(&echo, b"GE");
    };
    let hello = async {
        let mut stream = server.dial_inbound(back).await;
        // The beginning of a ClientHello of 512 bytes.
        let part = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        stream.write_all(part).await.unwrap();
        let end = soon("the end", stream.read(&mut [0])).await;
        assert_eq!(end.unwrap_or(0), 0);
    };
    tokio::join!(letters, hello);
    assert_eq!(app.connections(), 1);
    for counter in [
        "lateen_proxy_detection_timeouts_total",
        "lateen_proxy_handshake_failures_total",
    ] {
        assert_eq!(server.sum(counter, &[]), 1.0, "{counter}");
    }
}

#[tokio::test]
async fn a_port_that_is_declared_opaque_is_not_read_beyond_the_first_byte() {
    let app = App::echo().await;
    let (mesh, server, back) = behind(&app).await;
    declare(&mesh, &server, &app, Protocol::Tcp).await;
    let mut stream = server.dial_inbound(back).await;
    let started = Instant::now();
    stream.write_all(b"G").await.unwrap();
    let mut echo = [0; 1];
    soon("the echo", stream.read_exact(&mut echo))
        .await
        .unwrap();
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_silent_caller_hears_that_the_application_closes() {
    let app = App::tcp(|stream| async move { drop(stream) }).await;
    let (_mesh, server, back) = behind(&app).await;
    let mut stream = server.dial_inbound(back).await;
    let end = soon("the end", stream.read(&mut [0])).await;
    assert_eq!(end.unwrap_or(0), 0);
}
