//! The certificate service over TLS: who gets a certificate, and what everybody else gets.

use std::time::Duration;

use lateen_control::ca::{Authority, Issued, Subject};
use lateen_control::discovery::Limits;
use lateen_wire::Identity;
use lateen_wire::ca::IstioCertificateRequest;
use lateen_wire::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tonic::{Code, Request, Status};
use x509_parser::extensions::GeneralName;

use crate::support::{Control, eventually};

const CLIENT: &str = "shop/client/client/client-uid";

fn csr() -> String {
    request_for(&[])
}

/// A request that asks for these identities.
fn request_for(uris: &[&str]) -> String {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    let names = uris
        .iter()
        .map(|&uri| SanType::URI(uri.try_into().unwrap()));
    parameters.subject_alt_names = names.collect();
    parameters.serialize_request(&key).unwrap().pem().unwrap()
}

async fn ask(control: &Control, token: &str, csr: String) -> Result<Vec<String>, Status> {
    ask_with(control, None, token, csr).await
}

/// Asks over a connection with a certificate, or without.
async fn ask_with(
    control: &Control,
    certificate: Option<&Issued>,
    token: &str,
    csr: String,
) -> Result<Vec<String>, Status> {
    let channel = control.connect(certificate).await.unwrap();
    let mut client = IstioCertificateServiceClient::new(channel);
    let mut request = Request::new(IstioCertificateRequest {
        csr,
        validity_duration: 60,
        metadata: None,
    });
    if !token.is_empty() {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    Ok(client
        .create_certificate(request)
        .await?
        .into_inner()
        .cert_chain)
}

#[tokio::test]
async fn a_live_pod_that_calls_from_its_address_gets_its_identity() {
    let control = Control::start(Limits::default()).await;
    let chain = ask(&control, CLIENT, csr()).await.unwrap();
    assert_eq!(chain.len(), 2);
    assert_eq!(chain[1], control.authority.roots_pem());
    let leaf = CertificateDer::from_pem_slice(chain[0].as_bytes()).unwrap();
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    let names = &leaf
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names;
    assert_eq!(
        *names,
        [GeneralName::URI("spiffe://cluster.local/ns/shop/sa/client")]
    );
    assert_eq!(control.metrics.authority.issued.get(), 1);
}

#[tokio::test]
async fn credentials_that_prove_nothing_are_refused_and_counted() {
    let control = Control::start(Limits::default()).await;
    for (token, code) in [
        ("", Code::Unauthenticated),
        ("nonsense", Code::Unauthenticated),
        ("unbound", Code::PermissionDenied),
        ("api-server-away", Code::Unavailable),
    ] {
        let status = ask(&control, token, csr()).await.unwrap_err();
        assert_eq!(status.code(), code, "{token}: {status}");
    }
    let counters = &control.metrics.authority;
    assert_eq!(counters.authentication_failures.get(), 3);
    assert_eq!(counters.identity_errors.get(), 1);
    assert_eq!(counters.issued.get(), 0);
}

#[tokio::test]
async fn claims_that_are_not_true_are_refused() {
    let control = Control::start(Limits::default()).await;
    let answers = futures::future::join_all(
        [
            "shop/client/gone/gone-uid",
            "shop/client/client/earlier-uid",
            "shop/other/client/client-uid",
            // The right pod, but the call comes from another address.
            "shop/elsewhere/elsewhere/elsewhere-uid",
        ]
        .map(|token| ask(&control, token, csr())),
    );
    for answer in answers.await {
        assert_eq!(answer.unwrap_err().code(), Code::PermissionDenied);
    }
    assert_eq!(control.metrics.authority.identity_errors.get(), 4);
}

#[tokio::test]
async fn nobody_gets_a_certificate_for_somebody_else() {
    let control = Control::start(Limits::default()).await;
    let own = "spiffe://cluster.local/ns/shop/sa/client";
    let other = "spiffe://cluster.local/ns/shop/sa/web";
    assert!(ask(&control, CLIENT, request_for(&[own])).await.is_ok());
    for asked in [&[other][..], &[own, other], &["https://example.com"]] {
        let refused = ask(&control, CLIENT, request_for(asked)).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    }
    assert_eq!(control.metrics.authority.identity_errors.get(), 3);
    assert_eq!(control.metrics.authority.issued.get(), 1);
}

#[tokio::test]
async fn a_certificate_is_good_for_another_of_the_same_identity_from_its_pod() {
    let control = Control::start(Limits::default()).await;
    let of = |name| Some(control.certificate(name));
    // The pod at this address runs as `client`.
    let (client, elsewhere) = (of("client"), of("elsewhere"));
    let other = request_for(&["spiffe://cluster.local/ns/shop/sa/elsewhere"]);
    let identity = Identity::new("cluster.local", "home", "client").unwrap();
    let namespace = control
        .authority
        .issue(&Subject::Workload(identity), Duration::from_secs(60))
        .ok();
    for (certificate, token, csr, code) in [
        (&client, "", csr(), Code::Ok),
        (&client, "", other, Code::PermissionDenied),
        (&elsewhere, "", csr(), Code::PermissionDenied),
        (&namespace, "", csr(), Code::PermissionDenied),
        // A token counts before the certificate.
        (&client, "nonsense", csr(), Code::Unauthenticated),
        (&elsewhere, CLIENT, csr(), Code::Ok),
    ] {
        let answer = ask_with(&control, certificate.as_ref(), token, csr).await;
        let answered = answer.map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(answered, code);
    }
    assert_eq!(control.metrics.authority.identity_errors.get(), 3);
    assert_eq!(control.metrics.authority.authentication_failures.get(), 1);

    control
        .store
        .update(|snapshot, changed| snapshot.remove_pod("shop", "client", changed));
    let gone = ask_with(&control, client.as_ref(), "", csr()).await;
    assert_eq!(gone.unwrap_err().code(), Code::PermissionDenied);
}

/// A certificate is given once the pod is seen as `manifest` says, which happens after the request
/// of `caller`.
async fn is_waited_for(caller: &str, manifest: &str) {
    let control = Control::start(Limits::default()).await;
    let asking = ask(&control, caller, csr());
    let seeing = async {
        eventually("the request", || {
            control.metrics.authority.requests.get() == 1
        })
        .await;
        control.store.update(|snapshot, changed| {
            changed.extend(snapshot.read_manifests(manifest).unwrap());
        });
    };
    let (chain, ()) = tokio::join!(asking, seeing);
    assert_eq!(chain.unwrap().len(), 2);
}

#[tokio::test]
async fn an_address_that_the_watches_have_not_seen_yet_is_waited_for() {
    let moved = "{kind: Pod, metadata: {name: elsewhere, namespace: shop, uid: elsewhere-uid}, \
                 spec: {serviceAccountName: elsewhere}, status: {podIPs: [{ip: 127.0.0.1}]}}";
    is_waited_for("shop/elsewhere/elsewhere/elsewhere-uid", moved).await;
}

#[tokio::test]
async fn a_pod_that_the_watches_have_not_seen_yet_is_waited_for() {
    let late = "{kind: Pod, metadata: {name: late, namespace: shop, uid: late-uid}, \
                spec: {serviceAccountName: late}, status: {podIPs: [{ip: 127.0.0.1}]}}";
    is_waited_for("shop/late/late/late-uid", late).await;
}

#[tokio::test]
async fn a_new_authority_is_shown_and_signs_and_vouches_from_then_on() {
    let control = Control::start(Limits::default()).await;
    let old = control.certificate("client");
    let made = Authority::create("cluster.local").unwrap();
    let next = Authority::load(&made).unwrap();
    control.current.replace(Authority::load(&made).unwrap());

    let identity = Identity::new("cluster.local", "shop", "client").unwrap();
    let of_next = next
        .issue(&Subject::Workload(identity), Duration::from_secs(60))
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let channel = loop {
        match control.connect_trusting(&next, Some(&of_next)).await {
            Ok(channel) => break channel,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let request = IstioCertificateRequest {
        csr: csr(),
        ..IstioCertificateRequest::default()
    };
    let answer = IstioCertificateServiceClient::new(channel)
        .create_certificate(request)
        .await
        .unwrap();
    let chain = answer.into_inner().cert_chain;
    assert_eq!(chain.last(), Some(&next.roots_pem()));

    // With TLS 1.3 a client hears of its refusal with the first answer.
    let refused = async {
        let channel = control.connect_trusting(&next, Some(&old)).await.ok()?;
        let mut client = IstioCertificateServiceClient::new(channel);
        let empty = IstioCertificateRequest::default();
        client.create_certificate(empty).await.err()
    };
    let refused = refused.await.map(|status| status.code());
    assert!(matches!(
        refused,
        None | Some(Code::Unavailable | Code::Unknown)
    ));
}

#[tokio::test]
async fn bad_certificate_requests_are_refused_and_counted() {
    let control = Control::start(Limits::default()).await;
    for bad in [String::new(), "-----BEGIN".to_owned(), "x".repeat(100_000)] {
        let status = ask(&control, CLIENT, bad).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    assert_eq!(control.metrics.authority.parsing_errors.get(), 3);
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_not_read() {
    let control = Control::start(Limits::default()).await;
    let status = ask(&control, CLIENT, "x".repeat(10 << 20))
        .await
        .unwrap_err();
    assert!(
        matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{status}"
    );
    assert!(ask(&control, CLIENT, csr()).await.is_ok());
}

#[tokio::test]
async fn a_caller_that_asks_too_often_is_turned_away_and_others_are_not_affected() {
    let control = Control::start(Limits::default()).await;
    let channel = control.connect(None).await.unwrap();
    let mut refused = 0;
    for _ in 0..60 {
        let request = Request::new(IstioCertificateRequest::default());
        let mut client = IstioCertificateServiceClient::new(channel.clone());
        let status = client.create_certificate(request).await.unwrap_err();
        refused += u64::from(status.code() == Code::ResourceExhausted);
    }
    assert!(refused > 0);
    assert_eq!(control.metrics.authority.throttled.get(), refused);
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let control = Control::start(Limits::default()).await;
    let mut stream = TcpStream::connect(control.address()).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    // An alert, then the end; a reset is an end too.
    let _ = stream.read_to_end(&mut rest).await;
    eventually("a counted handshake error", || {
        control
            .metrics
            .encode()
            .unwrap()
            .contains("handshake_errors{reason=\"not_tls\"} 1")
    })
    .await;
    assert!(ask(&control, CLIENT, csr()).await.is_ok());
}
