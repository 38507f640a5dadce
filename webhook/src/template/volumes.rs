//! Volumes of the pod and their mounts in the proxy's container.
//!
//! Every empty directory says so: left to the API server's defaults, it would not be the same pod
//! after a second look.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ClusterTrustBundleProjection, ConfigMapVolumeSource, DownwardAPIVolumeFile,
    DownwardAPIVolumeSource, EmptyDirVolumeSource, ObjectFieldSelector, ProjectedVolumeSource,
    SecretVolumeSource, ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};

use lateen_wire::names;

use super::Plan;
use crate::config::values::ISTIOD;
use crate::layers::service_account;

/// Lifetime of the proxy's token, in seconds; the kubelet renews it before.
const TOKEN_LIFETIME: i64 = 43_200;
/// Revoked certificates, if there is a list.
const REVOCATION_CONFIG_MAP: &str = "istio-ca-crl";
const ROOT_VOLUME: &str = "istiod-ca-cert";
const REVOKED_VOLUME: &str = "istio-ca-crl";
const OWN_VOLUME: &str = "istio-certs";
const GOOGLE_VOLUME: &str = "gke-workload-certificate";
/// The value of `global.caName` for certificates of Google.
const GOOGLE_AUTHORITY: &str = "GkeWorkloadCertificate";
const BOOTSTRAP_VOLUME: &str = "custom-bootstrap-volume";

/// The volumes, in Istio's order.
pub(super) fn volumes(plan: &Plan<'_>) -> Vec<Volume> {
    let mut volumes = vec![
        empty_dir("workload-socket", None),
        empty_dir("credential-socket", None),
        workload_certificates(plan),
        empty_dir("istio-envoy", Some("Memory")),
        empty_dir("istio-data", None),
        pod_information(),
        token(plan.values.global.sds.token.audience()),
    ];
    if trusts_control(plan) {
        volumes.push(root(plan));
    }
    if !plan.is_gateway() {
        volumes.push(config_map(REVOKED_VOLUME, revocation(plan), Some(true)));
    }
    if plan.values.global.mount_mtls_certs {
        volumes.push(own_certificates(service_account(plan.pod)));
    }
    if let Some(name) = &plan.options.bootstrap_override {
        volumes.push(config_map(BOOTSTRAP_VOLUME, name, None));
    }
    if !plan.is_gateway() {
        overlay(&mut volumes, &plan.options.user_volumes, |volume| {
            &volume.name
        });
    }
    volumes
}

/// The mounts, in Istio's order.
pub(super) fn mounts(plan: &Plan<'_>) -> Vec<VolumeMount> {
    let mut mounts = vec![
        mount("workload-socket", "/var/run/secrets/workload-spiffe-uds"),
        mount("credential-socket", "/var/run/secrets/credential-uds"),
    ];
    let certificates = "/var/run/secrets/workload-spiffe-credentials";
    mounts.push(if uses_google(plan) {
        read_only(GOOGLE_VOLUME, certificates)
    } else {
        mount("workload-certs", certificates)
    });
    if trusts_control(plan) {
        mounts.push(mount(ROOT_VOLUME, "/var/run/secrets/istio"));
        if !plan.is_gateway() {
            mounts.push(mount(REVOKED_VOLUME, "/var/run/secrets/istio/crl"));
        }
    }
    mounts.extend([
        mount("istio-data", "/var/lib/istio/data"),
        mount("istio-envoy", "/etc/istio/proxy"),
        mount("istio-token", "/var/run/secrets/tokens"),
        mount("istio-podinfo", "/etc/istio/pod"),
    ]);
    if plan.values.global.mount_mtls_certs {
        mounts.push(read_only(OWN_VOLUME, "/etc/certs/"));
    }
    if plan.options.bootstrap_override.is_some() {
        mounts.push(mount(BOOTSTRAP_VOLUME, "/etc/istio/custom-bootstrap"));
    }
    if !plan.is_gateway() {
        overlay(&mut mounts, &plan.options.user_volume_mounts, |mount| {
            &mount.mount_path
        });
    }
    mounts
}

/// Certificates come from control, and so does their root.
fn trusts_control(plan: &Plan<'_>) -> bool {
    plan.values.global.pilot_cert_provider == ISTIOD
}

/// Certificates come from Google's own authority.
fn uses_google(plan: &Plan<'_>) -> bool {
    plan.values.global.ca_name == GOOGLE_AUTHORITY
}

/// The root certificate: a ConfigMap in the pod's namespace, or a ClusterTrustBundle.
fn root(plan: &Plan<'_>) -> Volume {
    let named = Some(plan.values.global.trust_bundle_name.as_str());
    let named = named.filter(|name| !name.is_empty());
    if !plan.values.pilot.uses_cluster_trust_bundle() {
        return config_map(ROOT_VOLUME, named.unwrap_or(names::ROOT_CONFIG_MAP), None);
    }
    let bundle = ClusterTrustBundleProjection {
        name: Some(format!(
            "istio.io:istiod-ca:{}",
            named.unwrap_or("root-cert")
        )),
        path: names::ROOT_CERT_KEY.to_owned(),
        ..ClusterTrustBundleProjection::default()
    };
    let source = VolumeProjection {
        cluster_trust_bundle: Some(bundle),
        ..VolumeProjection::default()
    };
    projected(ROOT_VOLUME, source)
}

fn revocation<'a>(plan: &'a Plan<'_>) -> &'a str {
    let named = &plan.values.pilot.crl_config_map_name;
    if named.is_empty() {
        REVOCATION_CONFIG_MAP
    } else {
        named
    }
}

fn workload_certificates(plan: &Plan<'_>) -> Volume {
    if !uses_google(plan) {
        return empty_dir("workload-certs", None);
    }
    let source = CSIVolumeSource {
        driver: "workloadcertificates.security.cloud.google.com".to_owned(),
        ..CSIVolumeSource::default()
    };
    Volume {
        name: GOOGLE_VOLUME.to_owned(),
        csi: Some(source),
        ..Volume::default()
    }
}

/// Certificates that somebody else has issued for the service account, if there are any.
fn own_certificates(service_account: &str) -> Volume {
    let source = SecretVolumeSource {
        secret_name: Some(format!("istio.{service_account}")),
        optional: Some(true),
        ..SecretVolumeSource::default()
    };
    Volume {
        name: OWN_VOLUME.to_owned(),
        secret: Some(source),
        ..Volume::default()
    }
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

fn read_only(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        read_only: Some(true),
        ..mount(name, path)
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
    let source = VolumeProjection {
        service_account_token: Some(projection),
        ..VolumeProjection::default()
    };
    projected("istio-token", source)
}

fn projected(name: &str, source: VolumeProjection) -> Volume {
    let source = ProjectedVolumeSource {
        sources: Some(vec![source]),
        ..ProjectedVolumeSource::default()
    };
    Volume {
        name: name.to_owned(),
        projected: Some(source),
        ..Volume::default()
    }
}
