//! A peer that shares no code with the proxy's own TLS, and is on the wire what an Istio sidecar
//! is.

use std::io;
use std::sync::Arc;

use lateen_proxy::tls::{peer_identity, provider};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::{Acceptor, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, client, server};

use super::authority::{Authority, uri};
use super::mesh::identity;

/// The SNI of a call to a service.
pub(crate) const SERVER_NAME: &str = "outbound_.9080_._.reviews.default.svc.cluster.local";
/// What a client offers when its application speaks HTTP/1.1,
pub(crate) const HTTP1: &[&str] = &["istio-http/1.1", "istio", "http/1.1"];
/// HTTP/2,
pub(crate) const HTTP2: &[&str] = &["istio-h2", "istio", "h2"];
/// or anything else.
pub(crate) const TCP: &[&str] = &["istio-peer-exchange", "istio"];

/// What a client said at the beginning.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) server_name: Option<String>,
    pub(crate) offers: Vec<String>,
}

/// Connects as the workload of that name; who the server is can be asked of the stream.
pub(crate) async fn connect(
    authority: &Authority,
    name: &str,
    offers: &[&str],
    stream: TcpStream,
) -> io::Result<client::TlsStream<TcpStream>> {
    let (chain, key) = authority.issue(uri(&identity(name)));
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AskedLater))
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.alpn_protocols = bytes(offers);
    TlsConnector::from(Arc::new(config))
        .connect(SERVER_NAME.try_into().unwrap(), stream)
        .await
}

/// The identity that the server has shown.
pub(crate) fn server_identity(stream: &client::TlsStream<TcpStream>) -> String {
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    peer_identity(&certificates[0]).unwrap().to_string()
}

/// Accepts a client with a certificate of `trusted` as the workload of that name.
pub(crate) async fn accept(
    authority: &Authority,
    trusted: &Authority,
    name: &str,
    selects: &[&str],
    stream: TcpStream,
) -> (Hello, server::TlsStream<TcpStream>) {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.root_der.clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .unwrap();
    let (chain, key) = authority.issue(uri(&identity(name)));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = bytes(selects);
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream)
        .await
        .unwrap();
    let hello = {
        let said = start.client_hello();
        Hello {
            server_name: said.server_name().map(ToOwned::to_owned),
            offers: said
                .alpn()
                .into_iter()
                .flatten()
                .map(|name| String::from_utf8(name.to_vec()).unwrap())
                .collect(),
        }
    };
    (hello, start.into_stream(Arc::new(config)).await.unwrap())
}

fn bytes(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// Takes any server: tests ask who it was.
#[derive(Debug)]
struct AskedLater;

impl ServerCertVerifier for AskedLater {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
