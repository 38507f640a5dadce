//! `client http`: a number of requests, by a number of connections, at a rate, and what came back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Version};
use super::report::{Outcome, Report};
use crate::echo::POD;
use crate::grpc;

#[derive(Args)]
pub(crate) struct Options {
    /// Where to send requests, such as http://httpbin:8000/get.
    #[arg(long)]
    url: Uri,
    /// How many requests to send.
    #[arg(long, default_value_t = 1)]
    requests: u64,
    /// Send for this many seconds, whatever `--requests` says.
    #[arg(long, value_parser = super::seconds)]
    duration: Option<Duration>,
    /// How many connections send requests at the same time.
    #[arg(long, short, default_value_t = 1)]
    concurrency: usize,
    /// Requests per second in all; 0 is as fast as they are answered.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Method of the requests.
    #[arg(long, short = 'X', default_value = "GET")]
    method: Method,
    /// A header, as `NAME: VALUE`; may be given many times.
    #[arg(long, short = 'H', value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Body of the requests; for gRPC, the message to echo.
    #[arg(long, default_value = "")]
    body: String,
    /// Use each connection for many requests, which is also what happens otherwise.
    #[arg(long, conflicts_with = "new_connections")]
    keep_alive: bool,
    /// Open a connection for each request.
    #[arg(long)]
    new_connections: bool,
    /// What to speak.
    #[arg(long, value_enum, default_value = "http1")]
    protocol: Protocol,
    /// Seconds until a request has failed.
    #[arg(long, value_parser = super::seconds, default_value = "10")]
    timeout: Duration,
    /// The only status that is a success; unless given, every status below 400 is.
    #[arg(long)]
    expect: Option<u16>,
    /// How to print what came back.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Http1,
    Http2,
    /// Unary calls over HTTP/2; without a path, of the echo server's own method.
    Grpc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Json,
    Text,
}

pub(super) async fn run(
    options: Options,
    stop: CancellationToken,
) -> anyhow::Result<std::process::ExitCode> {
    let load = Load::new(&options)?;
    let workers = (0..options.concurrency.max(1)).map(|_| load.work(&stop));
    let mut report = Report::default();
    for part in join_all(workers).await {
        report.add(part);
    }
    let summary = report.summary(load.start.elapsed());
    let good = summary.failed == 0 && summary.succeeded > 0;
    match options.output {
        Output::Json => super::print(&summary, good),
        Output::Text => {
            use std::io::Write as _;
            write!(std::io::stdout(), "{summary}")?;
            Ok(if good {
                std::process::ExitCode::SUCCESS
            } else {
                std::process::ExitCode::FAILURE
            })
        }
    }
}

/// What all workers share.
struct Load<'a> {
    options: &'a Options,
    /// `HOST:PORT` to connect to.
    address: String,
    /// Target of each request: a path for HTTP/1.1, a whole URI for HTTP/2.
    target: Uri,
    headers: HeaderMap,
    start: Instant,
    taken: AtomicU64,
}

impl<'a> Load<'a> {
    fn new(options: &'a Options) -> anyhow::Result<Self> {
        let url = &options.url;
        anyhow::ensure!(
            url.scheme_str() == Some("http"),
            "{url} does not begin with http://"
        );
        let host = url.host().with_context(|| format!("{url} has no host"))?;
        let mut headers: HeaderMap = options.header.iter().cloned().collect();
        let authority = match headers.remove(header::HOST) {
            Some(host) => host.to_str().context("header Host")?.to_owned(),
            None => url.authority().map(ToString::to_string).unwrap_or_default(),
        };
        let path = match (url.path(), options.protocol) {
            ("/", Protocol::Grpc) => grpc::ECHO,
            _ => url.path_and_query().map_or("/", |path| path.as_str()),
        };
        let target = if options.protocol == Protocol::Http1 {
            headers.insert(header::HOST, authority.parse()?);
            path.parse()?
        } else {
            Uri::builder()
                .scheme("http")
                .authority(authority)
                .path_and_query(path)
                .build()?
        };
        if options.protocol == Protocol::Grpc {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static(grpc::CONTENT_TYPE),
            );
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        let address = format!("{host}:{}", url.port_u16().unwrap_or(80));
        let (start, taken) = (Instant::now(), AtomicU64::new(0));
        Ok(Self {
            options,
            address,
            target,
            headers,
            start,
            taken,
        })
    }

