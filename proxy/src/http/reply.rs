//! What the proxy answers itself, as Envoy words it; for gRPC the same as a gRPC status.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::exchange::Exchange;
use super::grpc;
use super::response_body::ResponseBody;
use super::send::{Failure, FailureKind};
use crate::metrics::Flag;

/// An answer of the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// For people who read the response.
    pub body: String,
    /// Response flag.
    pub flag: Option<Flag>,
    /// Response code details of the access log.
    pub details: &'static str,
}

impl Reply {
    /// The request makes no sense.
    #[must_use]
    pub fn bad_request(reason: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            body: reason.to_owned(),
            flag: Some(Flag::DownstreamProtocolError),
            details: "http1.codec_error",
        }
    }

    /// The service has no endpoints.
    #[must_use]
    pub fn no_healthy_upstream() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            body: "no healthy upstream".to_owned(),
            flag: Some(Flag::NoHealthyUpstream),
            details: "no_healthy_upstream",
        }
    }

    /// The destination is a service's, but control cannot be asked for its endpoints.
    #[must_use]
    pub fn unknown_service() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            body: "the destination is not known and control cannot be asked".to_owned(),
            flag: Some(Flag::NoCluster),
            details: "cluster_not_found",
        }
    }

    /// `outboundTrafficPolicy: REGISTRY_ONLY` and a destination outside the mesh.
    #[must_use]
    pub fn blocked() -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            body: String::new(),
            flag: None,
            details: "direct_response",
        }
    }

    /// No response from any endpoint.
    #[must_use]
    pub fn failed(failure: &Failure) -> Self {
        let mut body = format!(
            "upstream connect error or disconnect/reset before headers. reset reason: {}",
            failure.kind.reason()
        );
        if failure.kind == FailureKind::Connect {
            body.push_str(", transport failure reason: ");
            body.push_str(&failure.detail);
        }
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            body,
            flag: Some(failure.kind.flag()),
            details: match failure.kind {
                FailureKind::Connect => {
                    "upstream_reset_before_response_started{connection_failure}"
                }
                FailureKind::Unsent | FailureKind::Closed => {
                    "upstream_reset_before_response_started{connection_termination}"
                }
                FailureKind::Refused | FailureKind::Reset => {
                    "upstream_reset_before_response_started{remote_reset}"
                }
                FailureKind::Protocol => "upstream_reset_before_response_started{protocol_error}",
            },
        }
    }

    /// Makes the response and records it.
    #[must_use]
    pub fn respond(self, mut exchange: Box<Exchange>) -> Response<ResponseBody> {
        let mut response = Response::new(());
        if exchange.is_grpc() {
            let status = grpc::status_of_http(self.status.as_u16());
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/grpc"),
            );
            headers.insert("grpc-status", HeaderValue::from(status));
            if let Ok(message) = HeaderValue::try_from(percent_encode(&self.body)) {
                headers.insert("grpc-message", message);
            }
        } else {
            *response.status_mut() = self.status;
            if !self.body.is_empty() {
                response
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            }
        }
        exchange.replied(&response, self.flag, self.details);
        let body = if exchange.is_grpc() {
            Bytes::new()
        } else {
            Bytes::from(self.body)
        };
        response.map(|()| ResponseBody::own(body, exchange))
    }
}

/// gRPC over HTTP/2, "Status-Message".
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
