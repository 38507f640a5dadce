//! Metrics of proxy and application in one answer, so that Prometheus needs one target per pod
//! (`enablePrometheusMerge` of MeshConfig).
//!
//! The injector moves the pod's own `prometheus.io/*` annotations into the environment variable
//! `ISTIO_PROMETHEUS_ANNOTATIONS`; the targets named there are fetched over loopback at each scrape.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::header::{ACCEPT, CONNECTION, HOST, HeaderMap};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

/// The most that one application may answer with.
const BODY_LIMIT: usize = 10 * 1024 * 1024;
/// Prometheus' own default, for scrapers that do not say how long they wait.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// More than any scraper waits: one that says otherwise does not hold a connection for ever.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
/// What Prometheus sends with each scrape.
const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";
/// One format for all parts, since they are joined.
const TEXT_FORMAT: &str = "text/plain;version=0.0.4";
/// What an application without annotations serves, if it serves metrics at all.
const DEFAULT_PORT: u16 = 80;
const DEFAULT_PATH: &str = "/metrics";

/// Where the application's own metrics are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets(Vec<Target>);

/// One port and path of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    port: u16,
    path: String,
}

/// The annotations of the environment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetsError {
    /// Not JSON of the expected shape.
    #[error("ISTIO_PROMETHEUS_ANNOTATIONS is not a JSON object of strings: {0}")]
    Json(#[from] serde_json::Error),
    /// Not a port.
    #[error("ISTIO_PROMETHEUS_ANNOTATIONS names the port '{0}': expected 1 to 65535")]
    Port(String),
}

/// Why the application's metrics are missing.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// Nothing listens.
    #[error("connecting to port {0} on loopback: {1}")]
    Connect(u16, std::io::Error),
    /// The exchange broke.
    #[error("HTTP exchange: {0}")]
    Http(#[from] hyper::Error),
    /// The path makes no request.
    #[error("the path makes no valid request: {0}")]
    Request(#[from] http::Error),
    /// Not 200.
    #[error("the application answered {0}")]
    Status(StatusCode),
    /// Over the limit, broken off, or not text.
    #[error("reading the answer: {0}")]
    Body(String),
    /// The application took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(default)]
    scrape: String,
    #[serde(default)]
    port: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    targets: String,
}

impl Targets {
    /// Reads the value of `ISTIO_PROMETHEUS_ANNOTATIONS`:
    /// `{"scrape":"true","port":"9080","path":"/metrics","targets":"9090:/metrics,9091:/other"}`.
    ///
    /// # Errors
    /// When it is not JSON or a port is not a number from 1 to 65535.
    pub fn parse(json: &str) -> Result<Self, TargetsError> {
        let annotations: Annotations = serde_json::from_str(json)?;
        if !annotations.targets.is_empty() {
            return annotations
                .targets
                .split(',')
                .map(|t| Target::parse(t.trim()))
                .collect::<Result<_, _>>()
                .map(Self);
        }
        if annotations.scrape != "true" {
            return Ok(Self::default());
        }
        let port = match annotations.port.as_str() {
            "" => DEFAULT_PORT,
            text => parse_port(text)?,
        };
        Ok(Self(vec![Target {
            port,
            path: absolute(&annotations.path),
        }]))
    }

    /// Fetches every target and joins the answers to `text`, which must be in Prometheus' text format.
    /// A target that fails is reported by `failed` and left out: the proxy's metrics are still good.
    pub async fn append_to(
        &self,
        text: &mut String,
        headers: &HeaderMap,
        mut failed: impl FnMut(&ScrapeError),
    ) {
        let timeout = scrape_timeout(headers);
        for target in &self.0 {
            match target.fetch(timeout).await {
                Ok(metrics) => append_metrics(text, &metrics),
                Err(error) => failed(&error),
            }
        }
    }
}

impl Target {
    fn parse(text: &str) -> Result<Self, TargetsError> {
        let (port, path) = text.split_once(':').unwrap_or((text, ""));
        Ok(Self {
            port: parse_port(port)?,
            path: absolute(path),
        })
    }

    async fn fetch(&self, timeout: Duration) -> Result<String, ScrapeError> {
        tokio::time::timeout(timeout, self.fetch_unbounded())
            .await
            .map_err(|_| ScrapeError::Timeout(timeout))?
    }

    async fn fetch_unbounded(&self) -> Result<String, ScrapeError> {
        let stream = connect_loopback(self.port).await?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await?;
        drop(tokio::spawn(connection)); // Ends when the answer's body is read or dropped.
        let request = Request::get(&self.path)
            .header(HOST, format!("localhost:{}", self.port))
            .header(ACCEPT, TEXT_FORMAT)
            .header(CONNECTION, "close")
            .body(Empty::<bytes::Bytes>::new())?;
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(ScrapeError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), BODY_LIMIT)
            .collect()
            .await
            .map_err(|error| ScrapeError::Body(error.to_string()))?;
        String::from_utf8(body.to_bytes().into()).map_err(|e| ScrapeError::Body(e.to_string()))
    }
}

