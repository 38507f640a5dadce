//! Control comes, goes, changes its mind, and is flooded with names.

use std::collections::HashMap;
use std::net::IpAddr;

use lateen_wire::lateen::Protocol;
use lateen_wire::resource;

use crate::support::app::App;
use crate::support::client::Http1;
use crate::support::mesh::{Destinations, Endpoint, Mesh, Proxy, Service};
use crate::support::until;

struct Known {
    mesh: Mesh,
    client: Proxy,
    service: Service,
    door: IpAddr,
    app: App,
}

impl Known {
    async fn start(more: impl FnOnce(&Mesh) -> Destinations) -> Self {
        let app = App::http("known").await;
        let mesh = Mesh::start().await;
        let service = Service::new("known", Protocol::Http);
        let (door, back) = (mesh.stand_in(1), mesh.stand_in(2));
        let server = mesh
            .proxy("server", HashMap::from([(back, app.address)]))
            .await;
        mesh.serve(&service, &[Endpoint::mesh(&server, back)]);
        // The server's proxy lives as long as the test.
        std::mem::forget(server);
        let mut destinations = more(&mesh);
        destinations.insert(door, service.address);
        let client = mesh.proxy("client", destinations).await;
        Self {
            mesh,
            client,
            service,
            door,
            app,
        }
    }

    async fn status(&self, door: IpAddr, host: &str) -> u16 {
        Http1::new(self.client.dial(door).await)
            .get(host, "/")
            .await
            .status
    }
}

#[tokio::test]
async fn names_in_use_work_while_control_is_away_and_nothing_is_sent_twice() {
    let outside = App::http("outside").await;
    let (mut elsewhere, mut unasked) = (None, None);
    let known = Known::start(|mesh| {
        elsewhere = Some(mesh.stand_in(1));
        unasked = Some(mesh.stand_in(1));
        HashMap::from([
            (elsewhere.unwrap(), outside.address),
            (unasked.unwrap(), "10.96.0.99:80".parse().unwrap()),
        ])
    })
    .await;
    assert_eq!(known.status(known.door, "known").await, 200);
    known.mesh.control.stop();
    until("the link is down", || {
        known.client.shared.discovery.link() == lateen_proxy::discover::Link::Down
    })
    .await;
    assert_eq!(known.status(known.door, "known").await, 200);
    // Never asked for: refused where services live, passed through elsewhere.
    assert_eq!(known.status(unasked.unwrap(), "never").await, 503);
    assert_eq!(known.status(elsewhere.unwrap(), "never").await, 200);
    assert!(known.client.shared.readiness.is_ready());
    let parts = ["response_flags=\"NC\""];
    until("the refusal is counted", || {
        known.client.sum("istio_requests_total", &parts) == 1.0
    })
    .await;

    known.mesh.control.log(|log| {
        log.sent.clear();
        log.initial_versions.clear();
    });
    known.mesh.control.restart().await;
    until("the link is up", || {
        known.client.shared.discovery.link() == lateen_proxy::discover::Link::Up
    })
    .await;
    until("control was told what is there", || {
        known
            .mesh
            .control
            .log(|log| log.initial_versions.contains_key("known:80"))
    })
    .await;
    assert_eq!(known.status(known.door, "known").await, 200);
    known.mesh.control.log(|log| {
        for name in ["known:80", "10.96.0.10:80", "default/known-1", "self"] {
            assert!(
                !log.sent.iter().any(|sent| sent == name),
                "{name} was sent twice"
            );
        }
    });
}

#[tokio::test]
async fn control_that_comes_back_with_another_state_is_believed() {
    let known = Known::start(|_| HashMap::new()).await;
    assert_eq!(known.status(known.door, "known").await, 200);
    known.mesh.control.stop();
    known.mesh.set_endpoints(&known.service, &[]);
    assert_eq!(known.status(known.door, "known").await, 200);
    known.mesh.control.restart().await;
    until("the endpoints are gone", || {
        let snapshot = known.client.shared.discovery.snapshot();
        snapshot
            .destinations
            .iter()
            .all(|one| one.endpoints.is_empty())
    })
    .await;
    assert_eq!(known.status(known.door, "known").await, 503);
    assert_eq!(known.app.requests(), 2);
}

