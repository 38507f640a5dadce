//! A proxy with more than one worker (`concurrency`).

use std::collections::HashMap;
use std::time::Duration;

use futures::future::join_all;
use lateen_proxy::config::DrainTimes;
use lateen_proxy::drain::Direction;
use lateen_wire::lateen::Protocol;

use crate::support::app::App;
use crate::support::client::Http1;
use crate::support::mesh::{Endpoint, Mesh, Service};
use crate::support::{soon, until};

const CONNECTIONS: usize = 40;
const REQUESTS: usize = 5;

#[tokio::test]
async fn two_workers_share_the_load_and_drain_together() {
    let (one, other) = (App::http("one").await, App::http("other").await);
    let mesh = Mesh::start().await;
    let (front, behind) = (mesh.stand_in(2), mesh.stand_in(2));
    let destinations = HashMap::from([(front, one.address), (behind, other.address)]);
    let server = mesh.proxy_of_workers("server", destinations, 2).await;
    let service = Service::new("shared", Protocol::Http);
    mesh.serve(
        &service,
        &[
            Endpoint::mesh(&server, front),
            Endpoint::mesh(&server, behind),
        ],
    );
    let door = mesh.stand_in(1);
    let destinations = HashMap::from([(door, service.address)]);
    let client = mesh.proxy_of_workers("client", destinations, 2).await;
    assert!(client.shared.workers.are_alive().await);

    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut http = Http1::new(client.dial(door).await);
        for _ in 0..REQUESTS {
            assert_eq!(http.get("shared", "/").await.status, 200);
        }
        clients.push(http);
    }
    assert_eq!(one.requests() + other.requests(), CONNECTIONS * REQUESTS);
    assert!(one.requests() > 50 && other.requests() > 50);
    // Requests came one after the other: each of the client's workers needs one connection to each
    // endpoint, and keeps it. That both were used shows that the kernel spreads connections.
    assert_eq!(server.shared.drain.active(Direction::Inbound), 4);
    let source = ["reporter=\"source\""];
    until("all requests are counted in one place", || {
        client.sum("istio_requests_total", &source) == (CONNECTIONS * REQUESTS) as f64
    })
    .await;

    let drain = server.shared.drain.clone();
    drain.begin();
    let statuses = join_all(clients.iter_mut().map(|http| http.get("shared", "/"))).await;
    assert!(statuses.iter().all(|answer| answer.status == 200));
    let times = DrainTimes {
        termination: Duration::from_secs(60),
        minimum: Duration::ZERO,
    };
    soon("the end of the drain", drain.close(times)).await;
    assert_eq!(drain.active(Direction::Inbound), 0);
}
