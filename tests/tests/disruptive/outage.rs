//! Control goes away for minutes, and traffic goes on. Meanwhile nothing else can be tested, so that
//! `cargo xtask test` runs this module on a cluster of its own.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use lateen_control::ca::{Authority, Material, Subject};
use lateen_tests::bed::manifest::{deployment, service, template};
use lateen_tests::bed::scene::{ECHO, Outside, Scene};
use lateen_tests::bed::{Bed, eventually};
use serde_json::json;

use crate::mesh::{
    INJECTOR, INJECTORS, admitted, kill, names, newcomers, rolled_out, scale, system, unready,
    with_pod,
};

#[tokio::test]
async fn without_control_for_five_minutes_traffic_goes_on() -> Result<()> {
    let scene = Scene::injected("no-control", 2).await?;
    let outside = Outside::start("no-control-outside").await?;
    let url = format!("http://{}/", outside.address);
    scene
        .bed
        .apply(deployment("other", 1, &template("other", &ECHO)))
        .await?;
    scene
        .bed
        .apply([service("other", &[("http", 8080, 8080)])])
        .await?;
    scene.bed.serving("app=other", 1, 8080).await?;
    scene
        .http("http://web:8080/", &["--requests", "10"])
        .await?
        .all_succeeded()?;

    let system = system().await?;
    scale(&system, "istiod", 0).await?;
    let checked = async {
        let flags = ["--duration", "300", "--rate", "20"];
        let load = scene.http("http://web:8080/", &flags);
        let unknown = async {
            let report = scene.http("http://other:8080/", &[]).await?;
            ensure!(
                report.statuses.get("503") == Some(&1),
                "a name never asked for: {report:?}"
            );
            scene
                .http(&url, &[])
                .await?
                .all_succeeded()
                .context("Passing through")
        };
        let (load, unknown) = tokio::join!(load, unknown);
        unknown?;
        load?.all_succeeded()?;
        let encrypted = scene
            .served(&[("connection_security_policy", "mutual_tls")])
            .await?;
        ensure!(encrypted >= 5000.0, "{encrypted} requests were encrypted");
        ensure!(
            scene
                .served(&[("connection_security_policy", "none")])
                .await?
                == 0.0
        );
        anyhow::Ok(())
    }
    .await;
    scale(&system, "istiod", 2).await?;
    checked?;
    eventually("the name that was refused", async || {
        scene
            .http("http://other:8080/", &[])
            .await?
            .all_succeeded()
            .map(drop)
    })
    .await?;
    outside.bed.end().await?;
    scene.bed.end().await
}

/// With control there, its leader replaces such a certificate before anybody can notice.
#[tokio::test]
async fn an_expired_certificate_of_the_webhook_is_told_and_replaced_by_control() -> Result<()> {
    let (bed, pod) = with_pod("expired").await?;
    let system = system().await?;
    scale(&system, "istiod", 0).await?;
    let checked = async {
        expire_certificate(&system).await?;
        let replicas = names(&system, INJECTORS).await?;
        for replica in &replicas {
            unready(&system, replica, "expired").await?;
        }
        // An API server that is connected has seen the certificate before, and goes on.
        for replica in &replicas {
            kill(&system, replica).await?;
        }
        for replica in newcomers(&system, INJECTORS, &replicas).await? {
            unready(&system, &replica, "expired").await?;
        }
        // What people read who create a pod, once nobody is left to ask.
        eventually("a pod that is refused with the reason", async || {
            let refused = bed.admit(&pod).await.map(drop);
            let said = refused.map_or_else(|error| error.to_string(), |()| "created".to_owned());
            for part in ["failed calling webhook", INJECTOR] {
                ensure!(said.contains(part), "{part} is missing in: {said}");
            }
            anyhow::Ok(())
        })
        .await
    }
    .await;
    scale(&system, "istiod", 2).await?;
    checked?;
    rolled_out(&system, INJECTOR).await?;
    admitted(&bed, &pod).await?;
    bed.end().await
}

/// Puts a certificate of the mesh's own authority in the place of the webhook's, that ends now.
async fn expire_certificate(system: &Bed) -> Result<()> {
    let secrets = system.api::<Secret>();
    let root = secrets
        .get("istio-ca-secret")
        .await?
        .data
        .context("no data")?;
    let text = |key: &str| {
        let bytes = root.get(key).map(|bytes| bytes.0.clone());
        String::from_utf8(bytes.unwrap_or_default())
    };
    let authority = Authority::load(&Material {
        certificate: text("ca-cert.pem")?,
        key: text("ca-key.pem")?,
        roots: text("root-cert.pem")?,
        chain: text("cert-chain.pem")?,
    })
    .map_err(anyhow::Error::msg)?;
    let server = Subject::Server(vec![format!("{INJECTOR}.istio-system.svc")]);
    let ended = authority.issue(&server, Duration::ZERO)?;
    let change =
        json!({ "stringData": { "tls.crt": ended.certificate_chain(), "tls.key": ended.key } });
    let name = "istio-sidecar-injector-certs";
    let (parameters, patch) = (PatchParams::default(), Patch::Merge(change));
    secrets.patch(name, &parameters, &patch).await?;
    Ok(())
}
