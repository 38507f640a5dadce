//! Peers that misbehave: the right answer, a counter, and nobody else affected.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use lateen_wire::lateen::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::app::App;
use crate::support::client::{Http1, exchange, full, http2};
use crate::support::mesh::{Endpoint, Mesh, Proxy, Service};
use crate::support::{soon, until};

/// A client's proxy before a plain endpoint that does with connections what it is told.
async fn before<F, S>(protocol: Protocol, serve: S) -> (Mesh, Proxy, IpAddr, App)
where
    S: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let app = App::tcp(serve).await;
    let mesh = Mesh::start().await;
    let service = Service::new("bad", protocol);
    let door = mesh.stand_in(1);
    mesh.serve(&service, &[Endpoint::plain(app.address)]);
    let client = mesh
        .proxy("client", HashMap::from([(door, service.address)]))
        .await;
    (mesh, client, door, app)
}

async fn read_some(stream: &mut TcpStream) -> usize {
    stream.read(&mut [0; 4096]).await.unwrap_or(0)
}

#[tokio::test]
async fn an_endpoint_that_closes_idle_connections_at_reuse_loses_no_request() {
    // Closes right after each response, without having said so.
    let (_mesh, client, door, app) = before(Protocol::Http, |mut stream| async move {
        if read_some(&mut stream).await > 0 {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
        }
    })
    .await;
    let mut http = Http1::new(client.dial(door).await);
    for _ in 0..30 {
        assert_eq!(http.post("bad", "/", "order").await.status, 200);
    }
    assert_eq!(app.connections(), 30);
}

#[tokio::test]
async fn a_connection_that_ends_before_the_response_is_503_and_not_repeated() {
    let (_mesh, client, door, app) = before(Protocol::Http, |mut stream| async move {
        read_some(&mut stream).await;
    })
    .await;
    let answer = Http1::new(client.dial(door).await)
        .post("bad", "/", "order")
        .await;
    assert_eq!(answer.status, 503);
    assert!(
        answer
            .body
            .ends_with("reset reason: connection termination"),
        "{}",
        answer.body
    );
    assert_eq!(app.connections(), 1);
    let parts = ["response_flags=\"UC\"", "response_code=\"503\""];
    until("it is counted", || {
        client.sum("istio_requests_total", &parts) == 1.0
    })
    .await;
}

