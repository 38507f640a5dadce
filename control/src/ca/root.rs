//! Where the authority lives: Secret `cacerts` if people bring their own, otherwise Secret
//! `istio-ca-secret`, which the first replica that finds none makes.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use lateen_wire::names::ROOT_SECRET;
use tracing::info;

use super::authority::{Authority, Material};
use crate::error::Error;

/// Secret with an authority that people bring.
const PLUGGED_IN: &str = "cacerts";
/// Type of the Secret that we make.
const ROOT_SECRET_TYPE: &str = "istio.io/ca-root";
const CERTIFICATE: &str = "ca-cert.pem";
const KEY: &str = "ca-key.pem";
const ROOTS: &str = "root-cert.pem";
const CHAIN: &str = "cert-chain.pem";

/// Loads the authority of this namespace, or makes one.
///
/// # Errors
/// When the API server cannot be asked, or what it has is unusable: that is never replaced.
pub async fn load_or_create(
    client: &Client,
    namespace: &str,
    trust_domain: &str,
) -> Result<Authority, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for name in [PLUGGED_IN, ROOT_SECRET] {
        if let Some(secret) = read(&secrets, name).await? {
            info!(secret = name, "Loaded the certificate authority.");
            return load(name, &secret);
        }
    }
    let made = secret(&Authority::create(trust_domain)?);
    match secrets.create(&PostParams::default(), &made).await {
        Ok(_) => {
            info!(secret = ROOT_SECRET, "Made a new certificate authority.");
            load(ROOT_SECRET, &made)
        }
        // Another replica was faster: its authority is the one.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let secret = secrets
                .get(ROOT_SECRET)
                .await
                .map_err(|error| Error::kubernetes(format!("read Secret {ROOT_SECRET}"), error))?;
            info!(secret = ROOT_SECRET, "Loaded the certificate authority.");
            load(ROOT_SECRET, &secret)
        }
        Err(error) => Err(Error::kubernetes(
            format!("create Secret {ROOT_SECRET}"),
            error,
        )),
    }
}

async fn read(secrets: &Api<Secret>, name: &str) -> Result<Option<Secret>, Error> {
    let found = secrets.get_opt(name).await;
    found.map_err(|error| Error::kubernetes(format!("read Secret {name}"), error))
}

fn load(name: &str, secret: &Secret) -> Result<Authority, Error> {
    Authority::load(&material(secret)).map_err(|reason| Error::Authority {
        secret: name.to_owned(),
        reason,
    })
}

fn material(secret: &Secret) -> Material {
    let text = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes
            .map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned())
            .unwrap_or_default()
    };
    Material {
        certificate: text(CERTIFICATE),
        key: text(KEY),
        roots: text(ROOTS),
        chain: text(CHAIN),
    }
}

/// As Istio stores its own: with the entries of a plugged-in authority left empty.
fn secret(material: &Material) -> Secret {
    let entries = [
        (CERTIFICATE, material.certificate.as_str()),
        (KEY, material.key.as_str()),
        (ROOTS, ""),
        (CHAIN, ""),
    ];
    let data = entries.map(|(key, text)| (key.to_owned(), ByteString(text.as_bytes().to_vec())));
    Secret {
        metadata: ObjectMeta {
            name: Some(ROOT_SECRET.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some(ROOT_SECRET_TYPE.to_owned()),
        data: Some(BTreeMap::from(data)),
        ..Secret::default()
    }
}
