//! Runs a probe against the application and answers the kubelet in its place.
//!
//! Connections come from the redirection rules' own source address (127.0.0.6 or `::6`), which those
//! rules let go straight to the application.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, LOCATION, TE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::probe::{Action, HttpGet, Probe};
use super::unverified;
use crate::net::Source;

/// What the kubelet keeps of an answer.
const BODY_LIMIT: usize = 10 * 1024;
/// As the kubelet: a probe follows this many redirects at most.
const REDIRECT_LIMIT: usize = 10;
/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: i32 = 1;

/// Why an application is not healthy, or could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeFailure {
    /// No connection to the application.
    #[error("connecting to {0}: {1}")]
    Connect(SocketAddr, std::io::Error),
    /// The TLS handshake failed.
    #[error("TLS handshake with {0}: {1}")]
    Tls(SocketAddr, std::io::Error),
    /// The exchange broke.
    #[error("HTTP exchange: {0}")]
    Http(#[from] hyper::Error),
    /// The probe's own path or headers make no request.
    #[error("the probe makes no valid request: {0}")]
    Request(#[from] http::Error),
    /// The application took too long.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
    /// gRPC health says otherwise.
    #[error("gRPC health status is {0}, not SERVING")]
    NotServing(String),
}

/// Runs probes against one pod.
#[derive(Clone)]
pub(super) struct Prober {
    target: IpAddr,
    tls: Arc<ClientConfig>,
}

/// The part of an answer that the kubelet looks at.
pub(super) type Answer = Response<Full<Bytes>>;

impl Prober {
    /// Probes the application at the pod's address.
    #[must_use]
    pub(super) fn new(pod_address: IpAddr) -> Self {
        Self {
            target: pod_address,
            tls: unverified::client_config(),
        }
    }

    /// Runs `probe`; `headers` are those of the kubelet's own request.
    ///
    /// # Errors
    /// When the application could not be asked, or is not healthy. An HTTP answer of any status is an
    /// answer, not an error.
    pub(super) async fn run(
        &self,
        probe: &Probe,
        headers: &HeaderMap,
    ) -> Result<Answer, ProbeFailure> {
        let work = async {
            match &probe.action {
                Action::Http(get) => self.http(get, headers).await,
                Action::Tcp { port } => self.connect(*port).await.map(|_| Answer::default()),
                Action::Grpc { port, service } => self.grpc(*port, service).await,
            }
        };
        let Some(limit) = probe.timeout else {
            return work.await;
        };
        tokio::time::timeout(limit, work)
            .await
            .map_err(|_| ProbeFailure::Timeout(limit))?
    }

    async fn http(&self, get: &HttpGet, headers: &HeaderMap) -> Result<Answer, ProbeFailure> {
        let mut path = get.path.clone();
        for _ in 0..REDIRECT_LIMIT {
            let response = self.request(get, &path, headers).await?;
            if !response.status().is_redirection() {
                return Ok(limited(response).await);
            }
            match redirect_on_same_host(&response, get, self.target) {
                Some(next) => path = next,
                // As for the kubelet, a redirect to somewhere else says that the application lives.
                None => return Ok(Answer::default()),
            }
        }
        Ok(Answer::default())
    }

    async fn request(
        &self,
        get: &HttpGet,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Response<Incoming>, ProbeFailure> {
        let stream = self.connect(get.port).await?;
        if !get.tls {
            return exchange_http1(stream, self.http_request(get, path, headers)?).await;
        }
        let address = SocketAddr::new(self.target, get.port);
        let name = ServerName::IpAddress(self.target.into());
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, stream)
            .await
            .map_err(|error| ProbeFailure::Tls(address, error))?;
        let request = self.http_request(get, path, headers)?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            exchange_http2(stream, as_http2(request, address)?).await
        } else {
            exchange_http1(stream, request).await
        }
    }

    fn http_request(
        &self,
        get: &HttpGet,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder().uri(path).body(Full::default())?;
        let sent = request.headers_mut();
        for (name, value) in headers {
            if name != HOST && name != CONNECTION {
                sent.append(name, value.clone());
            }
        }
        for (name, value) in &get.headers {
            sent.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        sent.insert(CONNECTION, HeaderValue::from_static("close"));
        if !sent.contains_key(HOST) {
            let address = SocketAddr::new(self.target, get.port).to_string();
            sent.insert(
                HOST,
                HeaderValue::try_from(get.host.clone().unwrap_or(address))?,
            );
        }
        Ok(request)
    }

    async fn grpc(&self, port: u16, service: &str) -> Result<Answer, ProbeFailure> {
        let stream = self.connect(port).await?;
        let request = Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(format!(
                "http://{}/grpc.health.v1.Health/Check",
                SocketAddr::new(self.target, port)
            ))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .body(Full::new(grpc_frame(&HealthCheckRequest {
                service: service.to_owned(),
            })))?;
        let response = exchange_http2(stream, request).await?;
        let status = grpc_status(response.headers());
        let body = Limited::new(response.into_body(), BODY_LIMIT)
            .collect()
            .await
            .map_err(|error| ProbeFailure::NotServing(error.to_string()))?;
        let status = status.or_else(|| body.trailers().and_then(grpc_status));
        match (status.as_deref(), serving_status(&body.to_bytes())) {
            (None | Some("0"), Some(SERVING)) => Ok(Answer::default()),
            (None | Some("0"), Some(other)) => Err(ProbeFailure::NotServing(other.to_string())),
            (code, _) => Err(ProbeFailure::NotServing(format!("error {code:?}"))),
        }
    }

    async fn connect(&self, port: u16) -> Result<TcpStream, ProbeFailure> {
        let address = SocketAddr::new(self.target, port);
        let connect = async {
            let socket = match self.target {
                IpAddr::V4(_) => TcpSocket::new_v4()?,
                IpAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // Only the source address tells the redirection rules to leave the connection alone. It
            // is absent where no rules are (tests, interception mode NONE), and not needed there.
            let _ = socket.bind(SocketAddr::new(Source::passed_on(self.target), 0));
            socket.connect(address).await
        };
        connect
            .await
            .map_err(|error| ProbeFailure::Connect(address, error))
    }
}

async fn exchange_http1<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, ProbeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .handshake(TokioIo::new(stream))
        .await?;
    drop(tokio::spawn(connection)); // Ends when the answer's body is read or dropped.
    Ok(sender.send_request(request).await?)
}

async fn exchange_http2<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, ProbeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(stream))
        .await?;
    drop(tokio::spawn(connection));
    Ok(sender.send_request(request).await?)
}

