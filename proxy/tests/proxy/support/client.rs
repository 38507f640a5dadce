//! Clients: HTTP/1 written by hand, so that tests see every byte, and HTTP/2 by hyper.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::soon;

/// A response as it came over the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status line and headers.
    pub(crate) head: String,
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value; names without regard to case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A keep-alive connection.
pub(crate) struct Http1<S = TcpStream> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http1<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await
    }

    pub(crate) async fn post(&mut self, host: &str, path: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    /// Sends bytes and reads one response.
    pub(crate) async fn send(&mut self, text: &str) -> Answer {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.read(!text.starts_with("HEAD")).await
    }

    pub(crate) async fn read(&mut self, has_body: bool) -> Answer {
        soon("a response", self.read_answer(has_body)).await
    }

    async fn read_answer(&mut self, has_body: bool) -> Answer {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            self.more()
                .await
                .expect("the response's header ended early");
        };
        let head = String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer {
            head,
            status,
            body: String::new(),
        };
        if has_body && status >= 200 && !matches!(status, 204 | 304) {
            answer.body = self.read_body(&answer).await;
        }
        answer
    }

    async fn read_body(&mut self, answer: &Answer) -> String {
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().unwrap();
            while self.buffer.len() < length {
                self.more().await.expect("the response's body ended early");
            }
            return String::from_utf8(self.buffer.drain(..length).collect()).unwrap();
        }
        if answer.header("transfer-encoding").is_some() {
            return self.read_chunks().await;
        }
        while self.more().await.is_some() {}
        String::from_utf8(std::mem::take(&mut self.buffer)).unwrap()
    }

    /// Chunks without their framing; trailers stay at the end, one a line.
    async fn read_chunks(&mut self) -> String {
        let mut body = Vec::new();
        loop {
            let line = self.line().await;
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            if length == 0 {
                break;
            }
            while self.buffer.len() < length + 2 {
                self.more().await.expect("a chunk ended early");
            }
            body.extend(self.buffer.drain(..length));
            self.buffer.drain(..2);
        }
        loop {
            let line = self.line().await;
            if line == "\r\n" {
                return String::from_utf8(body).unwrap();
            }
            body.extend(line.trim_end().bytes());
        }
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                return String::from_utf8(self.buffer.drain(..end + 2).collect()).unwrap();
            }
            self.more().await.expect("a line ended early");
        }
    }

    async fn more(&mut self) -> Option<usize> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => None,
            Ok(length) => Some(length),
        }
    }

    /// Waits for the end of the connection.
    pub(crate) async fn closed(&mut self) {
        soon("the end of the connection", async {
            while self.more().await.is_some() {}
        })
        .await;
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

pub(crate) type Body = BoxBody<Bytes, std::convert::Infallible>;

pub(crate) async fn http2<S>(stream: S) -> http2::SendRequest<Body>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// Sends a request over HTTP/2 and reads the whole response.
pub(crate) async fn exchange(
    sender: &mut http2::SendRequest<Body>,
    request: Request<Body>,
) -> (Response<()>, Bytes, Option<HeaderMap>) {
    let response = soon("a response", sender.send_request(request))
        .await
        .unwrap();
    let (parts, body): (_, Incoming) = response.into_parts();
    let collected = soon("a body", body.collect()).await.unwrap();
    let trailers = collected.trailers().cloned();
    (
        Response::from_parts(parts, ()),
        collected.to_bytes(),
        trailers,
    )
}
