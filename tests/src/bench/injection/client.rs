//! One connection of an API server to the admission server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval};
use tokio_rustls::TlsConnector;

use crate::bench::offline::SERVER_NAME;

/// What an API server asks, laid out for people.
const REVIEW: &str = include_str!("review.json");

/// A kept connection.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    /// What is asked, as an API server writes it: without a space.
    review: Bytes,
}

/// When enough was asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// Then.
    At(Instant),
    /// After so many admissions.
    After(usize),
}

impl End {
    /// The share of each of so many clients.
    pub(super) const fn of_each(self, clients: u32) -> Self {
        match self {
            Self::At(_) => self,
            Self::After(admissions) => Self::After(admissions / clients as usize),
        }
    }

    fn is_reached(self, admissions: usize) -> bool {
        match self {
            Self::At(end) => Instant::now() >= end,
            Self::After(enough) => admissions >= enough,
        }
    }
}

impl Client {
    pub(super) async fn connect(address: SocketAddr, roots: &RootCertStore) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(SERVER_NAME)?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let review: serde_json::Value = serde_json::from_str(REVIEW)?;
        let review = Bytes::from(review.to_string());
        Ok(Self { sender, review })
    }

    /// Asks again and again, at the ticks if there are any; the answer is how long each admission took.
    pub(super) async fn ask(
        mut self,
        mut ticks: Option<Interval>,
        end: End,
    ) -> Result<(Self, Vec<Duration>)> {
        let mut times = Vec::new();
        while !end.is_reached(times.len()) {
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            let start = Instant::now();
            self.admit().await?;
            times.push(start.elapsed());
        }
        Ok((self, times))
    }

    async fn admit(&mut self) -> Result<()> {
        let request = Request::post("/inject")
            .header("host", SERVER_NAME)
            .header("content-type", "application/json")
            .body(Full::from(self.review.clone()))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        let answer = std::str::from_utf8(&answer)?;
        ensure!(
            status.is_success() && answer.contains(r#""patchType":"JSONPatch""#),
            "the injector answered {status}: {answer}"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_review_is_of_a_pod() {
        let review: serde_json::Value = serde_json::from_str(REVIEW).unwrap();
        assert_eq!(review["request"]["object"]["kind"], "Pod");
    }

    #[test]
    fn enough_is_shared_among_clients() {
        let end = End::After(100_000).of_each(4);
        assert!(!end.is_reached(24_999) && end.is_reached(25_000));
    }
}