async fn connect_loopback(port: u16) -> Result<TcpStream, ScrapeError> {
    let addresses = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ]
    .map(|ip| SocketAddr::new(ip, port));
    TcpStream::connect(&addresses[..])
        .await
        .map_err(|error| ScrapeError::Connect(port, error))
}

fn parse_port(text: &str) -> Result<u16, TargetsError> {
    text.trim()
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| TargetsError::Port(text.to_owned()))
}

fn absolute(path: &str) -> String {
    match path {
        "" => DEFAULT_PATH.to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    }
}

fn scrape_timeout(headers: &HeaderMap) -> Duration {
    headers
        .get(TIMEOUT_HEADER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|timeout| !timeout.is_zero())
        .map(|timeout| timeout.min(LONGEST_TIMEOUT))
        .unwrap_or(DEFAULT_TIMEOUT)
}

/// OpenMetrics ends with `# EOF`, after which nothing may follow: it is left out in the middle.
fn append_metrics(text: &mut String, metrics: &str) {
    for line in metrics.lines().filter(|line| *line != "# EOF") {
        text.push_str(line);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_annotations() {
        let one = |port, path: &str| {
            Targets(vec![Target {
                port,
                path: path.to_owned(),
            }])
        };
        for (json, expected) in [
            (
                r#"{"scrape":"true","port":"9080","path":"/m"}"#,
                one(9080, "/m"),
            ),
            (
                r#"{"scrape":"true","port":"","path":""}"#,
                one(80, "/metrics"),
            ),
            (r#"{"scrape":"true","path":"m"}"#, one(80, "/m")),
            (r#"{"scrape":"false","port":"9080"}"#, Targets::default()),
            (r#"{}"#, Targets::default()),
        ] {
            assert_eq!(Targets::parse(json).unwrap(), expected, "{json}");
        }
        let several = Targets::parse(r#"{"targets":"1:/a, 2"}"#).unwrap();
        assert_eq!(several.0.len(), 2);
        assert!(Targets::parse(r#"{"scrape":"true","port":"http"}"#).is_err());
        assert!(Targets::parse(r#"{"targets":"0:/a"}"#).is_err());
    }

    #[test]
    fn joins_without_an_end_in_the_middle() {
        let mut text = "a 1\n".to_owned();
        append_metrics(&mut text, "# TYPE b counter\nb_total 1\n# EOF\n");
        append_metrics(&mut text, "c 2");
        assert_eq!(text, "a 1\n# TYPE b counter\nb_total 1\nc 2\n");
    }

    #[test]
    fn waits_as_long_as_the_scraper_says() {
        let timeout = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT_HEADER, http::HeaderValue::from_static(value));
            scrape_timeout(&headers)
        };
        assert_eq!(timeout("2.5"), Duration::from_millis(2500));
        for bad in ["-1", "0", "x", "inf"] {
            assert_eq!(timeout(bad), DEFAULT_TIMEOUT, "{bad}");
        }
    }
}
