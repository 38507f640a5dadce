//! Whom control gives a certificate: the live pod that a token is bound to, calling from its own
//! address, and nobody else.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use lateen_tests::bed::inside::{connect_within, network_of};
use lateen_tests::bed::manifest::{deployment, template};
use lateen_tests::bed::secure::{
    CONTROL, ClientCertificate, Stream, request_certificate, shake_hands,
};
use lateen_tests::bed::token::{AUDIENCE, Signer};
use lateen_tests::bed::{Bed, eventually};
use lateen_wire::ports;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use time::OffsetDateTime;
use tokio::io::AsyncReadExt as _;
use tonic::{Code, Status};
use x509_parser::prelude::GeneralName;

use crate::system_pod;

/// Two pods of one application, both of the ServiceAccount `client`.
async fn pods(test: &str) -> Result<(Bed, [Pod; 2])> {
    let bed = Bed::injected(test).await?;
    bed.apply(deployment("client", 2, &template("client", &["sleep"])))
        .await?;
    let pods = bed.ready("app=client", 2).await?;
    let pods = <[Pod; 2]>::try_from(pods).ok().context("not two pods")?;
    Ok((bed, pods))
}

/// The identity of the pods of a test.
fn identity_of(pod: &Pod) -> String {
    let namespace = pod.namespace().unwrap_or_default();
    format!("spiffe://cluster.local/ns/{namespace}/sa/client")
}

/// A request for a certificate of `identity`.
fn csr(identity: &str) -> Result<String> {
    let key = rcgen::KeyPair::generate()?;
    let mut parameters = rcgen::CertificateParams::default();
    parameters.subject_alt_names = vec![rcgen::SanType::URI(identity.try_into()?)];
    Ok(parameters.serialize_request(&key)?.pem()?)
}

async fn ask(
    stream: Box<dyn Stream>,
    token: &str,
    identity: &str,
) -> Result<Result<Vec<String>, Status>> {
    let system = Bed::existing("istio-system").await?;
    let stream = shake_hands(stream, system.roots().await?, CONTROL, &["h2"], None).await?;
    request_certificate(stream, token, csr(identity)?).await
}

/// Asks as the application of a pod would: from the pod's address.
async fn ask_from(pod: &Pod, token: &str, identity: &str) -> Result<Result<Vec<String>, Status>> {
    let (system, control) = system_pod("app=istiod").await?;
    let control = system.api::<Pod>().get(&control).await?;
    let address = control.status.and_then(|status| status.pod_ip);
    let address = address.context("control has no address")?.parse()?;
    let address = SocketAddr::new(address, ports::DISCOVERY);
    let stream = connect_within(&network_of(pod)?, address).await?;
    ask(Box::new(stream), token, identity).await
}

/// Asks from the only address that port forwarding has, which is no pod's.
async fn ask_from_elsewhere(token: &str, identity: &str) -> Result<Result<Vec<String>, Status>> {
    let (system, control) = system_pod("app=istiod").await?;
    let stream = system.connect(&control, ports::DISCOVERY).await?;
    ask(stream, token, identity).await
}

