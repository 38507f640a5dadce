use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tower::ServiceExt as _;

use super::*;
use crate::grpc;
use crate::server::Ends;

const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

async fn send(
    mut request: Request<Body>,
) -> (StatusCode, HeaderMap, bytes::Bytes, Option<HeaderMap>) {
    let ends = Ends {
        peer: ([10, 0, 0, 9], 5000).into(),
        local: ([10, 0, 0, 1], 80).into(),
    };
    request.extensions_mut().insert(ConnectInfo(ends));
    let response = http::router("echo-0".to_owned())
        .oneshot(request)
        .await
        .unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    (head.status, head.headers, body.to_bytes(), trailers)
}

#[tokio::test]
async fn says_who_answered_and_what_was_seen() {
    let request = Request::post("/some/path?status=503")
        .header("host", "echo:80")
        .header("x-request-id", "7")
        .body(Body::from("12345"))
        .unwrap();
    let (status, headers, body, _) = send(request).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(headers["x-pod"], "echo-0");
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap(),
        json!({
            "pod": "echo-0",
            "protocol": "HTTP/1.1",
            "method": "POST",
            "authority": "echo:80",
            "path": "/some/path?status=503",
            "headers": {"host": ["echo:80"], "x-request-id": ["7"]},
            "body_bytes": 5,
            "peer": "10.0.0.9:5000",
            "local": "10.0.0.1:80",
        })
    );
}

#[tokio::test]
async fn sends_as_many_bytes_as_asked_for() {
    let (_, _, body, _) = send(Request::get("/?size=1024").body(Body::empty()).unwrap()).await;
    assert_eq!(body.len(), 1024);
}

#[tokio::test]
async fn grpc_echoes_and_tells_health_and_refuses_the_rest() {
    let call = |path: &str, message: bytes::Bytes| {
        let request = Request::post(path).header("content-type", "application/grpc");
        send(request.body(Body::from(message)).unwrap())
    };
    let message = grpc::frame(&grpc::EchoRequest {
        message: "hello".to_owned(),
    });
    let (_, _, reply, trailers) = call(grpc::ECHO, message).await;
    let reply: grpc::EchoReply = grpc::unframe(reply).unwrap();
    assert_eq!(
        (reply.message.as_str(), reply.pod.as_str()),
        ("hello", "echo-0")
    );
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
    let (_, _, reply, _) = call(grpc::HEALTH, bytes::Bytes::from_static(&[0; 5])).await;
    assert_eq!(grpc::unframe(reply), Some(grpc::HealthReply::SERVING));
    let (_, _, _, trailers) = call(grpc::ECHO, bytes::Bytes::from_static(b"garbage")).await;
    assert_eq!(trailers.unwrap()["grpc-status"], "3");
    let (_, _, _, trailers) = call("/a.B/C", bytes::Bytes::new()).await;
    assert_eq!(trailers.unwrap()["grpc-status"], "12");
}

#[tokio::test]
async fn tcp_sends_back_every_byte_after_its_banner() {
    let listener = server::listen(Some(LOCALHOST), 0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let name = Some("echo-0".to_owned());
    let serving = tokio::spawn(transport::serve_tcp(listener, name, stop.clone()));
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"hello").await.unwrap();
    connection.shutdown().await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "echo-0\nhello");
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn udp_sends_back_every_datagram() {
    let socket = transport::bind_udp(Some(LOCALHOST), 0).await.unwrap();
    let address: SocketAddr = socket.local_addr().unwrap();
    tokio::spawn(transport::serve_udp(socket, CancellationToken::new()));
    let client = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    client.send_to(b"hello", address).await.unwrap();
    let mut answer = [0; 16];
    let (length, _) = client.recv_from(&mut answer).await.unwrap();
    assert_eq!(&answer[..length], b"hello");
}

#[tokio::test]
async fn ends_at_once_when_told_to() {
    let options = Options {
        http: vec![0],
        https: vec![0],
        tcp: vec![0],
        banner: vec![],
        udp: vec![0],
        bind: Some(LOCALHOST),
        exit_on_term: true,
        name: None,
    };
    let stop = CancellationToken::new();
    stop.cancel();
    tokio::time::timeout(std::time::Duration::from_millis(500), run(options, stop))
        .await
        .expect("it ends before the second of grace is over")
        .unwrap();
}
