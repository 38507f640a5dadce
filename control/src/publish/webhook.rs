//! Secret `istio-sidecar-injector-certs`: the webhook's certificate, made when it is missing or
//! wrong, renewed at half life. The webhook reads it and so needs us only now and then.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher;
use lateen_wire::names::{INJECTOR, INJECTOR_CERTS};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use tokio::time::sleep;
use tracing::{info, warn};
use x509_parser::extensions::GeneralName;

use super::{MANAGER, Publisher};
use crate::Error;
use crate::ca::{Authority, Subject};

/// Life of the webhook's certificate; it is renewed at half of it.
const LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How often its age is looked at.
const CHECK: Duration = Duration::from_secs(60 * 60);
/// Pause before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(2);
const SECRET_TYPE: &str = "kubernetes.io/tls";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const ROOT: &str = "ca.crt";

/// Keeps the certificate good, for ever.
pub(super) async fn keep_certificate(publisher: &Publisher) {
    let secrets: Api<Secret> =
        Api::namespaced(publisher.client.clone(), &publisher.config.pod_namespace);
    let names = publisher.config.service_names(INJECTOR);
    let name = publisher.config.revision.name_of(INJECTOR_CERTS);
    let watch = watcher::watch_object(secrets.clone(), &name).default_backoff();
    let mut watch = std::pin::pin!(watch);
    let mut authority = publisher.authority.subscribe();
    let mut current: Option<Option<Secret>> = None;
    loop {
        let mut pause = CHECK;
        let signer = authority.borrow_and_update().clone();
        if let Some(secret) = &current
            && let Some(reason) = wrong(secret.as_ref(), &names, &signer.roots_pem())
        {
            info!(reason, "Making a certificate for the webhook.");
            match write(&signer, &secrets, &name, &names).await {
                Ok(written) => current = Some(Some(written)),
                Err(error) => {
                    warn!(%error, "The webhook's certificate could not be made; it is retried.");
                    pause = RETRY;
                }
            }
        }
        tokio::select! {
            event = watch.next() => match event {
                Some(Ok(secret)) => current = Some(secret),
                Some(Err(error)) => warn!(%error, "Watching the webhook's certificate failed; it is retried."),
                None => return,
            },
            _ = authority.changed() => {}
            () = sleep(pause) => {}
        }
    }
}

/// Why there must be a new certificate, if there must.
fn wrong(secret: Option<&Secret>, names: &[String], roots: &str) -> Option<&'static str> {
    let Some(data) = secret.and_then(|secret| secret.data.as_ref()) else {
        return Some("there is none");
    };
    let entry = |key: &str| {
        data.get(key)
            .map(|bytes| bytes.0.as_slice())
            .unwrap_or_default()
    };
    if entry(KEY).is_empty() {
        return Some("its key is missing");
    }
    if entry(ROOT) != roots.as_bytes() {
        return Some("it is of another root");
    }
    let Ok(certificate) = CertificateDer::from_pem_slice(entry(CERTIFICATE)) else {
        return Some("it cannot be read");
    };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&certificate) else {
        return Some("it cannot be read");
    };
    let has = |name: &String| {
        let extension = certificate.subject_alternative_name().ok().flatten();
        extension.is_some_and(|names| {
            names
                .value
                .general_names
                .iter()
                .any(|known| *known == GeneralName::DNSName(name))
        })
    };
    if !names.iter().all(has) {
        return Some("it lacks a DNS name");
    }
    let validity = certificate.validity();
    let (start, end) = (
        validity.not_before.to_datetime(),
        validity.not_after.to_datetime(),
    );
    (OffsetDateTime::now_utc() > start + (end - start) / 2).then_some("it is past half of its life")
}

async fn write(
    authority: &Authority,
    secrets: &Api<Secret>,
    name: &str,
    names: &[String],
) -> Result<Secret, Error> {
    let issued = authority.issue(&Subject::Server(names.to_vec()), LIFE)?;
    let entries = [
        (CERTIFICATE, issued.certificate_chain()),
        (KEY, issued.key),
        (ROOT, authority.roots_pem()),
    ];
    let data = entries.map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())));
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some(SECRET_TYPE.to_owned()),
        data: Some(BTreeMap::from(data)),
        ..Secret::default()
    };
    let apply = PatchParams::apply(MANAGER).force();
    let written = secrets.patch(name, &apply, &Patch::Apply(&secret)).await;
    written.map_err(|error| Error::kubernetes(format!("write Secret {name}"), error))
}
