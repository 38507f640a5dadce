//! Values of the installation: key `values` of ConfigMap `istio-sidecar-injector`, the part of the
//! charts' values that concerns injected pods. Field names and defaults are those of Istio's charts.

mod proxy;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSecurityContext;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use lateen_api::{Error, document};
use lateen_wire::names;

use crate::openshift;
use crate::template::image;

pub use proxy::{Backend, Proxy, ProxyInit, StartupProbe};

/// What errors call the text.
pub(crate) const SOURCE: &str = "values";

/// The value of `global.pilotCertProvider` for certificates of control.
pub(crate) const ISTIOD: &str = "istiod";

/// Values of the installation.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Values {
    /// What concerns the whole mesh.
    pub global: Global,
    /// What concerns injection.
    pub sidecar_injector_webhook: SidecarInjectorWebhook,
    /// What concerns control, as far as pods are told.
    pub pilot: Pilot,
    /// What concerns injected gateways.
    pub gateways: Gateways,
    /// The revision that injects; empty is `default`.
    #[serde(deserialize_with = "text")]
    pub revision: String,
}

impl Values {
    /// Reads the text of key `values`, and names the fields that have no effect.
    ///
    /// # Errors
    /// When the text is not JSON or YAML, or a field has a value it cannot have, also beside another.
    pub fn parse(text: &str) -> Result<(Self, Vec<String>), Error> {
        let (values, unknown): (Self, _) = document::parse(SOURCE, text)?;
        if values.global.has_two_backends() {
            return Err(Error::Field {
                kind: SOURCE,
                path: "global.proxy_init.backend".to_owned(),
                reason: "iptables contradicts global.nativeNftables, which is true".to_owned(),
            });
        }
        Ok((values, unknown))
    }

    /// The image of the proxy, for pods that ask for no other.
    #[must_use]
    pub fn proxy_image(&self) -> String {
        let Global {
            hub,
            tag,
            variant,
            proxy,
            ..
        } = &self.global;
        image::reference(hub, &proxy.image, tag, variant)
    }

    /// The revision that injects.
    #[must_use]
    pub fn revision(&self) -> &str {
        if self.revision.is_empty() {
            names::DEFAULT_REVISION
        } else {
            &self.revision
        }
    }
}

/// Values under `global`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Global {
    /// Registry and folder of images.
    #[serde(deserialize_with = "text")]
    pub hub: String,
    /// Tag of images.
    #[serde(deserialize_with = "text")]
    pub tag: String,
    /// Variant of images: a suffix of the tag.
    #[serde(deserialize_with = "text")]
    pub variant: String,
    /// `imagePullPolicy` of the injected containers; empty is Kubernetes' default.
    pub image_pull_policy: String,
    /// Secrets that every injected pod may pull images with.
    pub image_pull_secrets: Vec<String>,
    /// Namespace of control.
    pub istio_namespace: String,
    /// Address of the certificate authority; empty is control.
    pub ca_address: String,
    /// Who signs certificates; only `istiod` is served.
    pub pilot_cert_provider: String,
    /// Name of the certificate authority; `GkeWorkloadCertificate` mounts Google's certificates.
    pub ca_name: String,
    /// ConfigMap, or ClusterTrustBundle, with the root certificate; empty is the usual one.
    pub trust_bundle_name: String,
    /// The Secret `istio.SERVICEACCOUNT` is mounted at `/etc/certs`, if it exists.
    pub mount_mtls_certs: bool,
    /// Name of the mesh in telemetry; empty is the trust domain.
    #[serde(rename = "meshID", deserialize_with = "text")]
    pub mesh_id: String,
    /// The platform that the cluster is: `openshift`, or any other.
    pub platform: String,
    /// Name of the network that pods are in; empty is none.
    #[serde(deserialize_with = "text")]
    pub network: String,
    /// What concerns several clusters.
    pub multi_cluster: MultiCluster,
    /// Logs of agent and proxy are JSON.
    pub log_as_json: bool,
    /// Logs of the agent.
    pub logging: Logging,
    /// Redirection uses nf_tables instead of iptables: Istio's name of one back end.
    pub native_nftables: bool,
    /// What concerns the proxy's token.
    pub sds: Sds,
    /// The exchange of tokens.
    pub sts: Sts,
    /// The proxy's container.
    pub proxy: Proxy,
    /// The container that programs redirection.
    #[serde(rename = "proxy_init")]
    pub proxy_init: ProxyInit,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            hub: "lateen".to_owned(),
            tag: env!("CARGO_PKG_VERSION").to_owned(),
            variant: String::new(),
            image_pull_policy: String::new(),
            image_pull_secrets: Vec::new(),
            istio_namespace: names::SYSTEM_NAMESPACE.to_owned(),
            ca_address: String::new(),
            pilot_cert_provider: ISTIOD.to_owned(),
            ca_name: String::new(),
            trust_bundle_name: String::new(),
            mount_mtls_certs: false,
            mesh_id: String::new(),
            platform: String::new(),
            network: String::new(),
            multi_cluster: MultiCluster::default(),
            log_as_json: false,
            logging: Logging::default(),
            native_nftables: false,
            sds: Sds::default(),
            sts: Sts::default(),
            proxy: Proxy::default(),
            proxy_init: ProxyInit::default(),
        }
    }
}

