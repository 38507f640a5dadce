//! What is followed, what is published, and what leaves.

use std::sync::Arc;

use lateen_wire::lateen;
use lateen_wire::resource::DestinationName;

use super::model::{Answer, Definition, Slice};
use super::state::State;
use crate::upstream::Choice;

fn name(text: &str) -> DestinationName {
    text.parse().unwrap()
}

fn service(slices: &[&str]) -> Definition {
    let service = lateen::Service {
        name: "reviews".into(),
        namespace: "default".into(),
        host: "reviews.default.svc.cluster.local".into(),
        port: 9080,
        port_name: "http".into(),
        endpoint_slices: slices.iter().map(ToString::to_string).collect(),
        ..lateen::Service::default()
    };
    let answer = Some(lateen::destination::Answer::Service(service));
    Definition::read(lateen::Destination { answer }).unwrap()
}

fn slice(addresses: &[[u8; 4]]) -> Slice {
    let message = lateen::EndpointSlice {
        ports: vec![lateen::SlicePort {
            name: "http".into(),
            number: 8080,
        }],
        endpoints: addresses
            .iter()
            .map(|address| lateen::Endpoint {
                address: address.to_vec(),
                workload: 1,
                ready: true,
                terminating: false,
            })
            .collect(),
        workloads: vec![lateen::Workload {
            namespace: "default".into(),
            service_account: "reviews".into(),
            mutual_tls: true,
            ..lateen::Workload::default()
        }],
    };
    Slice::read(message).unwrap()
}

fn service_of(state: &State, text: &str) -> Option<Arc<super::Service>> {
    match state.destination(&name(text))?.answer()?.as_ref() {
        Answer::Service(service) => Some(Arc::clone(service)),
        _ => None,
    }
}

#[test]
fn a_service_is_published_once_all_its_slices_are_there() {
    let mut state = State::default();
    let entry = state.follow_destination(name("reviews:9080"));
    state.apply_destination(&name("reviews:9080"), service(&["default/a", "default/b"]));
    let changes = state.take_changes();
    assert_eq!(changes.slices.subscribe.len(), 2);
    state.apply_slices([("default/a", Some(slice(&[[10, 0, 0, 1]])))]);
    assert!(entry.answer().is_none());
    state.apply_slices([("default/b", None)]);
    assert!(entry.answer().is_some());
    let endpoints = service_of(&state, "reviews:9080")
        .unwrap()
        .endpoints
        .load_full();
    assert_eq!(
        endpoints
            .choose(Choice::default())
            .unwrap()
            .address
            .to_string(),
        "10.0.0.1:8080"
    );
}

#[test]
fn names_of_one_service_share_its_endpoints_and_an_endpoint_that_stays_is_the_same() {
    let mut state = State::default();
    for text in ["reviews:9080", "10.96.0.1:9080"] {
        state.follow_destination(name(text));
        state.apply_destination(&name(text), service(&["default/a"]));
    }
    state.apply_slices([("default/a", Some(slice(&[[10, 0, 0, 1], [10, 0, 0, 2]])))]);
    let shared = service_of(&state, "reviews:9080").unwrap();
    assert!(Arc::ptr_eq(
        &shared,
        &service_of(&state, "10.96.0.1:9080").unwrap()
    ));
    let address = "10.0.0.1:8080".parse().unwrap();
    let (before, leaving) = {
        let endpoints = shared.endpoints.load();
        (
            endpoints.at(address).unwrap(),
            endpoints.at("10.0.0.2:8080".parse().unwrap()).unwrap(),
        )
    };
    state.apply_slices([("default/a", Some(slice(&[[10, 0, 0, 1], [10, 0, 0, 3]])))]);
    assert!(Arc::ptr_eq(
        &before,
        &shared.endpoints.load().at(address).unwrap()
    ));
    assert!(leaving.is_retired() && !before.is_retired());
}