#[tokio::test]
async fn a_resource_that_is_wrong_is_refused_and_the_last_good_one_stays() {
    let known = Known::start(|_| HashMap::new()).await;
    assert_eq!(known.status(known.door, "known").await, 200);
    known
        .mesh
        .control
        .set_bytes(resource::ENDPOINT_SLICE, "default/known-1", vec![0xff; 9]);
    until("it is refused", || {
        known.mesh.control.log(|log| !log.refused.is_empty())
    })
    .await;
    assert_eq!(
        known
            .client
            .sum("lateen_proxy_discovery_refused_total", &[]),
        1.0
    );
    assert_eq!(known.status(known.door, "known").await, 200);
    let reason = known.mesh.control.log(|log| log.refused[0].clone());
    assert!(reason.contains("default/known-1"), "{reason}");
}

#[tokio::test]
async fn a_name_is_asked_for_on_first_use_only() {
    let known = Known::start(|_| HashMap::new()).await;
    assert!(
        known
            .mesh
            .control
            .log(|log| !log.subscribed.contains(&"known:80".to_owned()))
    );
    for _ in 0..3 {
        assert_eq!(known.status(known.door, "Known:80").await, 200);
    }
    known.mesh.control.log(|log| {
        assert_eq!(
            log.subscribed
                .iter()
                .filter(|name| *name == "known:80")
                .count(),
            1
        );
    });
}

#[tokio::test]
async fn a_flood_of_names_is_bounded_and_harms_no_other() {
    let outside = App::http("outside").await;
    let mut elsewhere = None;
    let known = Known::start(|mesh| {
        elsewhere = Some(mesh.stand_in(1));
        HashMap::from([(elsewhere.unwrap(), outside.address)])
    })
    .await;
    assert_eq!(known.status(known.door, "known").await, 200);
    let mut http = Http1::new(known.client.dial(elsewhere.unwrap()).await);
    for number in 0..1_500 {
        let answer = http.get(&format!("host-{number}.example.com"), "/").await;
        assert_eq!(answer.status, 200);
    }
    assert!(known.client.sum("lateen_proxy_names", &[]) <= 1_000.0);
    let beyond = known.client.sum("lateen_proxy_names_over_limit_total", &[]);
    assert!(beyond >= 500.0, "{beyond} names beyond the limit");
    let hosts = known
        .client
        .metrics()
        .lines()
        .filter(|line| {
            line.starts_with("istio_requests_total{") && line.contains("PassthroughCluster")
        })
        .count();
    assert!(hosts <= 101, "{hosts} hosts in the metrics");
    known.mesh.control.log(|log| log.sent.clear());
    assert_eq!(known.status(known.door, "known").await, 200);
    known
        .mesh
        .control
        .log(|log| assert!(!log.sent.contains(&"known:80".to_owned())));
}

#[tokio::test]
async fn registry_only_lets_nobody_out() {
    let outside = App::http("outside").await;
    let mesh = Mesh::start().await;
    let mut own = crate::support::mesh::own(&[]);
    own.mesh.as_mut().unwrap().registry_only = true;
    mesh.control.set(resource::OWN, resource::OWN_NAME, &own);
    let door = mesh.stand_in(1);
    let client = mesh
        .proxy("client", HashMap::from([(door, outside.address)]))
        .await;
    let answer = Http1::new(client.dial(door).await)
        .get("example.com", "/")
        .await;
    assert_eq!(answer.status, 502);
    assert_eq!(outside.requests(), 0);
    let parts = ["destination_service_name=\"BlackHoleCluster\""];
    until("it is counted", || {
        client.sum("istio_requests_total", &parts) == 1.0
    })
    .await;
}