impl Global {
    /// Whether namespaces say whom pods run as.
    #[must_use]
    pub fn is_openshift(&self) -> bool {
        self.platform == openshift::PLATFORM
    }

    /// Whether one value asks for iptables and another for nf_tables.
    fn has_two_backends(&self) -> bool {
        self.native_nftables && self.proxy_init.backend == Backend::Iptables
    }

    /// Name of the cluster.
    pub(crate) fn cluster(&self) -> &str {
        let named = &self.multi_cluster.cluster_name;
        if named.is_empty() {
            "Kubernetes"
        } else {
            named
        }
    }
}

/// Values under `global.multiCluster`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MultiCluster {
    /// Name of the cluster; empty is `Kubernetes`.
    #[serde(deserialize_with = "text")]
    pub cluster_name: String,
}

/// Values under `global.logging`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Logging {
    /// `SCOPE:LEVEL,...` of the agent.
    pub level: String,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: "default:info".to_owned(),
        }
    }
}

/// Values under `global.sds`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Sds {
    /// The token that workloads prove themselves with.
    pub token: Token,
}

/// Values under `global.sds.token`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Token {
    /// Audience of the token; empty is the usual one.
    pub aud: String,
}

impl Token {
    /// Audience of the token. A token without one would be good for the Kubernetes API.
    pub(crate) fn audience(&self) -> &str {
        if self.aud.is_empty() {
            names::TOKEN_AUDIENCE
        } else {
            &self.aud
        }
    }
}

impl Default for Token {
    fn default() -> Self {
        Self {
            aud: names::TOKEN_AUDIENCE.to_owned(),
        }
    }
}

/// Values under `global.sts`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Sts {
    /// Port of the service that exchanges tokens; 0 is none.
    pub service_port: u16,
}

/// Values under `sidecarInjectorWebhook`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SidecarInjectorWebhook {
    /// Probes of the application go through the agent.
    #[serde(rename = "rewriteAppHTTPProbe")]
    pub rewrite_app_http_probe: bool,
}

impl Default for SidecarInjectorWebhook {
    fn default() -> Self {
        Self {
            rewrite_app_http_probe: true,
        }
    }
}

/// Values under `pilot`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Pilot {
    /// Redirection by a plugin of the container network.
    pub cni: Cni,
    /// Environment of control.
    pub env: BTreeMap<String, Value>,
    /// ConfigMap with revoked certificates; empty is the usual one.
    pub crl_config_map_name: String,
}

impl Pilot {
    /// What is asked of proxies and not done.
    pub(super) fn notice(&self) -> Option<&'static str> {
        self.compliance_policy().map(|_| {
            "pilot.env.COMPLIANCE_POLICY: proxies are told, and offer the same TLS whatever the policy"
        })
    }

    /// The policy for cryptography that proxies are told, such as `fips-140-3`.
    pub(crate) fn compliance_policy(&self) -> Option<&str> {
        let policy = self.env.get("COMPLIANCE_POLICY")?.as_str()?;
        (!policy.is_empty()).then_some(policy)
    }

    /// The root certificate comes as a ClusterTrustBundle.
    pub(crate) fn uses_cluster_trust_bundle(&self) -> bool {
        let wish = self.env.get("ENABLE_CLUSTER_TRUST_BUNDLE_API");
        wish.is_some_and(|wish| *wish == Value::Bool(true))
    }
}

/// Values under `pilot.cni`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Cni {
    /// A plugin programs redirection, so that pods only check it.
    pub enabled: bool,
    /// How the plugin is called: `default`, or `multus` for networks by annotation.
    pub provider: String,
}

/// Values under `gateways`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Gateways {
    /// `securityContext` of a gateway's pod in place of the usual one.
    #[serde(deserialize_with = "unless_empty")]
    pub security_context: Option<PodSecurityContext>,
}

/// An object, of which the charts write `{}` where there is none.
fn unless_empty<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default + PartialEq,
{
    let object = Option::<T>::deserialize(deserializer)?;
    Ok(object.filter(|object| *object != T::default()))
}

/// A text that YAML may have taken for a number or a truth value, such as the tag `1.24`.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err(serde::de::Error::custom("expected a text")),
    }
}
