//! What people type, and what they see: the commands of an Istio course.

use anyhow::{Result, ensure};
use lateen_tests::bed::Bed;
use lateen_tests::bed::scene::Scene;
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::test]
async fn the_injector_looks_as_a_course_shows_it() -> Result<()> {
    let system = Bed::existing("istio-system").await?;
    let listed = system
        .kubectl(&["get", "deployment", "-l", "istio=sidecar-injector"])
        .await?;
    ensure!(listed.contains("istio-sidecar-injector"), "{listed}");
    let webhook = [
        "get",
        "mutatingwebhookconfigurations",
        "istio-sidecar-injector",
        "-o",
        "yaml",
    ];
    let printed = system.kubectl(&webhook).await?;
    for part in [
        "namespace.sidecar-injector.istio.io",
        "rev.namespace.sidecar-injector.istio.io",
        "object.sidecar-injector.istio.io",
        "istio-injection",
        "caBundle: ",
        "failurePolicy: Fail",
        "path: /inject",
    ] {
        ensure!(printed.contains(part), "{part} is missing in {printed}");
    }
    let crds = system.kubectl(&["get", "crd", "-o", "name"]).await?;
    for name in [
        "virtualservices.networking.istio.io",
        "destinationrules.networking.istio.io",
        "gateways.networking.istio.io",
        "serviceentries.networking.istio.io",
        "sidecars.networking.istio.io",
        "workloadentries.networking.istio.io",
        "workloadgroups.networking.istio.io",
        "proxyconfigs.networking.istio.io",
        "envoyfilters.networking.istio.io",
        "peerauthentications.security.istio.io",
        "requestauthentications.security.istio.io",
        "authorizationpolicies.security.istio.io",
        "telemetries.telemetry.istio.io",
        "wasmplugins.extensions.istio.io",
    ] {
        ensure!(crds.contains(name), "{name} is missing in {crds}");
    }
    Ok(())
}

#[tokio::test]
async fn namespaces_show_their_injection_label() -> Result<()> {
    let bed = Bed::injected("labels").await?;
    let listed = bed.kubectl(&["get", "ns", "-L", "istio-injection"]).await?;
    let line = listed
        .lines()
        .find(|line| line.starts_with(&bed.namespace))
        .unwrap_or_default();
    ensure!(line.contains("enabled"), "{listed}");
    bed.end().await
}

#[tokio::test]
async fn a_kind_that_is_not_supported_yet_warns_on_apply() -> Result<()> {
    let bed = Bed::plain("warns").await?;
    let filter = serde_json::json!({ "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter", "metadata": { "name": "a" }, "spec": { "configPatches": [] } });
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, filter.to_string())?;
    let output = bed
        .kubectl_command(&["apply", "-f"])
        .arg(file.path())
        .output()
        .await?;
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{warned}");
    ensure!(
        warned.contains("Warning: ") && warned.contains("Lateen"),
        "{warned}"
    );
    bed.end().await
}

#[tokio::test]
async fn exec_logs_and_port_forward_work_with_a_sidecar() -> Result<()> {
    let scene = Scene::injected("tools", 1).await?;
    let pod = &scene.web[0];
    // Without naming a container: the application's is the default.
    let printed = scene
        .bed
        .kubectl(&[
            "exec",
            pod,
            "--",
            "/usr/local/bin/lateen-samples",
            "--version",
        ])
        .await?;
    ensure!(printed.contains("lateen-samples"), "{printed}");
    scene.bed.kubectl(&["logs", pod]).await?;
    let logs = scene
        .bed
        .kubectl(&["logs", pod, "-c", "istio-proxy"])
        .await?;
    ensure!(!logs.is_empty(), "the sidecar logs nothing");

    let mut forward = scene
        .bed
        .kubectl_command(&["port-forward", pod, ":8080"])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = forward.stdout.take().unwrap();
    // Kept: kubectl ends when nobody reads what it says.
    let mut lines = BufReader::new(stdout).lines();
    let line = lines.next_line().await?.unwrap_or_default();
    let address = line
        .split_whitespace()
        .nth(2)
        .unwrap_or_default()
        .to_owned();
    let stream = tokio::net::TcpStream::connect(&address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get("/")
        .header("host", "localhost")
        .body(http_body_util::Empty::<bytes::Bytes>::new())?;
    let status = sender.send_request(request).await?.status();
    connection.abort();
    ensure!(status == 200, "through port-forward: {status}");
    scene.bed.end().await
}