#[tokio::test]
async fn a_response_that_breaks_off_breaks_off_for_the_client() {
    let (_mesh, client, door, _app) = before(Protocol::Http, |mut stream| async move {
        read_some(&mut stream).await;
        let part = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
        stream.write_all(part).await.unwrap();
    })
    .await;
    let mut stream = client.dial(door).await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: bad\r\n\r\n")
        .await
        .unwrap();
    let mut text = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut text)).await;
    assert!(text.ends_with(b"only this"));
    let parts = ["response_flags=\"UC\"", "response_code=\"200\""];
    until("it is counted", || {
        client.sum("istio_requests_total", &parts) == 1.0
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_speak_http_is_503() {
    let (_mesh, client, door, _app) = before(Protocol::Http, |mut stream| async move {
        read_some(&mut stream).await;
        stream.write_all(b"-ERR unknown command\r\n").await.unwrap();
        read_some(&mut stream).await;
    })
    .await;
    let answer = Http1::new(client.dial(door).await).get("bad", "/").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.ends_with("protocol error"), "{}", answer.body);
}

#[tokio::test]
async fn an_endpoint_that_never_reads_holds_up_nobody_else() {
    let (_mesh, client, door, _app) = before(Protocol::Http, |stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let mut stuck = client.dial(door).await;
    let body = vec![b'x'; 64 * 1024 * 1024];
    let head = format!(
        "POST / HTTP/1.1\r\nHost: bad\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stuck.write_all(head.as_bytes()).await.unwrap();
    let writing = tokio::spawn(async move {
        let _ = stuck.write_all(&body).await;
        stuck
    });
    let other = App::http("other").await;
    let mesh = Mesh::start().await;
    let service = Service::new("other", Protocol::Http);
    let second = mesh.stand_in(1);
    mesh.serve(&service, &[Endpoint::plain(other.address)]);
    let proxy = mesh
        .proxy("second", HashMap::from([(second, service.address)]))
        .await;
    assert_eq!(
        Http1::new(proxy.dial(second).await)
            .get("other", "/")
            .await
            .status,
        200
    );
    assert!(!writing.is_finished());
    writing.abort();
}

#[tokio::test]
async fn a_client_that_gives_up_is_counted_and_its_request_ends() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ended);
    let (_mesh, client, door, app) = before(Protocol::Http, move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            while read_some(&mut stream).await > 0 {}
            counter.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await;
    let mut impatient = client.dial(door).await;
    impatient
        .write_all(b"GET / HTTP/1.1\r\nHost: bad\r\n\r\n")
        .await
        .unwrap();
    until("the request has arrived", || app.connections() == 1).await;
    drop(impatient);
    let parts = ["response_code=\"0\"", "response_flags=\"DC\""];
    until("it is counted", || {
        client.sum("istio_requests_total", &parts) == 1.0
    })
    .await;
    until("the endpoint knows", || ended.load(Ordering::Relaxed) == 1).await;
}

#[tokio::test]
async fn goaway_at_once_sends_the_request_elsewhere() {
    let refusals = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&refusals);
    let (mesh, _client, _door, bad) = before(Protocol::Http2, move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            read_some(&mut stream).await;
            // SETTINGS, then GOAWAY with last stream 0: no stream was looked at.
            let frames = [
                &[0, 0, 0, 4, 0, 0, 0, 0, 0][..],
                &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ];
            let _ = stream.write_all(&frames.concat()).await;
            counter.fetch_add(1, Ordering::Relaxed);
            while read_some(&mut stream).await > 0 {}
        }
    })
    .await;
    let good = App::http("good").await;
    let service = Service {
        name: "two",
        address: "10.96.0.12:80".parse().unwrap(),
        ..Service::new("two", Protocol::Http2)
    };
    let door = mesh.stand_in(1);
    mesh.serve_two(
        &service,
        &Endpoint::plain(bad.address),
        &Endpoint::plain(good.address),
    );
    let client = mesh
        .proxy("client2", HashMap::from([(door, service.address)]))
        .await;
    let mut sender = http2(client.dial(door).await).await;
    for _ in 0..20 {
        let request = Request::post("http://two/echo")
            .body(full("order"))
            .unwrap();
        let (response, body, _) = exchange(&mut sender, request).await;
        assert_eq!(
            (response.status().as_u16(), &body[..]),
            (200, &b"order"[..])
        );
    }
    assert!(refusals.load(Ordering::Relaxed) > 0);
    assert_eq!(good.requests(), 20);
}

#[tokio::test]
async fn a_client_that_sends_two_hosts_or_none_gets_what_it_deserves() {
    let app = App::http("app").await;
    let mesh = Mesh::start().await;
    let service = Service::new("app", Protocol::Http);
    let door = mesh.stand_in(1);
    mesh.serve(&service, &[Endpoint::plain(app.address)]);
    let client = mesh
        .proxy("client", HashMap::from([(door, service.address)]))
        .await;
    let two = "GET / HTTP/1.1\r\nHost: app\r\nHost: other\r\n\r\n";
    assert_eq!(
        Http1::new(client.dial(door).await).send(two).await.status,
        400
    );
    // Without a name the address decides.
    let answer = Http1::new(client.dial(door).await)
        .send("GET / HTTP/1.0\r\n\r\n")
        .await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "app"));
}

#[tokio::test]
async fn bytes_that_are_no_http_on_an_http_port_get_400() {
    let (_mesh, client, door, app) = before(Protocol::Http, |_| async {}).await;
    for garbage in ["\0\0\0\r\n\r\n", "NONSENSE\r\n\r\n"] {
        let answer = Http1::new(client.dial(door).await).send(garbage).await;
        assert_eq!(answer.status, 400);
    }
    assert_eq!(app.connections(), 0);
}
