//! TLS for servers of tests: with a certificate of its own, made at start, that nobody vouches for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::serve::Listener;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto};
use tokio_rustls::server::TlsStream;

use super::{Ends, Immediate};

/// The name in the certificate.
const NAME: &str = "localhost";
/// How long a client may take for its handshake, while others wait.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Accepts connections over TLS, one handshake after the other.
pub(super) struct Encrypted {
    plain: Immediate,
    acceptor: TlsAcceptor,
}

impl Encrypted {
    pub(super) fn new(plain: Immediate) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])
            .context("cannot make a certificate")?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { plain, acceptor })
    }
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = Ends;

    async fn accept(&mut self) -> (Self::Io, Ends) {
        loop {
            let (connection, ends) = self.plain.accept().await;
            match timeout(HANDSHAKE, self.acceptor.accept(connection)).await {
                Ok(Ok(stream)) => return (stream, ends),
                Ok(Err(error)) => tracing::debug!(%error, "A TLS handshake failed."),
                Err(_) => tracing::debug!("A TLS handshake took too long."),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Ends> {
        self.plain.local_addr()
    }
}
