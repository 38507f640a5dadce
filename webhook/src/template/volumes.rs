//! Volumes of the pod and their mounts in the proxy's container.
//!
//! Every empty directory says so: left to the API server's defaults, it would not be the same pod
//! after a second look.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource, EmptyDirVolumeSource,
    ObjectFieldSelector, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume, VolumeMount,
    VolumeProjection,
};

use lateen_wire::names;

use super::Plan;

/// Lifetime of the proxy's token, in seconds; the kubelet renews it before.
const TOKEN_LIFETIME: i64 = 43_200;
/// Revoked certificates, if there is a list.
const REVOCATION_CONFIG_MAP: &str = "istio-ca-crl";
const BOOTSTRAP_VOLUME: &str = "custom-bootstrap-volume";

/// The volumes, in Istio's order.
pub(crate) fn volumes(plan: &Plan<'_>) -> Vec<Volume> {
    let mut volumes = vec![
        empty_dir("workload-socket", None),
        empty_dir("credential-socket", None),
        empty_dir("workload-certs", None),
        empty_dir("istio-envoy", Some("Memory")),
        empty_dir("istio-data", None),
        pod_information(),
        token(&plan.values.global.sds.token.aud),
        config_map("istiod-ca-cert", names::ROOT_CONFIG_MAP, None),
        config_map("istio-ca-crl", REVOCATION_CONFIG_MAP, Some(true)),
    ];
    if let Some(name) = &plan.options.bootstrap_override {
        volumes.push(config_map(BOOTSTRAP_VOLUME, name, None));
    }
    overlay(&mut volumes, &plan.options.user_volumes, |volume| {
        &volume.name
    });
    volumes
}

/// The mounts, in Istio's order.
pub(super) fn mounts(plan: &Plan<'_>) -> Vec<VolumeMount> {
    let mut mounts = vec![
        mount("workload-socket", "/var/run/secrets/workload-spiffe-uds"),
        mount("credential-socket", "/var/run/secrets/credential-uds"),
        mount(
            "workload-certs",
            "/var/run/secrets/workload-spiffe-credentials",
        ),
        mount("istiod-ca-cert", "/var/run/secrets/istio"),
        mount("istio-ca-crl", "/var/run/secrets/istio/crl"),
        mount("istio-data", "/var/lib/istio/data"),
        mount("istio-envoy", "/etc/istio/proxy"),
        mount("istio-token", "/var/run/secrets/tokens"),
        mount("istio-podinfo", "/etc/istio/pod"),
    ];
    if plan.options.bootstrap_override.is_some() {
        mounts.push(mount(BOOTSTRAP_VOLUME, "/etc/istio/custom-bootstrap"));
    }
    overlay(&mut mounts, &plan.options.user_volume_mounts, |mount| {
        &mount.mount_path
    });
    mounts
}

/// Adds what the user's annotations ask for. Kubernetes takes each key once: what has a key of ours
/// takes the place of ours.
fn overlay<T: Clone>(ours: &mut Vec<T>, theirs: &[T], key: fn(&T) -> &str) {
    for item in theirs {
        match ours.iter_mut().find(|own| key(own) == key(item)) {
            Some(own) => *own = item.clone(),
            None => ours.push(item.clone()),
        }
    }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    }
}

fn empty_dir(name: &str, medium: Option<&str>) -> Volume {
    let source = EmptyDirVolumeSource {
        medium: medium.map(str::to_owned),
        ..EmptyDirVolumeSource::default()
    };
    Volume {
        name: name.to_owned(),
        empty_dir: Some(source),
        ..Volume::default()
    }
}

fn config_map(name: &str, object: &str, optional: Option<bool>) -> Volume {
    let source = ConfigMapVolumeSource {
        name: object.to_owned(),
        optional,
        ..ConfigMapVolumeSource::default()
    };
    Volume {
        name: name.to_owned(),
        config_map: Some(source),
        ..Volume::default()
    }
}

/// The pod's labels and annotations as files.
fn pod_information() -> Volume {
    let file = |field: &str| DownwardAPIVolumeFile {
        path: field.to_owned(),
        field_ref: Some(ObjectFieldSelector {
            field_path: format!("metadata.{field}"),
            ..ObjectFieldSelector::default()
        }),
        ..DownwardAPIVolumeFile::default()
    };
    let source = DownwardAPIVolumeSource {
        items: Some(vec![file("labels"), file("annotations")]),
        ..DownwardAPIVolumeSource::default()
    };
    Volume {
        name: "istio-podinfo".to_owned(),
        downward_api: Some(source),
        ..Volume::default()
    }
}

/// The token that the proxy proves itself to control with, bound to the pod.
fn token(audience: &str) -> Volume {
    let projection = ServiceAccountTokenProjection {
        audience: Some(audience.to_owned()),
        expiration_seconds: Some(TOKEN_LIFETIME),
        path: "istio-token".to_owned(),
    };
    let source = ProjectedVolumeSource {
        sources: Some(vec![VolumeProjection {
            service_account_token: Some(projection),
            ..VolumeProjection::default()
        }]),
        ..ProjectedVolumeSource::default()
    };
    Volume {
        name: "istio-token".to_owned(),
        projected: Some(source),
        ..Volume::default()
    }
}
