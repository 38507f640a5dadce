//! Istio's access log: one line for each request or TCP connection, in MeshConfig's
//! `accessLogFormat` or the default one, as text or JSON. Lines are written by a thread of their
//! own; when it cannot keep up they are dropped and counted, never waited for.

mod format;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use http::header::{self, HeaderName};
use http::{HeaderValue, Request, Version};
use parking_lot::Mutex;

use self::format::Format;
use crate::discover::Own;
use crate::http::headers;
use crate::metrics::{Flags, HttpKey, HttpRecord, Registry};

/// Lines that wait to be written.
const QUEUE: usize = 8_192;

/// Where lines go. Clones share it.
#[derive(Clone)]
pub struct AccessLog {
    inner: Arc<Inner>,
}

struct Inner {
    lines: SyncSender<Item>,
    waiting: Mutex<Option<Receiver<Item>>>,
    format: ArcSwapOption<Versioned>,
    metrics: Registry,
}

/// What waits for the writer.
enum Item {
    Line(String),
    /// Somebody wants to know that everything before it has been written: it is dropped then.
    Mark {
        _dropped: SyncSender<()>,
    },
}

struct Versioned {
    version: u64,
    format: Format,
}

/// What is known of a request before its end. Empty texts are printed as `-`.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// When it began.
    pub start: Option<SystemTime>,
    /// `:METHOD`.
    pub method: String,
    /// `:PATH`.
    pub path: String,
    /// `HTTP/1.1`, `HTTP/2`; empty for TCP.
    pub protocol: &'static str,
    /// `:AUTHORITY`.
    pub authority: String,
    /// `X-FORWARDED-FOR`.
    pub forwarded_for: String,
    /// `USER-AGENT`.
    pub user_agent: String,
    /// `X-REQUEST-ID`.
    pub request_id: String,
    /// The endpoint.
    pub upstream_host: Option<SocketAddr>,
    /// Envoy's name for the destination, such as `outbound|9080||reviews.default.svc.cluster.local`.
    pub upstream_cluster: String,
    /// Our end of the endpoint's connection.
    pub upstream_local: Option<SocketAddr>,
    /// The original destination.
    pub downstream_local: Option<SocketAddr>,
    /// The client.
    pub downstream_remote: Option<SocketAddr>,
    /// SNI of the client's TLS.
    pub server_name: String,
    /// The endpoint's time until its response began.
    pub service_time: Option<Duration>,
    /// Why there was no connection.
    pub transport_failure: String,
    /// Envoy's response code details.
    pub details: &'static str,
}

impl Line {
    /// What the request says of itself.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Self {
        let text = |name: HeaderName| {
            let value = request.headers().get(name).map(HeaderValue::as_bytes);
            value
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .unwrap_or_default()
        };
        let authority = match request.uri().authority() {
            Some(authority) => authority.to_string(),
            None => text(header::HOST),
        };
        Self {
            start: Some(SystemTime::now()),
            method: request.method().to_string(),
            path: request
                .uri()
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            protocol: match request.version() {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2",
                _ => "HTTP/1.1",
            },
            authority,
            forwarded_for: text(headers::FORWARDED_FOR),
            user_agent: text(header::USER_AGENT),
            request_id: text(headers::REQUEST_ID),
            ..Self::default()
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug)]
struct End {
    code: u16,
    flags: Flags,
    bytes_received: u64,
    bytes_sent: u64,
    duration: Duration,
}

impl AccessLog {
    /// A log whose lines wait for [`AccessLog::write_to`].
    #[must_use]
    pub fn new(metrics: Registry) -> Self {
        let (lines, waiting) = sync_channel(QUEUE);
        let waiting = Mutex::new(Some(waiting));
        Self {
            inner: Arc::new(Inner {
                lines,
                waiting,
                format: ArcSwapOption::empty(),
                metrics,
            }),
        }
    }

    /// Writes lines as they come, for ever; returns at once when somebody else does it.
    pub fn write_to(&self, mut output: impl Write) {
        let Some(lines) = self.inner.waiting.lock().take() else {
            return;
        };
        while let Ok(first) = lines.recv() {
            let mut batch = String::new();
            let mut marks = Vec::new();
            for item in std::iter::once(first).chain(lines.try_iter()) {
                match item {
                    Item::Line(line) => batch.push_str(&line),
                    mark => marks.push(mark),
                }
            }
            if output
                .write_all(batch.as_bytes())
                .and_then(|()| output.flush())
                .is_err()
            {
                self.inner.metrics.counters().access_log_dropped.increment();
            }
            drop(marks);
        }
    }

    /// Waits until the lines so far have been written, but no longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let (dropped, written) = sync_channel(0);
        let lines = self.inner.lines.clone();
        // The queue may be full, and the writer stuck: then this thread ends with the process.
        std::thread::spawn(move || lines.send(Item::Mark { _dropped: dropped }));
        let _ = written.recv_timeout(patience);
    }

    /// Whether lines are wanted, by the mesh's present configuration.
    #[must_use]
    pub fn is_on(&self, own: &Own) -> bool {
        if !own.mesh.access_log {
            return false;
        }
        let known = self.inner.format.load();
        if known
            .as_ref()
            .is_none_or(|known| known.version != own.version)
        {
            let versioned = Versioned {
                version: own.version,
                format: Format::new(&own.mesh),
            };
            self.inner.format.store(Some(Arc::new(versioned)));
        }
        true
    }

    /// Writes the line of a request. `body_bytes` are those of the request without its headers.
    pub fn write(&self, line: &Line, key: HttpKey, record: &HttpRecord, body_bytes: u64) {
        self.send(
            line,
            End {
                code: key.code,
                flags: key.flags,
                bytes_received: body_bytes,
                bytes_sent: record.response_bytes,
                duration: record.duration,
            },
        );
    }

    /// Writes the line of a TCP connection.
    pub fn write_tcp(
        &self,
        line: &Line,
        flags: Flags,
        received: u64,
        sent: u64,
        duration: Duration,
    ) {
        let end = End {
            code: 0,
            flags,
            bytes_received: received,
            bytes_sent: sent,
            duration,
        };
        self.send(line, end);
    }

    fn send(&self, line: &Line, end: End) {
        let known = self.inner.format.load();
        let Some(known) = known.as_ref() else { return };
        if self
            .inner
            .lines
            .try_send(Item::Line(known.format.print(line, end)))
            .is_err()
        {
            self.inner.metrics.counters().access_log_dropped.increment();
        }
    }
}
