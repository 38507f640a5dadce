//! `client get`: one HTTP/1.1 request, and what came back as it is. The echo server and httpbin say in
//! it what they saw of the request.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::{Request, Uri, header};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Full};

use super::connection::{Connection, Version};

#[derive(Args)]
pub(crate) struct Options {
    /// What to get, such as http://echo:8080/.
    url: Uri,
    /// Seconds until the request has failed.
    #[arg(long, value_parser = super::seconds, default_value = "10")]
    timeout: Duration,
}

/// Prints the body; a status of 400 or above is a failure.
pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let (good, body) = tokio::time::timeout(options.timeout, get(&options.url))
        .await
        .with_context(|| format!("no answer within {:?}", options.timeout))??;
    let mut stdout = std::io::stdout();
    stdout.write_all(&body)?;
    writeln!(stdout)?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn get(url: &Uri) -> anyhow::Result<(bool, Bytes)> {
    anyhow::ensure!(
        url.scheme_str() == Some("http"),
        "{url} does not begin with http://"
    );
    let authority = url.authority().context("there is no host")?.as_str();
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(header::HOST, authority)
        .body(Full::default())?;
    let host = url.host().context("there is no host")?;
    let address = format!("{host}:{}", url.port_u16().unwrap_or(80));
    let mut connection = Connection::new(address, Version::Http1);
    let response = connection.send(request).await?;
    let good = response.status().as_u16() < 400;
    let body = response.into_body().collect().await;
    Ok((good, body.context("reading the body")?.to_bytes()))
}
