//! What the fuzz targets share: inputs of several texts, and what must hold whenever a pod is
//! injected.

pub mod dns;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use lateen_webhook::native::NativeSidecars;
use lateen_webhook::parameters::Parameters;
use lateen_webhook::{Cluster, Config, Injector, Outcome, Target};

/// The line between the texts of an input, which people can read and write.
const BETWEEN: &str = "\n%%%\n";

/// The texts of an input.
pub fn texts(input: &str) -> impl Iterator<Item = &str> {
    input.split(BETWEEN)
}

/// The injector of a configuration, if its values can be.
#[must_use]
pub fn injector(config: Config) -> Option<Injector> {
    Injector::new(config, NativeSidecars::Always).ok()
}

/// An ordinary pod.
#[must_use]
pub fn pod() -> Pod {
    let container = Container {
        name: "web".to_owned(),
        image: Some("web:1".to_owned()),
        ..Container::default()
    };
    let spec = PodSpec {
        containers: vec![container],
        ..PodSpec::default()
    };
    Pod {
        spec: Some(spec),
        ..Pod::default()
    }
}

/// Injects a pod. Ends the process unless a refusal says why, and the patch makes the injected pod,
/// which is returned.
pub fn inject(injector: &Injector, pod: &Pod, namespace: &str) -> Option<Pod> {
    let target = Target {
        namespace,
        parameters: &Parameters::default(),
        cluster: &Cluster::default(),
        owner: None,
    };
    let outcome = match injector.inject(pod, &target) {
        Ok(outcome) => outcome,
        Err(error) => {
            assert_ne!(error.to_string(), "");
            return None;
        }
    };
    let Outcome::Injected(injection) = &outcome else {
        return None;
    };
    let injected = Pod::clone(&injection.pod);
    let mut patched = serde_json::to_value(pod).expect("a pod is JSON");
    let patch = outcome.patch(pod.clone()).expect("an injected pod differs");
    patch.apply(&mut patched).expect("the patch fits the pod");
    let expected = serde_json::to_value(&injected).expect("a pod is JSON");
    assert_eq!(patched, expected, "the patch makes another pod");
    Some(injected)
}

/// As [`inject`], for a pod that the API server would accept: a second time must change nothing.
pub fn inject_twice(injector: &Injector, pod: &Pod) {
    let namespace = "shop";
    if let Some(injected) = inject(injector, pod, namespace) {
        let again = inject(injector, &injected, namespace);
        assert_eq!(again.unwrap_or_else(|| injected.clone()), injected);
    }
}