/// HTTP/2 carries the authority in the URI and knows no Connection header (RFC 9113, section 8.2.2).
fn as_http2(
    mut request: Request<Full<Bytes>>,
    address: SocketAddr,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let host = request.headers_mut().remove(HOST);
    request.headers_mut().remove(CONNECTION);
    let authority = host
        .as_ref()
        .and_then(|host| host.to_str().ok())
        .map(str::to_owned);
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    *request.uri_mut() = Uri::builder()
        .scheme("https")
        .authority(authority.unwrap_or_else(|| address.to_string()))
        .path_and_query(path)
        .build()?;
    *request.version_mut() = Version::HTTP_2;
    Ok(request)
}

fn redirect_on_same_host(
    response: &Response<Incoming>,
    get: &HttpGet,
    target: IpAddr,
) -> Option<String> {
    let location: Uri = response
        .headers()
        .get(LOCATION)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    let path = location.path_and_query()?.as_str().to_owned();
    let same_host = location.authority().is_none_or(|authority| {
        let host = authority.host().trim_matches(['[', ']']);
        host.parse() == Ok(target) || get.host.as_deref() == Some(host)
    });
    let same_port = location.port_u16().is_none_or(|port| port == get.port);
    (same_host && same_port).then_some(path)
}

async fn limited(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let mut kept = BytesMut::new();
    let mut body = body;
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            let room = BODY_LIMIT - kept.len();
            kept.extend_from_slice(data.get(..room).unwrap_or(data));
        }
        if kept.len() == BODY_LIMIT {
            break;
        }
    }
    let mut answer = Answer::new(Full::new(kept.freeze()));
    *answer.status_mut() = parts.status;
    if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
        answer.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    answer
}

fn grpc_status(headers: &HeaderMap) -> Option<String> {
    headers
        .get("grpc-status")
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Length-prefixed message: one byte that says "not compressed" and four of length.
fn grpc_frame(message: &HealthCheckRequest) -> Bytes {
    let encoded = message.encode_to_vec();
    let mut frame = BytesMut::with_capacity(encoded.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(encoded.len()).unwrap_or(u32::MAX));
    frame.put_slice(&encoded);
    frame.freeze()
}

fn serving_status(body: &[u8]) -> Option<i32> {
    HealthCheckResponse::decode(body.get(5..)?)
        .ok()
        .map(|response| response.status)
}

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The answer to the kubelet for a probe that failed.
pub(crate) fn failure(error: &ProbeFailure) -> Answer {
    let mut answer = Answer::new(Full::from(format!("{error}\n")));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer
}
