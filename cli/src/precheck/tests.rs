//! What people read.

use super::*;
use crate::arguments::OutputFlags;
use crate::fake_cluster::FakeCluster;

#[test]
fn the_worst_comes_with_its_remedy() {
    let findings = [
        Finding::error("nodes", "no node has room for istiod").remedy("add a node"),
        Finding::info("kubernetes", "the API server is v1.34.0"),
    ];
    assert_eq!(
        to_text(&findings),
        "LEVEL   CHECK        FINDING\n\
         Error   nodes        no node has room for istiod\n\
         \u{20}                    → add a node\n\
         Info    kubernetes   the API server is v1.34.0\n"
    );
}

#[test]
fn levels_are_ordered() {
    assert!(Level::Error > Level::Warning && Level::Warning > Level::Info);
}

#[tokio::test]
async fn definitions_that_may_not_be_read_are_one_finding_among_others() {
    let cluster = FakeCluster::default().forbidding("customresourcedefinitions");
    let values = Values::load(&Sources::default()).unwrap();
    let options = Precheck {
        set: Vec::new(),
        revision: None,
        from_version: Some("1.23".parse().unwrap()),
        skip_controlplane: false,
        skip_kernel: true,
        kernel_namespace: None,
        output_threshold: Level::Info,
        output: OutputFlags::default(),
    };
    let console = Console::for_terminal();
    let findings = look(&cluster.client(), &values, &options, &console).await;
    let text = to_text(&findings.unwrap());
    for part in [
        "definitions    could not be looked at",
        "mesh           there is no namespace istio-system yet",
        "from istio     answers 503",
        "injectors      no sidecar injector is installed",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("Gateway API is not installed"), "{text}");
}