fn addresses(service: &super::Service) -> Vec<String> {
    let endpoints = service.endpoints.load();
    let mut all: Vec<_> = endpoints
        .iter()
        .map(|one| one.address.to_string())
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn endpoints_serve_on_while_all_their_slices_are_replaced() {
    let mut state = State::default();
    let _entry = state.follow_destination(name("reviews:9080"));
    state.apply_destination(&name("reviews:9080"), service(&["default/a", "default/b"]));
    state.apply_slices([
        ("default/a", Some(slice(&[[10, 0, 0, 1]]))),
        ("default/b", Some(slice(&[[10, 0, 0, 2]]))),
    ]);
    let before = service_of(&state, "reviews:9080").unwrap();
    let stays = before.endpoints.load().at("10.0.0.2:8080".parse().unwrap());
    let stays = stays.unwrap();
    state.apply_destination(&name("reviews:9080"), service(&["default/c", "default/d"]));
    let now = service_of(&state, "reviews:9080").unwrap();
    assert_eq!(addresses(&now), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    assert!(!stays.is_retired());
    state.apply_slices([
        ("default/c", Some(slice(&[[10, 0, 0, 3]]))),
        ("default/d", Some(slice(&[[10, 0, 0, 2]]))),
    ]);
    assert_eq!(addresses(&now), ["10.0.0.2:8080", "10.0.0.3:8080"]);
    let same = now.endpoints.load().at(stays.address).unwrap();
    assert!(Arc::ptr_eq(&same, &stays) && !stays.is_retired());
}

#[test]
fn a_slice_that_does_not_come_holds_up_no_other() {
    let mut state = State::default();
    let _entry = state.follow_destination(name("reviews:9080"));
    state.apply_destination(&name("reviews:9080"), service(&["default/a"]));
    state.apply_slices([("default/a", Some(slice(&[[10, 0, 0, 1]])))]);
    state.apply_destination(&name("reviews:9080"), service(&["default/b", "default/c"]));
    state.apply_slices([("default/b", Some(slice(&[[10, 0, 0, 2]])))]);
    let now = service_of(&state, "reviews:9080").unwrap();
    assert_eq!(addresses(&now), ["10.0.0.2:8080"]);
    state.apply_destination(&name("reviews:9080"), service(&[]));
    let now = service_of(&state, "reviews:9080").unwrap();
    assert!(addresses(&now).is_empty());
}

#[test]
fn what_nobody_uses_leaves_with_everything_it_led_to() {
    let mut state = State::default();
    drop(state.follow_destination(name("reviews:9080")));
    state.apply_destination(&name("reviews:9080"), service(&["default/a"]));
    state.apply_slices([("default/a", Some(slice(&[[10, 0, 0, 1]])))]);
    let endpoint = {
        let service = service_of(&state, "reviews:9080").unwrap();
        let endpoints = service.endpoints.load();
        endpoints.choose(Choice::default()).unwrap()
    };
    state.take_changes();
    state.evict_idle(1);
    assert_eq!(state.destination_count(), 0);
    assert!(endpoint.is_retired());
    let changes = state.take_changes();
    assert!(changes.destinations.unsubscribe.contains("reviews:9080"));
    assert!(changes.slices.unsubscribe.contains("default/a"));
}

#[test]
fn a_name_that_comes_back_is_subscribed_to_again() {
    let mut state = State::default();
    drop(state.follow_destination(name("a:1")));
    state.take_changes();
    state.evict_idle(1);
    let _entry = state.follow_destination(name("a:1"));
    let changes = state.take_changes();
    assert!(changes.destinations.subscribe.contains("a:1"));
    assert!(changes.destinations.unsubscribe.is_empty());
}

#[test]
fn names_that_lead_nowhere_make_room_first_and_recent_ones_do_not() {
    let mut state = State::default();
    drop(state.follow_destination(name("reviews:9080")));
    state.apply_destination(&name("reviews:9080"), service(&[]));
    drop(state.follow_destination(name("nobody:80")));
    state.apply_destination(&name("nobody:80"), Definition::Unknown);
    assert!(state.evict_destination(0));
    assert!(state.destination(&name("nobody:80")).is_none());
    assert!(!state.evict_destination(0));
    assert!(state.evict_destination(1_000));
    assert_eq!(state.destination_count(), 0);
}

#[test]
fn names_that_nobody_waits_for_any_more_make_room_and_held_ones_do_not() {
    let mut state = State::default();
    let held = state.follow_destination(name("waited-for:80"));
    drop(state.follow_destination(name("given-up:80")));
    assert!(state.evict_destination(0));
    assert!(state.destination(&name("given-up:80")).is_none());
    assert!(!state.evict_destination(0));
    drop(held);
}

#[test]
fn a_new_stream_is_told_of_nothing_that_is_not_there_any_more() {
    let mut state = State::default();
    drop(state.follow_destination(name("reviews:9080")));
    state.apply_destination(&name("reviews:9080"), service(&["default/a"]));
    state.apply_slices([("default/a", Some(slice(&[[10, 0, 0, 1]])))]);
    state.evict_idle(1);
    let _entry = state.follow_destination(name("reviews:9080"));
    assert!(!state.follow_anew().destinations["reviews:9080"]);
    state.apply_destination(&name("reviews:9080"), service(&["default/a"]));
    let followed = state.follow_anew();
    assert!(followed.destinations["reviews:9080"] && !followed.slices["default/a"]);
}

#[test]
fn messages_that_cannot_be_right_are_refused() {
    let bad_address = lateen::EndpointSlice {
        endpoints: vec![lateen::Endpoint {
            address: vec![1, 2, 3],
            ..lateen::Endpoint::default()
        }],
        ..lateen::EndpointSlice::default()
    };
    assert!(
        Slice::read(bad_address)
            .unwrap_err()
            .to_string()
            .contains("3 bytes")
    );
    let bad_workload = lateen::EndpointSlice {
        endpoints: vec![lateen::Endpoint {
            address: vec![10, 0, 0, 1],
            workload: 2,
            ..lateen::Endpoint::default()
        }],
        ..lateen::EndpointSlice::default()
    };
    assert!(Slice::read(bad_workload).is_err());
    let answer = Some(lateen::destination::Answer::Workload(lateen::Workload {
        mutual_tls: true,
        namespace: "a/b".into(),
        ..lateen::Workload::default()
    }));
    assert!(Definition::read(lateen::Destination { answer }).is_err());
}

#[test]
fn a_host_network_workload_is_never_called_over_mutual_tls() {
    let message = lateen::Workload {
        mutual_tls: true,
        host_network: true,
        ..Default::default()
    };
    assert!(
        super::Workload::read(message)
            .unwrap()
            .mesh_identity
            .is_none()
    );
}
