//! Answers stay what a fresh resolution would give, whatever happens in whatever order.

use std::sync::Arc;

use proptest::prelude::*;
use tokio::time::Instant;

use super::answers::{Answer, Answers, Resource};
use super::inbox::Inbox;
use super::subscriptions::Subscriptions;
use super::{Key, Kind};
use crate::resolve::tests::{documents, keys};
use crate::snapshot::Cluster;
use crate::snapshot::object::{Object, PodObject, ServiceObject, SliceObject};
use crate::snapshot::store::Store;

/// Something that happens to the cluster.
#[derive(Clone, Debug)]
enum Happening {
    /// An object arrives.
    Arrival(&'static str),
    /// A pod, service and slice of one number disappear, if they are there.
    Departure(usize),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let arrival = proptest::sample::select(documents()).prop_map(Happening::Arrival);
    let departure = (0_usize..8).prop_map(Happening::Departure);
    proptest::collection::vec(prop_oneof![4 => arrival, 1 => departure], 1..60)
}

fn happen(store: &Store, happening: &Happening) {
    store.update(|snapshot, changed| match happening {
        Happening::Arrival(document) => changed.extend(snapshot.read_manifests(document).unwrap()),
        Happening::Departure(number) => {
            let nth = |mut names: Vec<(Arc<str>, Arc<str>)>| {
                names.sort();
                names.into_iter().nth(*number)
            };
            if let Some((namespace, name)) = nth(PodObject::held(snapshot)) {
                PodObject::remove(&namespace, &name, snapshot, changed);
            }
            if let Some((namespace, name)) = nth(ServiceObject::held(snapshot)) {
                ServiceObject::remove(&namespace, &name, snapshot, changed);
            }
            if let Some((namespace, name)) = nth(SliceObject::held(snapshot)) {
                SliceObject::remove(&namespace, &name, snapshot, changed);
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_dependency_is_forgotten(happenings in happenings()) {
        let store = Arc::new(Store::new(Cluster::default()));
        let answers = Answers::new(store.clone());
        let inbox = Arc::new(Inbox::default());
        for key in keys() {
            answers.follow(&key, 1, &inbox);
        }
        for happening in &happenings {
            happen(&store, happening);
            answers.refresh(&store.take_changes());
            for key in keys() {
                let fresh = key.resolve(&store.read()).0;
                prop_assert_eq!(answers.current(&key), Some(fresh), "{:?}", key);
            }
        }
    }
}

#[tokio::test]
async fn a_change_reaches_exactly_those_who_depend_on_it() {
    let store = Arc::new(Store::new(Cluster::default()));
    happen(
        &store,
        &Happening::Arrival(include_str!("../../fixtures/shop.yaml")),
    );
    let answers = Answers::new(store.clone());
    answers.refresh(&store.take_changes());
    let inbox = Arc::new(Inbox::default());
    for key in keys() {
        answers.follow(&key, 1, &inbox);
    }
    while !inbox.take(100).is_empty() {}
    store.update(|snapshot, changed| PodObject::remove("shop", "web-0", snapshot, changed));
    answers.refresh(&store.take_changes());
    let mut told = Vec::new();
    loop {
        let taken = inbox.take(100);
        if taken.is_empty() {
            break;
        }
        told.extend(
            taken
                .into_iter()
                .map(|(key, changed)| (key.name(), changed.is_some())),
        );
    }
    told.sort();
    let expected = [
        ("10.244.0.20".to_owned(), true),
        ("shop/web-v4".to_owned(), true),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_nobody_follows_is_forgotten() {
    let answers = Answers::new(Arc::new(Store::new(Cluster::default())));
    let inbox = Arc::new(Inbox::default());
    let keys = keys();
    for stream in 1..=2 {
        keys.iter()
            .for_each(|key| answers.follow(key, stream, &inbox));
    }
    keys.iter().for_each(|key| answers.unfollow(key, 1));
    assert!(keys.iter().all(|key| answers.current(key).is_some()));
    keys.iter().for_each(|key| answers.unfollow(key, 2));
    assert!(keys.iter().all(|key| answers.current(key).is_none()));
}

fn key(name: &str) -> Arc<Key> {
    let key = Key::parse(
        Kind::Destination,
        name,
        &Arc::from("shop"),
        &Arc::from("web-0"),
    );
    Arc::new(key.unwrap())
}

fn answer(version: &str) -> Answer {
    Answer::Resource(Arc::new(Resource {
        version: version.to_owned(),
        content: Vec::new(),
    }))
}

#[test]
fn only_what_the_proxy_lacks_is_sent() {
    let mut state = Subscriptions::default();
    let (new, resumed) = (key("new:80"), key("resumed:80"));
    state.add(new.clone());
    state.resume(resumed.clone(), "1".to_owned());
    let mut names = |answers: [(Arc<Key>, Answer); 2]| -> Vec<String> {
        let response = state.response(Kind::Destination, answers);
        response.map_or(Vec::new(), |response| {
            let resources = response.resources.into_iter().map(|resource| resource.name);
            resources.chain(response.removed_resources).collect()
        })
    };
    let both = |version| {
        [
            (new.clone(), answer(version)),
            (resumed.clone(), answer(version)),
        ]
    };
    assert_eq!(names(both("1")), ["new:80"]);
    assert!(names(both("1")).is_empty());
    assert_eq!(names(both("2")), ["new:80", "resumed:80"]);
    let gone = || {
        [
            (new.clone(), Answer::Absent),
            (resumed.clone(), answer("2")),
        ]
    };
    assert_eq!(names(gone()), ["new:80"]);
    assert!(names(gone()).is_empty());
}

#[test]
fn impossible_names_are_answered_once_and_nonces_tell_the_latest() {
    let mut state = Subscriptions::default();
    state.refuse(Kind::Destination, "a b".to_owned());
    assert!(state.response(Kind::Workload, []).is_none());
    let response = state.response(Kind::Destination, []).unwrap();
    assert_eq!(response.removed_resources, ["a b"]);
    assert!(state.is_latest(Kind::Destination, &response.nonce));
    assert!(!state.is_latest(Kind::Workload, &response.nonce));
    assert!(!state.has_refused());
    assert!(state.response(Kind::Destination, []).is_none());
}

#[test]
fn there_is_room_for_so_many_of_a_type_and_for_what_is_followed() {
    let mut state = Subscriptions::default();
    state.add(key("a:80"));
    state.add(key("b:80"));
    assert!(state.has_room(&key("c:80"), 3));
    assert!(!state.has_room(&key("c:80"), 2));
    assert!(state.has_room(&key("a:80"), 2));
    assert!(state.has_room(&Key::Workload([10, 0, 0, 1].into()), 1));
    assert!(state.remove(&key("a:80")));
    assert!(state.has_room(&key("c:80"), 2));
}

#[tokio::test]
async fn an_inbox_holds_each_key_once_with_the_time_of_its_first_change() {
    let inbox = Inbox::default();
    let first = Instant::now();
    inbox.put(key("a:80"), None);
    inbox.put(key("a:80"), Some(first));
    inbox.put(key("a:80"), Some(Instant::now()));
    inbox.filled().await;
    assert_eq!(inbox.take(10), [(key("a:80"), Some(first))]);
    assert!(inbox.take(10).is_empty());
}
