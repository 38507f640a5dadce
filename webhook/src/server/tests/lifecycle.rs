use std::time::Duration;

use hyper::StatusCode;
use rustls_pki_types::UnixTime;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::super::readiness::Readiness;
use super::super::tls::Certificate;
use super::fixture::{Authority, Client, LIMITS, SERVER_NAME, Server, pod, review};

const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_new_certificate_is_in_use_at_once_and_open_connections_live_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let server = Server::start(&old).await;
    let mut client = Client::connect(server.address, old.pem()).await.unwrap();
    server.certificate.send_replace(Some(new.certificate()));
    let response = client.review("/inject", &review("Pod", &pod())).await;
    assert_eq!(response["allowed"], true);
    assert!(Client::connect(server.address, old.pem()).await.is_err());
    let renewed = Client::connect(server.address, new.pem()).await.unwrap();
    assert_ne!(renewed.peer, client.peer);
    server.certificate.send_replace(None);
    assert!(Client::connect(server.address, new.pem()).await.is_err());
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let authority = Authority::new();
    let server = Server::start(&authority).await;
    assert_eq!(
        server.page("/ready").await,
        (StatusCode::OK, "ready\n".to_owned())
    );

    server
        .bundles
        .send_replace(Some(Some(vec![authority.pem().as_bytes().to_vec()])));
    assert_eq!(server.page("/ready").await.0, StatusCode::OK);
    server.bundles.send_replace(Some(Some(vec![Vec::new()])));
    let (status, text) = server.page("/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("caBundle"), "{text}");
    server.bundles.send_replace(None);
    assert!(
        server
            .page("/ready")
            .await
            .1
            .contains("webhook configuration has not been read")
    );
    server.bundles.send_replace(Some(None));

    server.kubelets.send_replace(None);
    let (status, text) = server.page("/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text, "the nodes have not been listed yet\n");

    server.injector.send_replace(None);
    assert!(
        server
            .page("/ready")
            .await
            .1
            .contains("no valid injection configuration")
    );
    server.certificate.send_replace(None);
    server.ending.cancel();
    let (_, text) = server.page("/ready").await;
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[tokio::test]
async fn a_certificate_counts_only_as_long_as_the_api_server_takes_it() {
    let authority = Authority::new();
    let server = Server::start(&authority).await;
    let readiness: &Readiness = &server.shared.readiness;
    assert!(readiness.obstacles(UnixTime::now()).is_empty());
    let far_future = UnixTime::since_unix_epoch(Duration::from_secs(100_000_000_000));
    let obstacles = readiness.obstacles(far_future);
    assert!(
        obstacles[0].contains("would refuse the certificate"),
        "{obstacles:?}"
    );

    let (chain, key) = authority.issue("somebody.else.svc");
    let parse = |authority: &str| {
        let (chain, key) = (chain.as_bytes(), key.as_bytes());
        Certificate::parse(chain, key, authority.as_bytes(), SERVER_NAME)
    };
    let of_another_name = parse(authority.pem()).unwrap();
    assert!(of_another_name.verify(UnixTime::now()).is_err());
    let of_another_authority = parse(Authority::new().pem()).unwrap();
    assert!(of_another_authority.verify(UnixTime::now()).is_err());
    assert!(parse("").is_err());
    let (_, other_key) = authority.issue(SERVER_NAME);
    let (chain, _) = authority.issue(SERVER_NAME);
    let (chain, key, pem) = (
        chain.as_bytes(),
        other_key.as_bytes(),
        authority.pem().as_bytes(),
    );
    assert!(Certificate::parse(chain, key, pem, SERVER_NAME).is_err());
}

#[tokio::test]
async fn an_ending_server_serves_until_nobody_comes_and_finishes_what_it_has() {
    let authority = Authority::new();
    let server = Server::start(&authority).await;
    let mut idle = Client::connect(server.address, authority.pem())
        .await
        .unwrap();
    idle.review("/inject", &review("Pod", &pod())).await;
    let mut slow = Client::stream(server.address, authority.pem())
        .await
        .unwrap();
    let body = review("Pod", &pod()).to_string();
    let head = format!(
        "POST /inject HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let (first, rest) = body.split_at(10);
    slow.write_all(format!("{head}{first}").as_bytes())
        .await
        .unwrap();

    server.ending.cancel();
    assert_eq!(
        server.page("/ready").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let mut late = Client::connect(server.address, authority.pem())
        .await
        .unwrap();
    assert_eq!(
        late.review("/inject", &review("Pod", &pod())).await["allowed"],
        json!(true)
    );

    let refused = async {
        while tokio::net::TcpStream::connect(server.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    };
    timeout(DEADLINE, refused)
        .await
        .expect("the listener is never closed");
    slow.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = async {
        // A server that closes without TLS's goodbye has still answered.
        let _ = slow.read_to_string(&mut answer).await;
    };
    timeout(DEADLINE, reading).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"patch\""),
        "{answer}"
    );
    timeout(DEADLINE, server.serving)
        .await
        .expect("the server never ends")
        .unwrap();
}

#[tokio::test]
async fn garbage_ends_its_own_connection_alone() {
    let authority = Authority::new();
    let server = Server::start(&authority).await;
    let mut client = Client::connect(server.address, authority.pem())
        .await
        .unwrap();
    let mut garbage = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    garbage.write_all(&[0x5a; 4096]).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, garbage.read_to_end(&mut answer))
        .await
        .expect("never closed");
    let mut garbage = Client::stream(server.address, authority.pem())
        .await
        .unwrap();
    garbage.write_all(b"\0\0garbage\r\n\r\n").await.unwrap();
    let _ = timeout(DEADLINE, garbage.read_to_end(&mut answer))
        .await
        .expect("never closed");
    assert_eq!(
        client.review("/inject", &review("Pod", &pod())).await["allowed"],
        json!(true)
    );
}

#[tokio::test]
async fn an_ending_server_stays_as_long_as_clients_come_back() {
    let authority = Authority::new();
    let server = Server::start(&authority).await;
    let mut client = Client::connect(server.address, authority.pem())
        .await
        .unwrap();
    server.ending.cancel();
    let begin = tokio::time::Instant::now();
    let mut connections = 1;
    while begin.elapsed() < 4 * LIMITS.least_lingering {
        let response = client.review("/inject", &review("Pod", &pod())).await;
        assert_eq!(response["allowed"], json!(true));
        if client.was_asked_to_leave {
            client = Client::connect(server.address, authority.pem())
                .await
                .unwrap();
            connections += 1;
        }
    }
    assert!(connections > 2, "nobody was asked to connect anew");
    timeout(DEADLINE, server.serving)
        .await
        .expect("the server never ends")
        .unwrap();
}
