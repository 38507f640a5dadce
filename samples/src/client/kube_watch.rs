//! `client kube-watch`: reads from the Kubernetes API with the pod's own token, as any program in a
//! pod does, and holds a watch for a while.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::{Request, Response, StatusCode, header};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Serialize;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::connection::connect;

/// Where a pod finds its token, namespace and the API server's root.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[derive(Args)]
pub(crate) struct Options {
    /// Seconds to hold the watch.
    #[arg(long, value_parser = super::seconds, default_value = "60")]
    duration: Duration,
    /// What to read and watch; unless given, the pods of this pod's namespace.
    #[arg(long)]
    path: Option<String>,
    /// `HOST:PORT` of the API server.
    #[arg(long, default_value = "kubernetes.default.svc:443")]
    server: String,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Watched {
    /// Status of the plain read.
    read_status: u16,
    /// Status of the watch.
    watch_status: u16,
    /// Events seen.
    events: usize,
    /// How long the watch was held.
    seconds: f64,
    /// Why it ended too soon, if it did.
    broken: Option<String>,
}

pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut watched = Watched::default();
    if let Err(error) = read_and_watch(&options, &mut watched).await {
        watched.broken = Some(super::chain(&error));
    }
    super::print(&watched, watched.broken.is_none())
}

async fn read_and_watch(options: &Options, watched: &mut Watched) -> anyhow::Result<()> {
    let path = match &options.path {
        Some(path) => path.clone(),
        None => format!("/api/v1/namespaces/{}/pods", file("namespace")?),
    };
    let read = request(&options.server, &path).await?;
    watched.read_status = read.status().as_u16();
    anyhow::ensure!(
        read.status() == StatusCode::OK,
        "reading {path} was answered {}",
        read.status()
    );
    read.into_body()
        .collect()
        .await
        .with_context(|| format!("cannot read {path}"))?;

    let longer = options.duration.as_secs() + 60;
    let path = format!("{path}?watch=true&timeoutSeconds={longer}");
    let watch = request(&options.server, &path).await?;
    watched.watch_status = watch.status().as_u16();
    anyhow::ensure!(
        watch.status() == StatusCode::OK,
        "the watch was answered {}",
        watch.status()
    );
    let start = Instant::now();
    let broken = tokio::select! {
        () = tokio::time::sleep(options.duration) => Ok(()),
        error = events(watch.into_body(), &mut watched.events) => Err(error),
    };
    watched.seconds = start.elapsed().as_secs_f64();
    broken
}

/// Counts events, one a line, until the watch ends; why it did.
async fn events(mut body: Incoming, count: &mut usize) -> anyhow::Error {
    loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                let data = frame.data_ref().map(Bytes::as_ref).unwrap_or_default();
                *count += data.iter().filter(|byte| **byte == b'\n').count();
            }
            Some(Err(error)) => return error.into(),
            None => return anyhow::anyhow!("the API server ended the watch"),
        }
    }
}

async fn request(server: &str, path: &str) -> anyhow::Result<Response<Incoming>> {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
    let connector = TlsConnector::from(Arc::new(tls()?));
    let stream = connector.connect(name, connect(server).await?).await;
    let stream = stream.with_context(|| format!("TLS handshake with {server}"))?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    let request = Request::get(path)
        .header(header::HOST, server)
        .header(header::AUTHORIZATION, format!("Bearer {}", file("token")?))
        .body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?)
}

fn tls() -> anyhow::Result<ClientConfig> {
    let path = Path::new(SERVICE_ACCOUNT).join("ca.crt");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&path)? {
        roots.add(certificate?)?;
    }
    let config =
        ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(config)
}

fn file(name: &str) -> anyhow::Result<String> {
    let path = Path::new(SERVICE_ACCOUNT).join(name);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "cannot read {}; this needs a pod with a token",
            path.display()
        )
    })?;
    Ok(text.trim().to_owned())
}
