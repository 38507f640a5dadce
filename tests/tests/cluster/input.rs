//! What bad input gets: the right error, and nobody else is affected.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, PostParams};
use lateen_tests::bed::manifest::client;
use lateen_tests::bed::{Bed, ClientCertificate, eventually};
use lateen_wire::ca::IstioCertificateRequest;
use lateen_wire::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use rustls_pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

async fn system_pod(selector: &str) -> Result<(Bed, String)> {
    let system = Bed::existing("istio-system").await?;
    let pod = system
        .pods(selector)
        .await?
        .first()
        .context("no pod")?
        .name_any();
    Ok((system, pod))
}

/// Posts to the webhook as the API server does.
async fn review(kind: &str, body: impl Into<Bytes>) -> Result<(StatusCode, String)> {
    let (system, pod) = system_pod("istio=sidecar-injector").await?;
    let name = "istio-sidecar-injector.istio-system.svc";
    let stream = system
        .connect_tls(&pod, 15017, name, &["http/1.1"], None)
        .await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post("/inject")
        .header("host", name)
        .header("content-type", kind)
        .body(Full::new(body.into()))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let text = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

#[tokio::test]
async fn the_webhook_refuses_what_is_no_review() -> Result<()> {
    let json = "application/json";
    for (kind, body, status) in [
        (json, Bytes::new(), StatusCode::BAD_REQUEST),
        (
            json,
            Bytes::from_static(b"{\"kind\":"),
            StatusCode::BAD_REQUEST,
        ),
        (
            "text/plain",
            Bytes::from_static(b"{}"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
    ] {
        let (answered, text) = review(kind, body).await?;
        ensure!(answered == status, "{kind}: {answered} {text}");
        ensure!(!text.is_empty(), "{kind}: no reason is given");
    }
    Ok(())
}

#[tokio::test]
async fn the_webhook_refuses_ten_megabytes() -> Result<()> {
    // The answer may come before the body is read: the client then sees either it or a closed
    // connection, and the webhook goes on for others.
    if let Ok((status, text)) = review("application/json", vec![b' '; 10 << 20]).await {
        ensure!(status == StatusCode::BAD_REQUEST, "{status} {text}");
    }
    let (status, _) = review("text/plain", "{}").await?;
    ensure!(status == StatusCode::UNSUPPORTED_MEDIA_TYPE, "{status}");
    Ok(())
}

#[tokio::test]
async fn a_bad_annotation_refuses_the_pod_with_the_reason() -> Result<()> {
    let bed = Bed::injected("bad-annotation").await?;
    let mut pod = lateen_tests::bed::manifest::template("web", &["sleep"]);
    let change = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web",
        "annotations": {
            "traffic.sidecar.istio.io/excludeInboundPorts": "http",
            "sidecar.istio.io/proxyCPU": "lots",
        } } });
    lateen_tests::bed::manifest::merge(&mut pod, change);
    bed.apply([lateen_tests::bed::manifest::service_account("web")])
        .await?;
    let error = format!("{:#}", bed.apply([pod]).await.unwrap_err());
    for part in [
        "traffic.sidecar.istio.io/excludeInboundPorts",
        "http",
        "sidecar.istio.io/proxyCPU",
        "lots",
    ] {
        ensure!(error.contains(part), "{part} is missing in: {error}");
    }
    bed.end().await
}

/// A token for the ServiceAccount `client` of the bed, bound to its pod.
async fn token(bed: &Bed, pod: Option<&Pod>, audience: &str, seconds: i64) -> Result<String> {
    let bound = pod.map(|pod| {
        json!({ "kind": "Pod", "apiVersion": "v1", "name": pod.name_any(), "uid": pod.uid() })
    });
    let spec =
        json!({ "audiences": [audience], "expirationSeconds": seconds, "boundObjectRef": bound });
    let request: TokenRequest = serde_json::from_value(json!({ "metadata": {}, "spec": spec }))?;
    let accounts = bed.api::<ServiceAccount>();
    let answer = accounts
        .create_token_request("client", &PostParams::default(), &request)
        .await?;
    Ok(answer.status.context("no token")?.token)
}