    /// Sends requests over one connection until there are no more to send.
    async fn work(&self, stop: &CancellationToken) -> Report {
        let version = match self.options.protocol {
            Protocol::Http1 => Version::Http1,
            Protocol::Http2 | Protocol::Grpc => Version::Http2,
        };
        let mut connection = Connection::new(self.address.clone(), version);
        let mut report = Report::default();
        while let Some(due) = self.next() {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(due) => (),
            }
            if self.options.new_connections {
                connection.close();
            }
            let sent = Instant::now();
            let outcome = self.request(&mut connection).await;
            if matches!(outcome, Outcome::Error(_)) {
                connection.close();
            }
            report.record(outcome, sent.elapsed());
        }
        report.connections = connection.opened();
        report
    }

    /// When the next request has to be sent; `None` once all are.
    fn next(&self) -> Option<Instant> {
        let index = self.taken.fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^52")]
        let after = (self.options.rate > 0.0).then(|| index as f64 / self.options.rate);
        let due = match after {
            Some(seconds) => self.start + Duration::try_from_secs_f64(seconds).unwrap_or_default(),
            None => Instant::now(),
        };
        let more = match self.options.duration {
            Some(duration) => due < self.start + duration,
            None => index < self.options.requests,
        };
        more.then_some(due)
    }

    async fn request(&self, connection: &mut Connection) -> Outcome {
        let answer = async {
            let response = connection.send(self.build()).await?;
            self.judge(response).await
        };
        match tokio::time::timeout(self.options.timeout, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::Error(super::chain(&error)),
            Err(_) => Outcome::Error(format!("no answer within {:?}", self.options.timeout)),
        }
    }

    fn build(&self) -> Request<Full<Bytes>> {
        let body = self.options.body.clone();
        let (method, body) = match self.options.protocol {
            Protocol::Grpc => (
                Method::POST,
                grpc::frame(&grpc::EchoRequest { message: body }),
            ),
            Protocol::Http1 | Protocol::Http2 => (self.options.method.clone(), body.into()),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Reads a response to its end and tells whether it is good.
    async fn judge(&self, response: Response<Incoming>) -> anyhow::Result<Outcome> {
        let (head, body) = response.into_parts();
        let pod = head
            .headers
            .get(POD)
            .and_then(|pod| pod.to_str().ok())
            .map(str::to_owned);
        let body = body.collect().await.context("reading the body")?;
        if self.options.protocol == Protocol::Grpc && head.status == StatusCode::OK {
            let status = body.trailers().unwrap_or(&head.headers).get("grpc-status");
            let status = status
                .and_then(|status| status.to_str().ok())
                .unwrap_or("missing");
            return Ok(Outcome::Answer {
                status: format!("grpc {status}"),
                good: status == "0",
                pod,
            });
        }
        let good = match self.options.expect {
            Some(status) => head.status == status,
            None => head.status.as_u16() < 400,
        };
        let pod = pod.or_else(|| pod_of(&body.to_bytes()));
        Ok(Outcome::Answer {
            status: head.status.as_str().to_owned(),
            good,
            pod,
        })
    }
}

/// The pod that a JSON answer names, as our own servers and Bookinfo's reviews do.
fn pod_of(body: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let pod = json.get("pod").or_else(|| json.get("podname"))?;
    pod.as_str().map(str::to_owned)
}

fn header(text: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let (name, value) = text
        .split_once(':')
        .context("not of the form NAME: VALUE")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}
