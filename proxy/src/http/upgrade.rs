//! Requests that become something else: WebSocket and other upgrades (RFC 9110, section 7.8) and
//! CONNECT.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::exchange::Exchange;
use super::response_body::ResponseBody;
use crate::drain::ActiveConnection;
use crate::net::{NoCounts, relay};

/// What a request asks to become.
#[derive(Debug)]
pub enum Upgrade {
    /// Another protocol, by name.
    Protocol(HeaderValue),
    /// A tunnel.
    Connect,
}

impl Upgrade {
    /// What the request asks for. An upgrade to HTTP/2 or to TLS is not: the client must do
    /// without, which both allow it to (RFC 9113, appendix B; RFC 2817, section 3).
    #[must_use]
    pub fn wanted<B>(request: &Request<B>) -> Option<Self> {
        if request.method() == Method::CONNECT {
            return Some(Self::Connect);
        }
        let protocol = request.headers().get(header::UPGRADE)?;
        let asks = request
            .headers()
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|option| option.trim().eq_ignore_ascii_case("upgrade"));
        let name = protocol.to_str().unwrap_or_default().trim();
        let ignored = name.eq_ignore_ascii_case("h2c")
            || name
                .get(..3)
                .is_some_and(|start| start.eq_ignore_ascii_case("tls"));
        (asks && !ignored).then(|| Self::Protocol(protocol.clone()))
    }

    /// Puts back the headers that are stripped hop by hop.
    pub fn restore(&self, headers: &mut HeaderMap) {
        if let Self::Protocol(name) = self {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, name.clone());
        }
    }

    /// Whether the endpoint has agreed.
    #[must_use]
    pub fn is_granted(&self, status: StatusCode) -> bool {
        match self {
            Self::Protocol(_) => status == StatusCode::SWITCHING_PROTOCOLS,
            Self::Connect => status.is_success(),
        }
    }
}

/// Carries bytes between client and endpoint once both have agreed, until either ends.
#[must_use]
pub fn splice(
    client: OnUpgrade,
    mut response: Response<Incoming>,
    mut exchange: Box<Exchange>,
    connection: Arc<ActiveConnection>,
) -> Response<ResponseBody> {
    let endpoint = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        let _connection = connection;
        match tokio::try_join!(client, endpoint) {
            Ok((client, endpoint)) => {
                let (mut client, mut endpoint) = (TokioIo::new(client), TokioIo::new(endpoint));
                relay(&mut client, &mut endpoint, &NoCounts).await;
            }
            Err(error) => tracing::debug!(%error, "An upgraded connection did not begin."),
        }
        exchange.complete();
    });
    response.map(|_| ResponseBody::empty())
}
