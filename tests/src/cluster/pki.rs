//! Certificates, keys and the kubeconfigs made of them: who may say what to the API server.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use super::plan::Plan;

/// The port of the API server.
pub(crate) const API_PORT: u16 = 6443;

/// Someone who talks to the API server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Client<'a> {
    /// A person: may do everything.
    Admin,
    /// The API server itself, talking to kubelets.
    ApiServer,
    ControllerManager,
    KubeProxy,
    Kubelet {
        node: &'a str,
    },
    Scheduler,
}

impl Client<'_> {
    fn user(self) -> String {
        match self {
            Self::Admin => "kubernetes-admin".to_owned(),
            Self::ApiServer => "kube-apiserver-kubelet-client".to_owned(),
            Self::ControllerManager => "system:kube-controller-manager".to_owned(),
            Self::KubeProxy => "system:kube-proxy".to_owned(),
            Self::Kubelet { node } => format!("system:node:{node}"),
            Self::Scheduler => "system:kube-scheduler".to_owned(),
        }
    }

    fn group(self) -> Option<&'static str> {
        match self {
            Self::Admin | Self::ApiServer => Some("system:masters"),
            Self::Kubelet { .. } => Some("system:nodes"),
            Self::ControllerManager | Self::KubeProxy | Self::Scheduler => None,
        }
    }

    fn file(self) -> String {
        match self {
            Self::Kubelet { node } => format!("kubelet-{node}"),
            Self::Admin => "admin".to_owned(),
            Self::ApiServer => "apiserver-client".to_owned(),
            Self::ControllerManager => "controller-manager".to_owned(),
            Self::KubeProxy => "kube-proxy".to_owned(),
            Self::Scheduler => "scheduler".to_owned(),
        }
    }
}

/// The folder with the certificates of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// The certificates in `folder`, whether or not they have been made.
    pub(crate) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// A file by its name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The kubeconfig of a client.
    pub(crate) fn kubeconfig(&self, client: Client<'_>) -> PathBuf {
        self.file(&format!("{}.kubeconfig", client.file()))
    }

    /// Makes everything anew for a cluster called `cluster`.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub(crate) fn make(&self, cluster: &str, plan: Plan, nodes: &[String]) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        let authority = Authority::generate()?;
        self.write("ca.crt", &authority.certificate)?;
        self.write("ca.key", authority.issuer.key().serialize_pem().as_str())?;

        let (certificate, key) = authority.issue_server(server_names(plan))?;
        self.write("apiserver.crt", &certificate)?;
        self.write("apiserver.key", &key)?;

        let service_accounts = KeyPair::generate()?;
        self.write("service-accounts.key", &service_accounts.serialize_pem())?;
        self.write("service-accounts.pub", &service_accounts.public_key_pem())?;

        let kubelets = nodes.iter().map(|node| Client::Kubelet { node });
        let others = [
            Client::Admin,
            Client::ApiServer,
            Client::ControllerManager,
            Client::KubeProxy,
            Client::Scheduler,
        ];
        for client in kubelets.chain(others) {
            let (certificate, key) = authority.issue_client(client)?;
            let server = plan.node(1).v4;
            let config = kubeconfig(
                cluster,
                server,
                &authority.certificate,
                &certificate,
                &key,
                client,
            );
            self.write(&format!("{}.crt", client.file()), &certificate)?;
            self.write(&format!("{}.key", client.file()), &key)?;
            self.write(&format!("{}.kubeconfig", client.file()), &config?)?;
        }
        Ok(())
    }

    fn write(&self, name: &str, content: &str) -> Result<()> {
        write_private(&self.file(name), content)
    }
}

/// Writes a file that only its owner may read.
///
/// # Errors
/// When it cannot be written.
fn write_private(path: &Path, content: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .with_context(|| format!("Writing {}", path.display()))
}

/// The names and addresses that the API server is known under.
fn server_names(plan: Plan) -> Vec<String> {
    let names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "127.0.0.1",
        "::1",
    ];
    let addresses = [plan.kubernetes(), plan.node(1)];
    let addresses = addresses.into_iter().flat_map(|address| address.both());
    names
        .map(str::to_owned)
        .into_iter()
        .chain(addresses.map(|a| a.to_string()))
        .collect()
}

fn kubeconfig(
    cluster: &str,
    server: Ipv4Addr,
    authority: &str,
    certificate: &str,
    key: &str,
    client: Client<'_>,
) -> Result<String> {
    let user = client.user();
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {
            "server": format!("https://{server}:{API_PORT}"),
            "certificate-authority-data": STANDARD.encode(authority),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate-data": STANDARD.encode(certificate),
            "client-key-data": STANDARD.encode(key),
        }}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
    });
    serde_saphyr::to_string(&config).context("Rendering a kubeconfig")
}

/// The cluster's certificate authority.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn generate() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, "kubernetes");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let certificate = parameters.self_signed(&key)?.pem();
        Ok(Self {
            certificate,
            issuer: Issuer::new(parameters, key),
        })
    }

    fn issue_server(&self, names: Vec<String>) -> Result<(String, String)> {
        let mut parameters = CertificateParams::new(names)?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(parameters)
    }

    fn issue_client(&self, client: Client<'_>) -> Result<(String, String)> {
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, client.user());
        if let Some(group) = client.group() {
            parameters
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(parameters)
    }

    fn issue(&self, mut parameters: CertificateParams) -> Result<(String, String)> {
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::example::cluster;

    #[test]
    fn kubelets_are_known_by_the_name_of_their_node() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::in_folder(folder.path().join("pki"));
        let plan = cluster(2).plan();
        certificates
            .make("mesh", plan, &["mesh-node2".to_owned()])
            .unwrap();
        let pem = fs::read(certificates.file("kubelet-mesh-node2.crt")).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let subject = certificate.subject().to_string();
        assert!(subject.contains("CN=system:node:mesh-node2"), "{subject}");
        assert!(subject.contains("O=system:nodes"), "{subject}");
    }

    #[test]
    fn the_server_is_known_by_its_service_and_its_node() {
        let names = server_names(cluster(1).plan());
        for name in [
            "kubernetes.default.svc",
            "10.102.0.1",
            "fd1a:7ee0:0:2::1",
            "10.100.0.11",
        ] {
            assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
        }
    }
}
