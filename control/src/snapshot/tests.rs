//! Indexes follow the objects, and a watch's new list takes out what it lacks.

use super::object::{Object, PodObject};
use super::*;

fn pod(name: &str, address: &str, extra: &str) -> PodObject {
    let yaml = format!(
        "{{metadata: {{name: {name}, namespace: shop, uid: u-{name}{extra}}}, \
         spec: {{serviceAccountName: web, nodeName: node1}}, \
         status: {{podIPs: [{{ip: {address}}}]}}}}"
    );
    serde_saphyr::from_str(&yaml).unwrap()
}

fn fact_of_address(address: &str) -> Fact {
    Fact::PodAddress(address.parse().unwrap())
}

#[test]
fn a_pod_that_moves_leaves_its_old_address() {
    let mut snapshot = Snapshot::default();
    let mut changed = Facts::new();
    pod("a", "10.0.0.1", "").store(&mut snapshot, &mut changed);
    changed.clear();
    pod("a", "10.0.0.2", "").store(&mut snapshot, &mut changed);
    assert!(snapshot.pod_at("10.0.0.1".parse().unwrap()).is_none());
    assert!(snapshot.pod_at("10.0.0.2".parse().unwrap()).is_some());
    let expected = [
        fact_of_address("10.0.0.1"),
        fact_of_address("10.0.0.2"),
        Fact::Pod("shop".into(), "a".into()),
    ];
    assert_eq!(changed, expected.into_iter().collect());
}

#[test]
fn what_is_equal_changes_nothing() {
    let mut snapshot = Snapshot::default();
    pod("a", "10.0.0.1", "").store(&mut snapshot, &mut Facts::new());
    let mut changed = Facts::new();
    pod("a", "10.0.0.1", ", annotations: {unused: x}").store(&mut snapshot, &mut changed);
    assert!(changed.is_empty(), "{changed:?}");
}

#[test]
fn of_two_pods_with_one_address_the_living_one_has_it() {
    let mut snapshot = Snapshot::default();
    let leaving = pod(
        "a",
        "10.0.0.1",
        ", deletionTimestamp: \"2026-01-01T00:00:00Z\"",
    );
    leaving.store(&mut snapshot, &mut Facts::new());
    pod("b", "10.0.0.1", "").store(&mut snapshot, &mut Facts::new());
    let found = snapshot.pod_at("10.0.0.1".parse().unwrap()).unwrap();
    assert_eq!(&*found.name, "b");
    PodObject::remove("shop", "b", &mut snapshot, &mut Facts::new());
    let found = snapshot.pod_at("10.0.0.1".parse().unwrap()).unwrap();
    assert_eq!(&*found.name, "a");
}

#[test]
fn a_slice_that_changes_its_service_is_found_under_the_new_one() {
    let mut snapshot = Snapshot::default();
    let slice = |service: &str| {
        format!(
            "{{kind: EndpointSlice, metadata: {{name: s, namespace: shop, \
             labels: {{kubernetes.io/service-name: {service}}}}}, endpoints: null, ports: null}}"
        )
    };
    snapshot.read_manifests(&slice("old")).unwrap();
    snapshot.read_manifests(&slice("new")).unwrap();
    assert_eq!(snapshot.slices_of("shop", "old").count(), 0);
    assert_eq!(snapshot.slices_of("shop", "new").collect::<Vec<_>>(), ["s"]);
    assert!(snapshot.slices_by_service.len() == 1);
}
