//! What a scraper sees.

use std::time::Duration;

use super::*;
use crate::discover::Workload;

fn reviews() -> Workload {
    Workload {
        name: "reviews-v1".into(),
        namespace: "default".into(),
        service_account: "bookinfo-reviews".into(),
        canonical_name: "reviews".into(),
        canonical_revision: "v1".into(),
        app: "reviews".into(),
        version: "v1".into(),
        cluster: "Kubernetes".into(),
        ..Workload::default()
    }
}

fn telemetry(registry: &Registry) -> Telemetry {
    let workload = reviews();
    let identity = "spiffe://cluster.local/ns/default/sa/bookinfo-reviews"
        .parse()
        .unwrap();
    Telemetry::new(
        registry,
        Traffic {
            reporter: Reporter::Source,
            source: Party::default(),
            destination: Party {
                workload: Some(&workload),
                principal: Some(&identity),
            },
            service: ServiceLabels {
                host: "reviews.default.svc.cluster.local",
                name: "reviews",
                namespace: "default",
            },
            security: Security::Unknown,
        },
    )
}

const OK: HttpKey = HttpKey {
    protocol: RequestProtocol::Http,
    code: 200,
    grpc_status: None,
    flags: Flags::NONE,
};

#[test]
fn labels_are_istios_in_istios_order() {
    let registry = Registry::new();
    telemetry(&registry).count(
        OK,
        &HttpRecord {
            duration: Duration::from_millis(7),
            request_bytes: 100,
            ..HttpRecord::default()
        },
    );
    let mut text = String::new();
    registry.render(&mut text);
    let line = text
        .lines()
        .find(|line| line.starts_with("istio_requests_total{"))
        .unwrap();
    assert_eq!(
        line,
        "istio_requests_total{reporter=\"source\",source_workload=\"unknown\",\
         source_canonical_service=\"unknown\",source_canonical_revision=\"unknown\",\
         source_workload_namespace=\"unknown\",source_principal=\"unknown\",\
         source_app=\"unknown\",source_version=\"unknown\",source_cluster=\"unknown\",\
         destination_workload=\"reviews-v1\",destination_workload_namespace=\"default\",\
         destination_principal=\"spiffe://cluster.local/ns/default/sa/bookinfo-reviews\",\
         destination_app=\"reviews\",destination_version=\"v1\",\
         destination_service=\"reviews.default.svc.cluster.local\",\
         destination_canonical_service=\"reviews\",destination_canonical_revision=\"v1\",\
         destination_service_name=\"reviews\",destination_service_namespace=\"default\",\
         destination_cluster=\"Kubernetes\",request_protocol=\"http\",response_code=\"200\",\
         grpc_response_status=\"\",response_flags=\"-\",connection_security_policy=\"unknown\"} 1"
    );
    assert!(text.contains("le=\"5\"} 0"), "{text}");
    assert!(text.contains("le=\"10\"} 1"), "{text}");
}

#[test]
fn equal_labels_share_a_series_and_unequal_do_not() {
    let registry = Registry::new();
    let (one, other) = (telemetry(&registry), telemetry(&registry));
    let failed = HttpKey {
        code: 503,
        flags: Flag::RetryLimit.into(),
        ..OK
    };
    one.count(OK, &HttpRecord::default());
    other.count(OK, &HttpRecord::default());
    other.count(
        HttpKey {
            flags: failed.flags.with(Flag::UpstreamConnectionFailure),
            ..failed
        },
        &HttpRecord::default(),
    );
    let mut text = String::new();
    registry.render(&mut text);
    assert!(text.contains("response_code=\"200\",grpc_response_status=\"\",response_flags=\"-\",connection_security_policy=\"unknown\"} 2"));
    assert!(text.contains("response_flags=\"UF,URX\""));
}

#[test]
fn tcp_connections_are_counted_while_open_and_after() {
    let registry = Registry::new();
    let telemetry = telemetry(&registry);
    let open = telemetry.open();
    open.series().add_received(3);
    let mut text = String::new();
    registry.render(&mut text);
    assert!(
        text.contains("istio_tcp_connections_opened_total{")
            && text.contains("request_protocol=\"tcp\"")
    );
    assert!(!text.contains("response_code"));
    drop(open);
    text.clear();
    registry.render(&mut text);
    let closed = text
        .lines()
        .find(|line| line.starts_with("istio_tcp_connections_closed_total{"));
    assert!(closed.unwrap().ends_with(" 1"));
}

#[tokio::test(start_paused = true)]
async fn a_series_leaves_when_nobody_holds_it() {
    let registry = Registry::new();
    let held = telemetry(&registry);
    held.count(OK, &HttpRecord::default());
    telemetry(&registry).count(HttpKey { code: 404, ..OK }, &HttpRecord::default());
    tokio::time::advance(EXPIRY * 2).await;
    let mut text = String::new();
    registry.render(&mut text);
    assert!(text.contains("response_code=\"200\""));
    assert!(!text.contains("response_code=\"404\""));
}

#[test]
fn values_cannot_break_out_of_their_quotes() {
    let mut labels = String::new();
    labels::push_label(&mut labels, "name", "a\"b\\c\nd");
    assert_eq!(labels, "name=\"a\\\"b\\\\c\\nd\",");
}
