//! The other end of a connection, handed to every request that comes over it.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lateen_wire::Identity;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use x509_parser::extensions::GeneralName;

use super::door::Held;

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address it connected from; IPv4-mapped IPv6 is never here.
    pub address: IpAddr,
    certificate: Option<PeerCertificate>,
}

impl Peer {
    /// Its certificate, if it has shown one of ours that has not ended since. A connection may
    /// outlive it.
    #[must_use]
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        let certificate = self.certificate.as_ref()?;
        (certificate.end > Instant::now()).then_some(certificate)
    }
}

/// A verified workload certificate.
#[derive(Clone, Debug)]
pub struct PeerCertificate {
    /// Its only URI.
    pub identity: Identity,
    /// When it ends.
    pub end: Instant,
}

impl PeerCertificate {
    /// Reads a certificate whose chain has been verified. None when it is not a workload's.
    fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let names = &parsed.subject_alternative_name().ok()??.value.general_names;
        let [GeneralName::URI(uri)] = names.as_slice() else {
            return None;
        };
        let end = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
        let end = UNIX_EPOCH + Duration::from_secs(end);
        let life_left = end.duration_since(SystemTime::now()).unwrap_or_default();
        Some(Self {
            identity: uri.parse().ok()?,
            end: Instant::now() + life_left,
        })
    }
}

/// A connection after its handshake.
pub struct Secured {
    stream: TlsStream<Held>,
    peer: Peer,
}

impl Secured {
    /// Notes who is at the other end.
    #[must_use]
    pub fn new(stream: TlsStream<Held>, address: IpAddr) -> Self {
        let certificate = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first);
        let certificate = certificate.and_then(PeerCertificate::read);
        Self {
            stream,
            peer: Peer {
                address: address.to_canonical(),
                certificate,
            },
        }
    }
}

impl Connected for Secured {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
