//! One request and its response, from the first header to the last byte: what is counted, and
//! what becomes a record when it ends, in whichever way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use tokio::time::Instant;

use super::grpc::{self, MessageCounter};
use super::headers;
use super::request_body::Source;
use crate::access_log::{AccessLog, Line};
use crate::drain::RequestInHand;
use crate::metrics::{Flag, Flags, HttpKey, HttpRecord, RequestProtocol, Telemetry};
use crate::upstream::ActiveRequest;

/// Takes the record of a finished request.
pub trait Record: Send + Sync {
    /// Counts it.
    fn record(self: Arc<Self>, key: HttpKey, record: HttpRecord);
}

/// One request and its response. Recorded when it is completed, or when it is dropped, which means
/// that the client went away.
pub struct Exchange {
    started: Instant,
    recorder: Option<Arc<dyn Record>>,
    request: Source,
    request_head: u64,
    response_bytes: u64,
    response_messages: Option<MessageCounter>,
    key: HttpKey,
    active: Option<ActiveRequest>,
    in_hand: Option<RequestInHand>,
    log: Option<(AccessLog, Box<Line>)>,
    recorded: bool,
}

impl Exchange {
    /// A request has arrived.
    #[must_use]
    pub fn begin<B>(request: &Request<B>) -> Box<Self> {
        let is_grpc = grpc::is_grpc(request.headers());
        Box::new(Self {
            started: Instant::now(),
            recorder: None,
            request: Source::empty(),
            request_head: headers::count_request(request),
            response_bytes: 0,
            response_messages: is_grpc.then(MessageCounter::default),
            key: HttpKey {
                protocol: if is_grpc {
                    RequestProtocol::Grpc
                } else {
                    RequestProtocol::Http
                },
                code: 0,
                grpc_status: None,
                flags: Flags::NONE,
            },
            active: None,
            in_hand: None,
            log: None,
            recorded: false,
        })
    }

    /// Writes a line of the access log at the end.
    pub fn log_to(&mut self, log: AccessLog, line: Box<Line>) {
        self.log = Some((log, line));
    }

    /// The line of the access log, if there will be one.
    pub fn line(&mut self) -> Option<&mut Line> {
        self.log.as_mut().map(|(_, line)| &mut **line)
    }

    /// The request's body, which counts itself.
    pub fn set_request(&mut self, request: Source) {
        self.request = request;
    }

    /// Who takes the record.
    pub fn set_recorder(&mut self, recorder: Arc<dyn Record>) {
        self.recorder = Some(recorder);
    }

    /// The drain counts the request as in hand until the end.
    pub fn set_in_hand(&mut self, in_hand: RequestInHand) {
        self.in_hand = Some(in_hand);
    }

    /// The request has become a stream that may last for ever: it is not waited for.
    pub fn release_in_hand(&mut self) {
        self.in_hand = None;
    }

    /// The endpoint counts the request as active until the end.
    pub fn set_active(&mut self, active: ActiveRequest) {
        self.active = Some(active);
    }

    /// Whether the request is gRPC.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.key.protocol == RequestProtocol::Grpc
    }

    /// Time since the request arrived.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// One more flag.
    pub fn flag(&mut self, flag: Flag) {
        self.key.flags = self.key.flags.with(flag);
    }

    /// The response of an endpoint begins.
    pub fn responded<B>(&mut self, response: &Response<B>) {
        self.response_head(response);
        if let Some(line) = self.line() {
            line.details = "via_upstream";
        }
    }

    /// The proxy answers itself.
    pub fn replied<B>(
        &mut self,
        response: &Response<B>,
        flag: Option<Flag>,
        details: &'static str,
    ) {
        if let Some(flag) = flag {
            self.flag(flag);
        }
        if let Some(line) = self.line() {
            line.details = details;
        }
        self.response_head(response);
    }

    fn response_head<B>(&mut self, response: &Response<B>) {
        self.key.code = response.status().as_u16();
        self.response_bytes += headers::count_response(response);
        if self.is_grpc() {
            self.key.grpc_status = grpc::status(response.headers());
        }
    }

    /// A piece of the response passes.
    pub(super) fn pass(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.response_bytes += data.len() as u64;
            if let Some(counter) = &mut self.response_messages {
                counter.count(data);
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            self.response_bytes += headers::count_head(trailers);
            if self.is_grpc() {
                self.key.grpc_status = grpc::status(trailers).or(self.key.grpc_status);
            }
        }
    }

    /// The response broke off on the endpoint's side.
    pub(super) fn broken_upstream(&mut self, error: &hyper::Error) {
        tracing::debug!(%error, "A response broke off.");
        self.flag(Flag::UpstreamConnectionTermination);
        self.record();
    }

    /// The response is complete.
    pub fn complete(&mut self) {
        self.record();
    }

    fn record(&mut self) {
        self.recorded = true;
        self.active = None;
        self.in_hand = None;
        let (request_body, request_messages) = self.request.counts();
        if self.is_grpc() && self.key.grpc_status.is_none() && self.key.code != 0 {
            let mapped = match StatusCode::from_u16(self.key.code) {
                Ok(StatusCode::OK) | Err(_) => 2,
                Ok(status) => grpc::status_of_http(status.as_u16()),
            };
            self.key.grpc_status = Some(mapped);
        }
        let record = HttpRecord {
            duration: self.started.elapsed(),
            request_bytes: self.request_head + request_body,
            response_bytes: self.response_bytes,
            request_messages,
            response_messages: self.response_messages.map_or(0, |counter| counter.messages),
        };
        if let Some((log, line)) = self.log.take() {
            log.write(&line, self.key, &record, request_body);
        }
        if let Some(recorder) = self.recorder.take() {
            recorder.record(self.key, record);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.recorded {
            self.flag(Flag::DownstreamConnectionTermination);
            self.record();
        }
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Exchange")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Record for Telemetry {
    fn record(self: Arc<Self>, key: HttpKey, record: HttpRecord) {
        self.count(key, &record);
    }
}
