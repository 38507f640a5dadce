//! Many connections, and connections that say nothing.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::fixture::{Authority, Client, LIMITS, OTHER_POD, Server, pod, review};

const DEADLINE: Duration = Duration::from_secs(10);

/// A connection from the other pod.
async fn stranger(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(OTHER_POD, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// Waits until the server has closed a connection.
async fn closed(stream: &mut TcpStream) {
    let mut bytes = [0; 64];
    let reading = timeout(DEADLINE, stream.read(&mut bytes));
    // A connection that is closed with bytes unread is reset.
    let read = reading.await.expect("never closed");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn a_pod_that_opens_connections_without_end_stops_nobody_else() {
    let authority = Authority::new();
    let server = Server::start(&authority).await;
    let mut hoarded = Vec::new();
    for number in 0..300 {
        let mut connection = stranger(server.address).await;
        if number < LIMITS.connections_of_one_peer {
            hoarded.push(connection);
        } else {
            closed(&mut connection).await;
        }
    }
    for _ in 0..3 {
        let client = Client::connect(server.address, authority.pem()).await;
        let response = client
            .unwrap()
            .review("/inject", &review("Pod", &pod()))
            .await;
        assert_eq!(response["allowed"], json!(true));
    }
    let (_, page) = server.page("/metrics").await;
    let refused = 300 - LIMITS.connections_of_one_peer;
    let line = format!("sidecar_injection_refused_connections_total {refused}\n");
    assert!(page.contains(&line), "{page}");
}

#[tokio::test]
async fn a_pod_whose_bodies_never_end_stops_nobody_else() {
    let authority = Authority::new();
    let server = Server::start(&authority).await;
    let mut trickling = Vec::new();
    for _ in 0..LIMITS.connections_of_one_peer - 1 {
        let stream = Client::stream_over(stranger(server.address).await, authority.pem());
        let mut stream = stream.await.unwrap();
        let head = "POST /inject HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                    content-length: 6291456\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.unwrap();
        trickling.push(stream);
    }
    let client = Client::connect(server.address, authority.pem()).await;
    let answer = async {
        let review = review("Pod", &pod());
        client.unwrap().review("/inject", &review).await
    };
    // Well before the first of those bodies is given up.
    let response = timeout(DEADLINE / 2, answer).await.expect("kept waiting");
    assert_eq!(response["allowed"], json!(true));
}

#[tokio::test]
async fn who_says_nothing_is_closed_before_the_handshake_and_kept_after_it() {
    let authority = Authority::new();
    let server = Server::start(&authority).await;
    let connecting = Client::connect(server.address, authority.pem());
    let mut kept_for_later = connecting.await.unwrap();
    // Its time begins after the other's, and so tells that the other's is over.
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    closed(&mut silent).await;
    let review = review("Pod", &pod());
    let response = kept_for_later.review("/inject", &review).await;
    assert_eq!(response["allowed"], json!(true));
}
