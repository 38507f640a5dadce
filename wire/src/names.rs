//! Names of labels, annotations and objects, spelt as Istio spells them.

/// Namespace label that turns injection on (`enabled`) or off.
pub const INJECTION: &str = "istio-injection";
/// Namespace or pod label that selects a control plane revision; as an annotation on an injected
/// pod, the revision that injected it.
pub const REVISION: &str = "istio.io/rev";
/// The revision of an installation that names none.
pub const DEFAULT_REVISION: &str = "default";
/// Pod label (or, deprecated, annotation) that decides injection for one pod.
pub const INJECT: &str = "sidecar.istio.io/inject";
/// Annotation with what was injected, as JSON.
pub const STATUS: &str = "sidecar.istio.io/status";
/// Pod label that says a workload accepts mesh mTLS when its value is [`TLS_MODE_ISTIO`].
pub const TLS_MODE: &str = "security.istio.io/tlsMode";
/// Value of [`TLS_MODE`] for pods with a sidecar.
pub const TLS_MODE_ISTIO: &str = "istio";
/// Pod label with the canonical service a workload belongs to.
pub const CANONICAL_NAME: &str = "service.istio.io/canonical-name";
/// Pod label with the canonical revision of a workload.
pub const CANONICAL_REVISION: &str = "service.istio.io/canonical-revision";
/// Pod label that overrides the workload's name in telemetry.
pub const WORKLOAD_NAME: &str = "service.istio.io/workload-name";
/// Pod label that overrides the locality that nodes give.
pub const LOCALITY: &str = "topology.istio.io/locality";
/// Node label with the region.
pub const REGION: &str = "topology.kubernetes.io/region";
/// Node label with the zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// Node label with the subzone.
pub const SUBZONE: &str = "topology.istio.io/subzone";

/// Namespace of the control plane, unless told otherwise.
pub const SYSTEM_NAMESPACE: &str = "istio-system";
/// Service, Deployment and ServiceAccount of control.
pub const CONTROL: &str = "istiod";
/// Service, Deployment and ServiceAccount of the webhook; its webhook configuration too.
pub const INJECTOR: &str = "istio-sidecar-injector";
/// ConfigMap with the mesh configuration (key `mesh`).
pub const MESH_CONFIG_MAP: &str = "istio";
/// ConfigMap with the root certificate (key [`ROOT_CERT_KEY`]) in every namespace.
pub const ROOT_CONFIG_MAP: &str = "istio-ca-root-cert";
/// Key of [`ROOT_CONFIG_MAP`].
pub const ROOT_CERT_KEY: &str = "root-cert.pem";
/// Secret with the self-signed root (keys `ca-cert.pem`, `ca-key.pem`), of type `istio.io/ca-root`.
pub const ROOT_SECRET: &str = "istio-ca-secret";
/// Secret with the webhook's certificate (`tls.crt`, `tls.key`, `ca.crt`).
pub const INJECTOR_CERTS: &str = "istio-sidecar-injector-certs";
/// Lease by which the replicas of control agree who writes for all.
pub const LEADER_LEASE: &str = "istiod-leader";
/// Audience of the tokens that workloads prove themselves with.
pub const TOKEN_AUDIENCE: &str = "istio-ca";
/// Trust domain, unless told otherwise.
pub const TRUST_DOMAIN: &str = "cluster.local";
/// User and group of the proxy, whose own traffic is never redirected.
pub const PROXY_UID: u32 = 1337;
/// Owner groups that redirection can tell apart (`ISTIO_OUTBOUND_OWNER_GROUPS`): each is a match of one and
/// the same rule.
pub const MAX_OWNER_GROUPS: usize = 64;
/// Mark of packets that redirection in TPROXY mode leads to the proxy, and of those the proxy sends to
/// the application.
pub const TPROXY_MARK: u32 = 1337;
/// Name of the container that programs redirection.
pub const INIT_CONTAINER: &str = "istio-init";
/// Name of the container that checks redirection where a plugin of the container network programs it.
pub const VALIDATION_CONTAINER: &str = "istio-validation";
/// Path on the agent's status port that answers when callers have left the application: the hook before
/// the end of containers that have none of their own.
pub const CALLERS_LEFT: &str = "/callers-left";
/// Name of the container of the proxy.
pub const PROXY_CONTAINER: &str = "istio-proxy";
