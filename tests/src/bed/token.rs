//! Service account tokens, good ones and those that must not be.

use std::path::Path;

use anyhow::{Context as _, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::ResourceExt as _;
use kube::api::PostParams;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::{Bed, manifest};

/// The audience of tokens for control.
pub const AUDIENCE: &str = "istio-ca";
/// How long tokens are good for, in seconds.
const LIFE: i64 = 3600;

impl Bed {
    /// A token of a ServiceAccount for an audience, bound to a pod if there is one.
    ///
    /// # Errors
    /// When the API server gives none.
    pub async fn token(&self, account: &str, audience: &str, pod: Option<&Pod>) -> Result<String> {
        let bound = pod.map(|pod| {
            json!({ "kind": "Pod", "apiVersion": "v1", "name": pod.name_any(), "uid": pod.uid() })
        });
        let spec =
            json!({ "audiences": [audience], "expirationSeconds": LIFE, "boundObjectRef": bound });
        let request: TokenRequest =
            serde_json::from_value(json!({ "metadata": {}, "spec": spec }))?;
        let answer = self
            .api::<ServiceAccount>()
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .with_context(|| format!("Asking for a token of {account}"))?;
        Ok(answer.status.context("no token")?.token)
    }
}

/// Signs tokens as the API server does.
pub struct Signer(EcdsaKeyPair);

impl Signer {
    /// The API server's own key, which only a local cluster lets us have.
    ///
    /// # Errors
    /// When `KUBECONFIG` is not the file of a local cluster.
    pub fn of_cluster() -> Result<Self> {
        let kubeconfig = std::env::var_os("KUBECONFIG").context("KUBECONFIG is not set")?;
        let file = Path::new(&kubeconfig).with_file_name("pki/service-accounts.key");
        let key = PrivatePkcs8KeyDer::from_pem_file(&file)
            .with_context(|| format!("Reading the key of a local cluster, {}", file.display()))?;
        Self::of(key.secret_pkcs8_der())
    }

    /// A key that no cluster has.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn stranger() -> Result<Self> {
        Self::of(&rcgen::KeyPair::generate()?.serialize_der())
    }

    fn of(key: &[u8]) -> Result<Self> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key);
        Ok(Self(key.map_err(|_| {
            anyhow::anyhow!("The key is not of the curve P-256")
        })?))
    }

    /// The token with some of its claims changed, signed again (RFC 7515, ES256).
    ///
    /// # Errors
    /// When `token` is none.
    pub fn sign_again(&self, token: &str, change: Value) -> Result<String> {
        let mut parts = token.split('.');
        let (header, claims) = parts.next().zip(parts.next()).context("not a token")?;
        let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        manifest::merge(&mut claims, change);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| anyhow::anyhow!("Signing a token failed"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
