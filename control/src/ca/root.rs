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
use super::self_signed::renewed;
use crate::error::Error;

/// Secret with an authority that people bring.
const PLUGGED_IN: &str = "cacerts";
/// Type of the Secret that we make.
const ROOT_SECRET_TYPE: &str = "istio.io/ca-root";
const CERTIFICATE: &str = "ca-cert.pem";
const KEY: &str = "ca-key.pem";
const ROOTS: &str = "root-cert.pem";
const CHAIN: &str = "cert-chain.pem";

/// Whose authority it is. That is settled when a replica starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Brought by people, who also renew it.
    PluggedIn,
    /// Made by us.
    SelfSigned,
}

impl Source {
    /// Name of the Secret.
    #[must_use]
    pub const fn secret(self) -> &'static str {
        match self {
            Self::PluggedIn => PLUGGED_IN,
            Self::SelfSigned => ROOT_SECRET,
        }
    }
}

/// Loads the authority of this namespace, or makes one.
///
/// # Errors
/// When the API server cannot be asked, or what it has is unusable: that is never replaced.
pub async fn load_or_create(
    client: &Client,
    namespace: &str,
    trust_domain: &str,
) -> Result<(Source, Authority), Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for source in [Source::PluggedIn, Source::SelfSigned] {
        if let Some(secret) = read(&secrets, source).await? {
            info!(
                secret = source.secret(),
                "Loaded the certificate authority."
            );
            return Ok((source, load(source, &secret)?));
        }
    }
    let source = Source::SelfSigned;
    let made = secret(&Authority::create(trust_domain)?);
    match secrets.create(&PostParams::default(), &made).await {
        Ok(_) => {
            info!(secret = ROOT_SECRET, "Made a new certificate authority.");
            Ok((source, load(source, &made)?))
        }
        // Another replica was faster: its authority is the one.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let secret = secrets
                .get(ROOT_SECRET)
                .await
                .map_err(|error| Error::kubernetes(format!("read Secret {ROOT_SECRET}"), error))?;
            info!(secret = ROOT_SECRET, "Loaded the certificate authority.");
            Ok((source, load(source, &secret)?))
        }
        Err(error) => Err(Error::kubernetes(
            format!("create Secret {ROOT_SECRET}"),
            error,
        )),
    }
}

/// Renews the root that we made if little of its life is left; whether it was.
///
/// # Errors
/// When the API server refuses, or the root cannot be renewed.
pub async fn renew(client: &Client, namespace: &str) -> Result<bool, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let Some(mut secret) = read(&secrets, Source::SelfSigned).await? else {
        return Ok(false);
    };
    let old = material(&secret);
    if !old.roots.is_empty() || !load(Source::SelfSigned, &secret)?.is_ageing() {
        return Ok(false);
    }
    let new = renewed(&old).map_err(|reason| unusable(Source::SelfSigned, reason))?;
    let certificate = ByteString(new.certificate.into_bytes());
    let data = secret.data.get_or_insert_default();
    data.insert(CERTIFICATE.to_owned(), certificate);
    let written = secrets
        .replace(ROOT_SECRET, &PostParams::default(), &secret)
        .await;
    match written {
        Ok(_) => Ok(true),
        // Somebody else has written it meanwhile, which we hear of like every replica.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(Error::kubernetes(
            format!("renew Secret {ROOT_SECRET}"),
            error,
        )),
    }
}

async fn read(secrets: &Api<Secret>, source: Source) -> Result<Option<Secret>, Error> {
    let name = source.secret();
    let found = secrets.get_opt(name).await;
    found.map_err(|error| Error::kubernetes(format!("read Secret {name}"), error))
}

pub(super) fn load(source: Source, secret: &Secret) -> Result<Authority, Error> {
    Authority::load(&material(secret)).map_err(|reason| unusable(source, reason))
}

fn unusable(source: Source, reason: String) -> Error {
    Error::Authority {
        secret: source.secret().to_owned(),
        reason,
    }
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
pub(super) fn secret(material: &Material) -> Secret {
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use http::Method;
    use serde_json::{Value, json};

    use super::super::self_signed::ageing_root;
    use super::*;
    use crate::api_server;

    /// An API server with these Secrets, which it lets be created and replaced.
    fn server(secrets: &[(&str, Secret)]) -> (Client, Arc<Mutex<HashMap<String, Value>>>) {
        let held = secrets
            .iter()
            .map(|(name, secret)| ((*name).to_owned(), serde_json::to_value(secret).unwrap()));
        let held = Arc::new(Mutex::new(held.collect::<HashMap<_, _>>()));
        let client = api_server::client({
            let held = held.clone();
            move |request| {
                let mut held = held.lock().unwrap();
                let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
                if *request.method() == Method::GET {
                    let found = held.get(&name).cloned();
                    return found
                        .map_or(api_server::refusal(404, "NotFound"), |found| (200, found));
                }
                let object: Value = serde_json::from_slice(request.body()).unwrap();
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                held.insert(name, object.clone());
                (200, object)
            }
        });
        (client, held)
    }

    fn made() -> Secret {
        secret(&Authority::create("cluster.local").unwrap())
    }

    #[tokio::test]
    async fn what_people_bring_comes_before_what_we_made_and_that_before_something_new() {
        let (brought, own) = (made(), made());
        for (secrets, source, expected) in [
            (
                vec![(PLUGGED_IN, brought.clone()), (ROOT_SECRET, own.clone())],
                Source::PluggedIn,
                Some(&brought),
            ),
            (
                vec![(ROOT_SECRET, own.clone())],
                Source::SelfSigned,
                Some(&own),
            ),
            (vec![], Source::SelfSigned, None),
        ] {
            let (client, held) = server(&secrets);
            let (found, authority) = load_or_create(&client, "istio-system", "cluster.local")
                .await
                .unwrap();
            assert_eq!(found, source);
            let stored: Secret =
                serde_json::from_value(held.lock().unwrap()[source.secret()].clone()).unwrap();
            assert_eq!(authority, load(source, &stored).unwrap());
            assert!(expected.is_none_or(|expected| *expected == stored));
        }
    }

    #[tokio::test]
    async fn an_unusable_authority_is_never_replaced() {
        let mut broken = made();
        broken.data = Some(BTreeMap::from([(
            CERTIFICATE.to_owned(),
            ByteString(b"garbage".to_vec()),
        )]));
        let (client, held) = server(&[(ROOT_SECRET, broken)]);
        let before = held.lock().unwrap().clone();
        let error = load_or_create(&client, "istio-system", "cluster.local").await;
        assert!(matches!(error, Err(Error::Authority { .. })), "{error:?}");
        assert_eq!(*held.lock().unwrap(), before);
    }

    #[tokio::test]
    async fn an_ageing_root_is_renewed_once_with_its_key() {
        let ageing = ageing_root();
        let mut first = secret(&ageing);
        first.metadata.resource_version = Some("7".to_owned());
        let (client, held) = server(&[(ROOT_SECRET, first)]);
        assert!(renew(&client, "istio-system").await.unwrap());
        let stored = held.lock().unwrap()[ROOT_SECRET].clone();
        assert_eq!(stored["metadata"]["resourceVersion"], json!("7"));
        let stored: Secret = serde_json::from_value(stored).unwrap();
        assert_eq!(material(&stored).key, ageing.key);
        assert!(!load(Source::SelfSigned, &stored).unwrap().is_ageing());
        assert!(!renew(&client, "istio-system").await.unwrap());
    }
}
