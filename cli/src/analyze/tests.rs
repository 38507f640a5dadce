//! Whole analyses.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::fake_cluster::FakeCluster;

const BARE: &str = "IST0103";

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"istio-injection": "enabled"}}})
}

fn pod(namespace: &str, name: &str, annotations: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
        "spec": {"containers": []}})
}

fn cluster() -> FakeCluster {
    FakeCluster::with([
        namespace("shop"),
        namespace("test"),
        pod("shop", "web", &json!({})),
        pod(
            "shop",
            "quiet",
            &json!({"galley.istio.io/analyze-suppress": "IST0001, IST0103"}),
        ),
        pod(
            "test",
            "web",
            &json!({"sidecar.istio.io/inject": "perhaps"}),
        ),
    ])
}

async fn analyzed(
    cluster: &FakeCluster,
    namespace: Option<&str>,
    suppressions: &[&str],
) -> Result<Vec<String>> {
    let console = Console::for_terminal();
    let world = cluster::gather(&cluster.client(), "istio-system", namespace, &console).await?;
    let mut report = Report::new(Filter {
        namespace: namespace.map(str::to_owned),
        suppressions: suppressions
            .iter()
            .map(|suppression| suppression.parse().unwrap())
            .collect(),
    });
    for analyzer in analyzers::select(&[])? {
        (analyzer.analyze)(&world, &mut report);
    }
    Ok(report.finish().iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn a_cluster_is_analyzed_the_worst_first() {
    let told = analyzed(&cluster(), None, &[]).await.unwrap();
    let heads: Vec<&str> = told
        .iter()
        .map(|message| message.split_once(')').unwrap().0)
        .collect();
    assert_eq!(
        heads,
        [
            "Warning [IST0103] (Pod shop/web",
            "Warning [IST0103] (Pod test/web",
            "Info [IST0135] (Pod test/web",
        ]
    );
}

#[tokio::test]
async fn one_namespace_is_analyzed_if_there_is_one() {
    let told = analyzed(&cluster(), Some("shop"), &[]).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    let error = analyzed(&cluster(), Some("none"), &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no namespace none");
}

#[tokio::test]
async fn what_nobody_wants_to_hear_is_not_told() {
    let suppressions = ["IST0103=Pod *.shop", "IST0135=*"];
    let told = analyzed(&cluster(), None, &suppressions).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(BARE) && told[0].contains("test/web"));
}

#[tokio::test]
async fn what_may_not_be_read_keeps_nothing_else_from_being_analyzed() {
    let cluster = cluster().forbidding("services").forbidding("deployments");
    let told = analyzed(&cluster, None, &[]).await.unwrap();
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
fn files_are_analyzed_whatever_namespace_they_are_for() {
    let count = |reference: Option<String>| {
        let pod = serde_json::from_value(pod("shop", "web", &json!({}))).unwrap();
        let pod: resource::Resource<Pod> = resource::Resource::new(pod, reference);
        let mut report = Report::new(Filter {
            namespace: Some("default".to_owned()),
            suppressions: Vec::new(),
        });
        report.add(&pod, &code::POD_MISSING_PROXY, "");
        report.finish().len()
    };
    assert_eq!((count(None), count(Some("a.yaml:1".to_owned()))), (0, 1));
}

#[test]
fn analyzers_are_listed_and_chosen() {
    let listed = analyzers::list();
    assert!(
        listed.starts_with("* annotations.AlphaAnalyzer:\n    "),
        "{listed}"
    );
    let count = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        analyzers::select(&names).map(|chosen| chosen.len())
    };
    assert_eq!(count(&[]).unwrap(), 6);
    assert_eq!(count(&["annotations.AlphaAnalyzer"]).unwrap(), 1);
    assert!(count(&["none"]).is_err());
}