/// Asks control for a certificate, from outside any pod.
async fn sign(token: &str, csr: String) -> Result<Code> {
    let (system, pod) = system_pod("app=istiod").await?;
    let name = "istiod.istio-system.svc";
    let stream = system.connect_tls(&pod, 15012, name, &["h2"], None).await?;
    let mut stream = Some(TokioIo::new(stream));
    let channel = tonic::transport::Endpoint::from_static("http://istiod.istio-system.svc:15012")
        .connect_with_connector(tower::service_fn(move |_| {
            let stream = stream.take();
            async move { stream.ok_or_else(|| std::io::Error::other("connected before")) }
        }))
        .await?;
    let mut request = tonic::Request::new(IstioCertificateRequest {
        csr,
        validity_duration: 3600,
        metadata: None,
    });
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse()?);
    let answer = IstioCertificateServiceClient::new(channel)
        .create_certificate(request)
        .await;
    Ok(answer.map_or_else(|status| status.code(), |_| Code::Ok))
}

fn csr() -> Result<String> {
    let key = rcgen::KeyPair::generate()?;
    Ok(rcgen::CertificateParams::default()
        .serialize_request(&key)?
        .pem()?)
}

#[tokio::test]
async fn no_certificate_without_the_right_token_from_the_right_address() -> Result<()> {
    let bed = Bed::injected("csr").await?;
    bed.apply(client("client")).await?;
    let pod = bed.ready("app=client", 1).await?.remove(0);

    let bound = token(&bed, Some(&pod), "istio-ca", 3600).await?;
    let code = sign(&bound, csr()?).await?;
    ensure!(
        code == Code::PermissionDenied,
        "from another address: {code:?}"
    );

    let unbound = token(&bed, None, "istio-ca", 3600).await?;
    let code = sign(&unbound, csr()?).await?;
    ensure!(
        matches!(code, Code::Unauthenticated | Code::PermissionDenied),
        "unbound: {code:?}"
    );

    let other = token(&bed, Some(&pod), "somebody-else", 3600).await?;
    let code = sign(&other, csr()?).await?;
    ensure!(
        code == Code::Unauthenticated,
        "of another audience: {code:?}"
    );

    let code = sign("no.such.token", csr()?).await?;
    ensure!(code == Code::Unauthenticated, "not a token: {code:?}");

    bed.api::<Pod>()
        .delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
        .await?;
    eventually("refusal of the token of a deleted pod", async || {
        let code = sign(&bound, csr()?).await?;
        ensure!(code == Code::Unauthenticated, "{code:?}");
        Ok(())
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
async fn control_refuses_client_certificates_of_another_root() -> Result<()> {
    let (system, pod) = system_pod("app=istiod").await?;
    let name = "istiod.istio-system.svc";
    // With TLS 1.3 a client learns of the refusal with the first bytes that it reads; a server that
    // accepts sends its HTTP/2 settings first.
    let refused = async {
        let mut stream = system
            .connect_tls(&pod, 15012, name, &["h2"], Some(forged()?))
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

#[tokio::test]
async fn garbage_on_every_port_of_a_sidecar_harms_nobody() -> Result<()> {
    let bed = Bed::injected("garbage").await?;
    bed.apply(client("client")).await?;
    let pod = bed.ready("app=client", 1).await?[0].name_any();
    for port in [15000, 15001, 15006, 15020, 15021, 15090] {
        for garbage in [
            &b"\x16\x03\x01\xff\xff"[..],
            b"PRI * HTTP/2.0\r\n\r\nXX",
            &[0; 4096],
            b"\r\n\r\n\r\n",
        ] {
            let mut stream = bed.connect(&pod, port).await?;
            // The proxy may close before everything is written: that is a right answer.
            let _ = stream.write_all(garbage).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
        }
    }
    ensure!(
        bed.get(&pod, 15021, "/healthz/ready")
            .await?
            .contains("ready")
    );
    let restarts = bed.pod("app=client").await?.status.context("no status")?;
    let restarts: i32 = restarts
        .init_container_statuses
        .iter()
        .flatten()
        .map(|container| container.restart_count)
        .sum();
    ensure!(restarts == 0, "the sidecar was restarted {restarts} times");
    bed.end().await
}
