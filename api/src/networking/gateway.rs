//! `Gateway`: what proxies at the edge of the mesh listen to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GROUP, VERSIONS};
use crate::resource::{Kind, Spec};

/// What the gateways with certain labels listen to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Gateway {
    /// Labels of the gateways' pods, in any namespace; none is all of them.
    pub selector: BTreeMap<String, String>,
    /// Ports and the hosts behind them.
    pub servers: Vec<Server>,
}

impl Spec for Gateway {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "Gateway",
        plural: "gateways",
        short_names: &["gw"],
        versions: VERSIONS,
        columns: &[],
    };
}

/// A port and the hosts behind it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Name in statistics and logs.
    #[serde(default)]
    pub name: String,
    /// The port, as the gateway's Service has it.
    pub port: ServerPort,
    /// Address to listen on; empty is every address.
    #[serde(default)]
    pub bind: String,
    /// Hosts, as `HOST` or `NAMESPACE/HOST`, where the namespace is that of VirtualServices that
    /// may bind: `.` is the Gateway's own, `*` (also when left out) is any.
    pub hosts: Vec<String>,
    /// TLS of the server.
    pub tls: Option<ServerTls>,
    /// Never did anything in Istio.
    #[serde(default)]
    pub default_endpoint: String,
}

/// A port of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerPort {
    /// Its number.
    pub number: u16,
    /// What is spoken: `HTTP`, `HTTPS`, `GRPC`, `GRPC-WEB`, `HTTP2`, `MONGO`, `TCP` or `TLS`.
    pub protocol: String,
    /// Its name.
    pub name: String,
    /// Deprecated: number in the pod.
    pub target_port: Option<u16>,
}

/// TLS of a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ServerTls {
    /// Requests without TLS are sent to `https://` by a redirect.
    pub https_redirect: bool,
    /// Whether TLS ends here, and what clients must show.
    pub mode: ServerTlsMode,
    /// File with the server's certificates.
    pub server_certificate: String,
    /// File with the server's private key.
    pub private_key: String,
    /// File with the roots that clients are checked by.
    pub ca_certificates: String,
    /// File with certificates that are revoked.
    pub ca_crl: String,
    /// Secret with certificates, in the namespace of the gateway's pod, in place of files.
    pub credential_name: String,
    /// One or two Secrets, for keys of different kinds.
    #[schemars(length(max = 2))]
    pub credential_names: Vec<String>,
    /// Secret with the roots that clients are checked by.
    pub ca_cert_credential_name: String,
    /// One or two pairs of files, for keys of different kinds.
    #[schemars(length(max = 2))]
    pub tls_certificates: Vec<TlsCertificate>,
    /// Names of which a client's certificate must have one.
    pub subject_alt_names: Vec<String>,
    /// Hashes of public keys, in base64, of which a client's must be one.
    pub verify_certificate_spki: Vec<String>,
    /// Hashes of certificates, in hexadecimal, of which a client's must be one.
    pub verify_certificate_hash: Vec<String>,
    /// Lowest version.
    pub min_protocol_version: TlsVersion,
    /// Highest version.
    pub max_protocol_version: TlsVersion,
    /// Ciphers of TLS 1.2, by OpenSSL's names; none is a safe set.
    pub cipher_suites: Vec<String>,
    /// Clients are not checked at all.
    pub insecure_skip_verify: Option<bool>,
}

/// Whether TLS ends at a server, and what clients must show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServerTlsMode {
    /// It does not: connections are routed by SNI.
    #[default]
    Passthrough,
    /// It does; clients show nothing.
    Simple,
    /// It does; clients show a certificate.
    Mutual,
    /// It does not: the SNI itself tells the destination, as between clusters.
    AutoPassthrough,
    /// It does, with the mesh's certificates at both ends.
    IstioMutual,
    /// It does; clients may show a certificate, which is then checked.
    OptionalMutual,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// As the proxy has it.
    #[default]
    #[serde(rename = "TLS_AUTO")]
    Auto,
    /// 1.0.
    #[serde(rename = "TLSV1_0")]
    V1_0,
    /// 1.1.
    #[serde(rename = "TLSV1_1")]
    V1_1,
    /// 1.2.
    #[serde(rename = "TLSV1_2")]
    V1_2,
    /// 1.3.
    #[serde(rename = "TLSV1_3")]
    V1_3,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsCertificate {
    /// File with the certificates.
    pub server_certificate: String,
    /// File with the private key.
    pub private_key: String,
    /// File with roots.
    pub ca_certificates: String,
}
