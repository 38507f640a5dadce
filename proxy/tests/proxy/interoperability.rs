//! Istio's sidecars as peers: a caller and a callee that are on the wire what Envoy is there.

use std::sync::Arc;

use http::Request;
use lateen_proxy::tls::peer_identity;
use lateen_wire::lateen::Protocol;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::app::{App, serve_http};
use crate::support::client::{Http1, exchange, full, http2};
use crate::support::envoy::{self, Hello};
use crate::support::mesh::{Endpoint, identity};
use crate::support::pair::Pair;
use crate::support::soon;

/// Offers by which Istio's permissive listener tells mesh clients from the application's TLS.
const MATCHED: [&str; 5] = [
    "istio",
    "istio-peer-exchange",
    "istio-http/1.0",
    "istio-http/1.1",
    "istio-h2",
];

/// Calls the server's proxy as an Istio sidecar; the protocol it selects, and the connection.
async fn call(pair: &Pair, offers: &[&str]) -> (String, TlsStream<TcpStream>) {
    let stream = pair.dial_inbound().await;
    let stream = envoy::connect(&pair.mesh.authority, "client", offers, stream)
        .await
        .unwrap();
    assert_eq!(envoy::server_identity(&stream), identity("server"));
    let selected = stream.get_ref().1.alpn_protocol().unwrap_or_default();
    (String::from_utf8(selected.to_vec()).unwrap(), stream)
}

#[tokio::test]
async fn an_istio_sidecar_calls_over_http() {
    let app = App::http("reviews").await;
    let pair = Pair::start("reviews", Protocol::Undeclared, app).await;
    let (selected, stream) = call(&pair, envoy::HTTP1).await;
    assert_eq!(selected, "http/1.1");
    let answer = Http1::new(stream).get("reviews", "/headers").await;
    assert_eq!(answer.status, 200);
    let caller = format!("By={};Hash=", identity("server"));
    assert!(answer.body.contains(&caller), "{}", answer.body);
    let (selected, stream) = call(&pair, envoy::HTTP2).await;
    assert_eq!(selected, "h2");
    let request = Request::get("http://reviews/").body(full("")).unwrap();
    let (response, body, _) = exchange(&mut http2(stream).await, request).await;
    assert_eq!(
        (response.status().as_u16(), &body[..]),
        (200, &b"reviews"[..])
    );
}

#[tokio::test]
async fn an_istio_sidecar_calls_over_tcp_without_an_exchange_of_metadata() {
    let pair = Pair::start("echo", Protocol::Undeclared, App::echo().await).await;
    let (selected, mut stream) = call(&pair, envoy::TCP).await;
    // `istio-peer-exchange` would promise its preamble.
    assert_eq!(selected, "istio");
    stream.write_all(b"\0bytes").await.unwrap();
    let mut echo = [0; 6];
    soon("the echo", stream.read_exact(&mut echo))
        .await
        .unwrap();
    assert_eq!(&echo, b"\0bytes");
}

/// A client's proxy before an Istio sidecar that selects one of these, and what that was told.
async fn before(
    protocol: Protocol,
    selects: &'static [&'static str],
) -> (Pair, Arc<Mutex<Vec<Hello>>>) {
    let unused = App::http("reviews").await;
    let pair = Pair::start("reviews", protocol, unused).await;
    let hellos = Arc::new(Mutex::new(Vec::new()));
    let (heard, authority) = (Arc::clone(&hellos), Arc::clone(&pair.mesh.authority));
    let app = App::tcp(move |stream| {
        let (heard, authority) = (Arc::clone(&heard), Arc::clone(&authority));
        async move {
            let (hello, stream) =
                envoy::accept(&authority, &authority, "server", selects, stream).await;
            let certificates = stream.get_ref().1.peer_certificates().unwrap();
            let caller = peer_identity(&certificates[0]).unwrap();
            assert_eq!(caller.to_string(), identity("client"));
            heard.lock().push(hello);
            if selects.is_empty() {
                let (mut reader, mut writer) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            } else {
                serve_http("istio", stream, || {}).await;
            }
        }
    })
    .await;
    let endpoint = Endpoint {
        address: app.address,
        ..Endpoint::mesh(&pair.server, pair.back)
    };
    pair.mesh.set_endpoints(&pair.service, &[endpoint]);
    std::mem::forget(app);
    (pair, hellos)
}

fn assert_is_from_the_mesh(hello: &Hello, offers: &[&str]) {
    let name = "outbound_.80_._.reviews.default.svc.cluster.local";
    assert_eq!(hello.server_name.as_deref(), Some(name));
    assert_eq!(hello.offers, offers);
    assert!(
        hello
            .offers
            .iter()
            .any(|offer| MATCHED.contains(&offer.as_str()))
    );
}

#[tokio::test]
async fn an_istio_sidecar_is_called_over_http() {
    let (pair, hellos) = before(Protocol::Undeclared, &["h2", "http/1.1"]).await;
    let answer = pair.http().await.get("reviews", "/").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "istio"));
    let request = Request::get("http://reviews/").body(full("")).unwrap();
    let (response, ..) = exchange(&mut http2(pair.dial().await).await, request).await;
    assert_eq!(response.status(), 200);
    let hellos = hellos.lock();
    assert_is_from_the_mesh(&hellos[0], envoy::HTTP1);
    assert_is_from_the_mesh(&hellos[1], envoy::HTTP2);
}

#[tokio::test]
async fn an_istio_sidecar_is_called_over_tcp() {
    // Envoy goes on without a protocol when it knows none of those that are offered.
    let (pair, hellos) = before(Protocol::Tcp, &[]).await;
    let mut stream = pair.dial().await;
    stream.write_all(b"bytes").await.unwrap();
    let mut echo = [0; 5];
    soon("the echo", stream.read_exact(&mut echo))
        .await
        .unwrap();
    assert_eq!(&echo, b"bytes");
    assert_is_from_the_mesh(&hellos.lock()[0], &["istio"]);
}
