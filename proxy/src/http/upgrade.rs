//! Requests that become something else: WebSocket and other upgrades (RFC 9110, section 7.8) and
//! CONNECT.

use std::sync::Arc;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
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
    /// One of these protocols, best first.
    Protocols(HeaderValue),
    /// A tunnel.
    Connect,
}

impl Upgrade {
    /// What the request asks for. An upgrade to HTTP/2 or to TLS is not passed on: the client must
    /// do without, which both allow it to (RFC 9113, appendix B; RFC 2817, section 3).
    #[must_use]
    pub fn wanted<B>(request: &Request<B>) -> Option<Self> {
        if request.method() == Method::CONNECT {
            return Some(Self::Connect);
        }
        let asks = list(request.headers(), &header::CONNECTION)
            .any(|option| option.eq_ignore_ascii_case("upgrade"));
        let protocols: Vec<&str> = list(request.headers(), &header::UPGRADE)
            .filter(|name| can_be_spoken(name))
            .collect();
        if !asks || protocols.is_empty() {
            return None;
        }
        let protocols = HeaderValue::try_from(protocols.join(", ")).ok()?;
        Some(Self::Protocols(protocols))
    }

    /// Puts back the headers that are stripped hop by hop.
    pub fn restore(&self, headers: &mut HeaderMap) {
        if let Self::Protocols(names) = self {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, names.clone());
        }
    }

    /// Whether the endpoint has agreed.
    #[must_use]
    pub fn is_granted(&self, status: StatusCode) -> bool {
        match self {
            Self::Protocols(_) => status == StatusCode::SWITCHING_PROTOCOLS,
            Self::Connect => status.is_success(),
        }
    }
}

/// The elements of a header that is a list (RFC 9110, section 5.6.1).
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|element| !element.is_empty())
}

fn can_be_spoken(protocol: &str) -> bool {
    let is_tls = protocol
        .get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("tls"));
    !is_tls && !protocol.eq_ignore_ascii_case("h2c")
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
