//! A pod that is only tried: the API server asks the injector about it and keeps nothing.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::selector::Labels;

/// The pod with these labels as it would be created in a namespace.
///
/// # Errors
/// Why it would not be created.
pub(crate) async fn create(client: &Client, namespace: &str, labels: Labels) -> kube::Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let tried = PostParams {
        dry_run: true,
        field_manager: None,
    };
    pods.create(&tried, &pod(labels)).await
}

/// The smallest pod there is.
fn pod(labels: Labels) -> Pod {
    Pod {
        metadata: ObjectMeta {
            generate_name: Some("lateenctl-trial-".to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![Container {
                name: "trial".to_owned(),
                image: Some("trial".to_owned()),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
        status: None,
    }
}
