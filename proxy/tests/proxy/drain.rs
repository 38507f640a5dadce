//! The end of a proxy's life, seen by its callers.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use lateen_proxy::config::DrainTimes;
use lateen_proxy::drain::{Callers, Direction, Drain, Phase};
use lateen_wire::lateen::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::support::app::App;
use crate::support::client::{Http1, exchange, full, http2};
use crate::support::envoy;
use crate::support::pair::Pair;
use crate::support::{soon, until};

async fn pair(protocol: Protocol) -> Pair {
    Pair::start("draining", protocol, App::http("draining").await).await
}

/// The rest of the proxy's life, as long as something is open.
fn close(drain: &Drain) -> JoinHandle<()> {
    let times = DrainTimes {
        termination: Duration::from_secs(60),
        minimum: Duration::ZERO,
    };
    let drain = drain.clone();
    tokio::spawn(async move { drain.close(times).await })
}

#[tokio::test]
async fn callers_are_asked_to_leave_and_none_of_their_requests_fails() {
    let pair = pair(Protocol::Http).await;
    let mut through_mesh = pair.http().await;
    let mut plain = Http1::new(pair.dial_inbound().await);
    assert_eq!(through_mesh.get("draining", "/").await.status, 200);
    assert_eq!(plain.get("draining", "/").await.status, 200);
    pair.server.shared.drain.begin();
    assert!(!pair.server.shared.readiness.is_ready());
    let answer = plain.get("draining", "/").await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    plain.closed().await;
    for _ in 0..10 {
        let answer = through_mesh.get("draining", "/").await;
        assert_eq!((answer.status, answer.header("connection")), (200, None));
    }
    // New connections are still taken while endpoints withdraw.
    let mut late = Http1::new(pair.dial_inbound().await);
    assert_eq!(late.get("draining", "/").await.status, 200);
}

/// An application that has requests in hand until `answers` are released.
async fn slow_app(answers: &Arc<Semaphore>) -> App {
    let answers = Arc::clone(answers);
    App::tcp(move |mut stream| {
        let answers = Arc::clone(&answers);
        async move {
            let mut bytes = [0; 1024];
            while let Ok(1..) = stream.read(&mut bytes).await {
                answers.acquire().await.unwrap().forget();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        }
    })
    .await
}

#[tokio::test]
async fn the_application_is_held_while_it_has_a_request_in_hand() {
    let answers = Arc::new(Semaphore::new(0));
    let pair = Pair::start("draining", Protocol::Http, slow_app(&answers).await).await;
    let mut caller = pair.http().await;
    let (drain, connections) = (pair.server.shared.drain.clone(), pair.app.connections());
    let request = tokio::spawn(async move { caller.get("draining", "/").await.status });
    until("the application has the request", || {
        pair.app.connections() > connections
    })
    .await;
    drain.begin();
    let held = drain.callers_leave();
    let mut held = std::pin::pin!(held);
    // Twice as long as callers that have left need to be gone.
    let early = tokio::time::timeout(Duration::from_secs(1), &mut held).await;
    assert!(early.is_err(), "{early:?}");
    answers.add_permits(1);
    assert_eq!(request.await.unwrap(), 200);
    assert_eq!(soon("the hook's answer", held).await, Callers::Left);
}

#[tokio::test]
async fn http2_callers_get_goaway_and_none_of_their_requests_fails() {
    let pair = pair(Protocol::Http2).await;
    let mut sender = http2(pair.dial().await).await;
    let mut status = async || {
        let request = Request::get("http://draining/").body(full("")).unwrap();
        exchange(&mut sender, request).await.0.status()
    };
    assert_eq!(status().await, 200);
    pair.server.shared.drain.begin();
    for _ in 0..20 {
        assert_eq!(status().await, 200);
    }
    assert_eq!(pair.app.requests(), 21);
}

#[tokio::test]
async fn the_process_ends_when_nothing_is_active_and_streams_may_finish() {
    let pair = pair(Protocol::Http).await;
    let mut websocket = pair.http().await;
    let upgrade = "GET /websocket HTTP/1.1\r\nHost: draining\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\n\r\n";
    assert_eq!(websocket.send(upgrade).await.status, 101);
    let mut idle = Http1::new(pair.dial_inbound().await);
    assert_eq!(idle.get("draining", "/").await.status, 200);
    let drain = pair.server.shared.drain.clone();
    drain.begin();
    let closing = close(&drain);
    // The idle connection is closed, the stream goes on.
    idle.closed().await;
    assert_eq!(drain.phase(), Phase::Closing);
    websocket.stream.write_all(b"bye").await.unwrap();
    let mut bytes = [0; 3];
    soon("the echo", websocket.stream.read_exact(&mut bytes))
        .await
        .unwrap();
    assert!(!closing.is_finished());
    drop(websocket);
    soon("the end of the drain", closing).await.unwrap();
    until("nothing is active", || {
        drain.active(Direction::Inbound) == 0
    })
    .await;
}

#[tokio::test]
async fn connections_without_a_request_yet_are_served_one_at_the_very_end() {
    let pair = pair(Protocol::Http).await;
    let authority = &pair.mesh.authority;
    let early = pair.dial_inbound().await;
    let early = envoy::connect(authority, "client", envoy::HTTP1, early).await;
    let mut early = Http1::new(early.unwrap());
    let drain = pair.server.shared.drain.clone();
    drain.begin();
    let closing = close(&drain);
    soon("the last phase", drain.reached(Phase::Closing)).await;
    let mut late = Http1::new(pair.dial_inbound().await);
    let answers = [
        early.get("draining", "/").await,
        late.get("draining", "/").await,
    ];
    for answer in answers {
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("close"))
        );
    }
    early.closed().await;
    late.closed().await;
    soon("the end of the drain", closing).await.unwrap();
}