fn refused(answer: Result<Vec<String>, Status>, code: Code, what: &str) -> Result<()> {
    match answer {
        Ok(_) => anyhow::bail!("{what}: a certificate was given"),
        Err(status) => ensure!(status.code() == code, "{what}: {status:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_names_the_caller_and_nobody_else() -> Result<()> {
    let (bed, [pod, _]) = pods("own-name").await?;
    let token = bed.token("client", AUDIENCE, Some(&pod)).await?;
    let own = identity_of(&pod);
    let chain = ask_from(&pod, &token, &own).await??;
    let leaf = CertificateDer::from_pem_slice(chain[0].as_bytes())?;
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf)?;
    let names = leaf.subject_alternative_name()?.context("no names")?;
    ensure!(
        names.value.general_names == [GeneralName::URI(&own)],
        "{:?}",
        names.value
    );
    let other = "spiffe://cluster.local/ns/bank/sa/teller";
    let answer = ask_from(&pod, &token, other).await?;
    refused(answer, Code::PermissionDenied, "for somebody else")?;
    bed.end().await
}

#[tokio::test]
async fn no_certificate_without_the_right_token() -> Result<()> {
    let (bed, [pod, _]) = pods("token").await?;
    let good = bed.token("client", AUDIENCE, Some(&pod)).await?;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let life = |from: i64| json!({ "iat": from, "nbf": from, "exp": from + 3600 });
    let cluster = Signer::of_cluster()?;
    let own = identity_of(&pod);

    // What is refused below differs from these in one thing each.
    ask_from(&pod, &good, &own).await??;
    let signed = cluster.sign_again(&good, life(now - 60))?;
    ask_from(&pod, &signed, &own).await??;

    let expired = cluster.sign_again(&good, life(now - 7200))?;
    let forged = Signer::stranger()?.sign_again(&good, life(now - 60))?;
    let other_audience = bed.token("client", "somebody-else", Some(&pod)).await?;
    for (what, token) in [
        ("expired", &*expired),
        ("signed by another", &forged),
        ("of another audience", &other_audience),
        ("not a token", "no.such.token"),
    ] {
        let answer = ask_from(&pod, token, &own).await?;
        refused(answer, Code::Unauthenticated, what)?;
    }
    let unbound = bed.token("client", AUDIENCE, None).await?;
    let answer = ask_from(&pod, &unbound, &own).await?;
    let code = answer.err().context("a token of no pod was taken")?.code();
    ensure!(
        matches!(code, Code::Unauthenticated | Code::PermissionDenied),
        "unbound: {code:?}"
    );
    bed.end().await
}

#[tokio::test]
async fn a_token_is_good_only_from_its_live_pod() -> Result<()> {
    let (bed, [pod, other]) = pods("address").await?;
    let token = bed.token("client", AUDIENCE, Some(&pod)).await?;
    let own = identity_of(&pod);
    ask_from(&pod, &token, &own).await??;
    let sibling = ask_from(&other, &token, &own).await?;
    let elsewhere = ask_from_elsewhere(&token, &own).await?;
    for (from, answer) in [
        ("a pod of the same account", sibling),
        ("elsewhere", elsewhere),
    ] {
        refused(answer, Code::PermissionDenied, from)?;
    }
    bed.api::<Pod>()
        .delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
        .await?;
    eventually("refusal of the token of a deleted pod", async || {
        let answer = ask_from(&other, &token, &own).await?;
        refused(answer, Code::Unauthenticated, "of a deleted pod")
    })
    .await?;
    bed.end().await
}

/// A certificate for a mesh identity, signed by a root that only pretends.
fn forged() -> Result<ClientCertificate> {
    let ca_key = rcgen::KeyPair::generate()?;
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::Issuer::new(ca, &ca_key);
    let key = rcgen::KeyPair::generate()?;
    let mut leaf = rcgen::CertificateParams::default();
    let uri = "spiffe://cluster.local/ns/istio-system/sa/istiod".try_into()?;
    leaf.subject_alt_names = vec![rcgen::SanType::URI(uri)];
    let certificate = leaf.signed_by(&key, &issuer)?;
    Ok(ClientCertificate {
        chain: vec![certificate.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?,
    })
}

#[tokio::test]
async fn client_certificates_of_another_root_are_refused() -> Result<()> {
    let (system, pod) = system_pod("app=istiod").await?;
    // With TLS 1.3 a client learns of the refusal with the first bytes that it reads; a server that
    // accepts sends its HTTP/2 settings first.
    let refused = async {
        let certificate = Some(forged()?);
        let mut stream = system
            .connect_tls(&pod, ports::DISCOVERY, CONTROL, &["h2"], certificate)
            .await?;
        ensure!(
            stream.read(&mut [0; 1]).await? > 0,
            "the connection was closed"
        );
        Ok(())
    };
    ensure!(refused.await.is_err(), "a forged certificate was accepted");
    Ok(())
}
