//! Applications: one that behaves, and what others are made of.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(crate) struct App {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

type Body = BoxBody<Bytes, hyper::Error>;

impl App {
    /// An HTTP application that says its name, and more by path:
    /// `/echo` returns the body, `/headers` the request's header lines, `/grpc` a gRPC answer with
    /// trailers, `/status/N` a status, `/websocket` becomes an echo.
    pub(crate) async fn http(name: &'static str) -> Self {
        let counter = Arc::new(AtomicUsize::new(0));
        let requests = Arc::clone(&counter);
        let mut app = Self::tcp(move |stream| {
            let requests = Arc::clone(&requests);
            async move {
                serve_http(name, stream, || {
                    requests.fetch_add(1, Ordering::Relaxed);
                })
                .await;
            }
        })
        .await;
        app.requests = counter;
        app
    }

    /// An application that does with each connection what it is told.
    pub(crate) async fn tcp<F, S>(serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::tcp_at("127.0.0.1:0".parse().unwrap(), serve).await
    }

    pub(crate) async fn tcp_at<F, S>(address: SocketAddr, serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::Relaxed);
                serving.spawn(serve(stream));
            }
        });
        Self {
            address,
            requests: Arc::default(),
            connections,
            tasks,
        }
    }

    /// An application that returns every byte.
    pub(crate) async fn echo() -> Self {
        Self::tcp(|mut stream| async move {
            let (mut reader, mut writer) = stream.split();
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
            let _ = writer.shutdown().await;
        })
        .await
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Ends at once, with all its connections.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Serves HTTP of either version over a connection, and tells of each request.
pub(crate) async fn serve_http<S>(name: &'static str, stream: S, tell: impl Fn())
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        tell();
        async move { Ok::<_, Infallible>(answer(name, request).await) }
    });
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder.http1().preserve_header_case(true);
    let _ = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

async fn answer(name: &'static str, mut request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/headers" => {
            let lines: Vec<String> = request
                .headers()
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            respond(lines.join("\n"))
        }
        "/echo" => Response::new(request.into_body().boxed()),
        "/grpc" => grpc(request),
        "/websocket" => websocket(&mut request),
        _ => match path.strip_prefix("/status/") {
            Some(status) => {
                let mut response = respond(String::new());
                *response.status_mut() = StatusCode::from_bytes(status.as_bytes()).unwrap();
                response
            }
            None => respond(name.to_owned()),
        },
    }
}

fn respond(text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text))
        .map_err(|never| match never {})
        .boxed();
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert("x-app", HeaderValue::from_static("yes"));
    response
}

/// Echoes messages and ends with status 0 in trailers.
fn grpc(request: Request<Incoming>) -> Response<Body> {
    let trailers = HeaderMap::from_iter([(
        header::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let body = request.into_body();
    let stream = futures::stream::unfold((Some(body), Some(trailers)), |(body, trailers)| async {
        let mut body = body;
        if let Some(incoming) = &mut body
            && let Some(Ok(frame)) = incoming.frame().await
        {
            return Some((Ok(frame), (body, trailers)));
        }
        trailers.map(|trailers| (Ok(Frame::trailers(trailers)), (None, None)))
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(SyncStream(Box::pin(
        stream,
    )))));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    response
}

/// `BoxBody` wants `Sync`; the stream is only ever polled by one task.
struct SyncStream(
    std::pin::Pin<
        Box<dyn futures::Stream<Item = Result<Frame<Bytes>, hyper::Error>> + Send + Sync>,
    >,
);

impl futures::Stream for SyncStream {
    type Item = Result<Frame<Bytes>, hyper::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

fn websocket(request: &mut Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        let mut bytes = [0; 64];
        while let Ok(length @ 1..) = stream.read(&mut bytes).await {
            if stream.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    });
    let mut response = respond(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
}
