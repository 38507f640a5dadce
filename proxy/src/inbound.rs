//! The life of a connection to the application: who calls, what the connection carries, and on to
//! the application.
//!
//! One port takes everything (permissive mode): mesh mTLS, which is opened here; TLS of the
//! application, which is not; plain HTTP and TCP. The place of authorization is after the peer is
//! known and before the application is called.

mod beginning;
mod peer;
mod requests;
mod tcp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use self::beginning::Beginning;
use self::peer::Peer;
use self::requests::Requests;
use crate::config::Interception;
use crate::detect::{Carried, Detection};
use crate::discover::Application;
use crate::drain::{ActiveConnection, Direction, Phase};
use crate::http::{self, Ends, Version};
use crate::listen;
use crate::net::{Source, Stream, Transport};
use crate::shared::Worker;
use crate::sniff::{self, Hello, Verdict};
use crate::tls::{Alpn, peer_identity};
use crate::upstream::Endpoint;

/// The longest a peer may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The longest that a client without a sidecar may take until the header of its next HTTP/1 request
/// is whole. That includes the time it leaves the connection idle, so it is Envoy's idle timeout:
/// balancers and clients that keep connections close them earlier, and never find one closed.
const PLAIN_HEADER: Duration = Duration::from_secs(3_600);

/// A connection whose destination is known.
struct Accepted {
    worker: Arc<Worker>,
    target: SocketAddr,
    client: SocketAddr,
    application: Arc<Endpoint>,
    declared: Application,
    connection: Arc<ActiveConnection>,
}

/// How a connection turned out to begin.
struct Begun {
    stream: Stream,
    carried: Carried,
    peer: Peer,
    /// A connection to the application that is open already, since the application spoke first.
    server: Option<Stream>,
}

/// Carries one connection to its end.
pub async fn serve(worker: Arc<Worker>, stream: TcpStream, client: SocketAddr) {
    let connection = worker.shared.drain.enter(Direction::Inbound);
    let Some(target) = listen::destination(&worker.shared, &stream, client) else {
        return;
    };
    let accepted = Accepted::new(worker, target, client, connection);
    match Box::pin(accepted.begin(stream.into())).await {
        Ok(begun) => accepted.carry(begun).await,
        Err(error) => tracing::debug!(%client, %target, %error, "A connection did not begin."),
    }
}

impl Accepted {
    fn new(
        worker: Arc<Worker>,
        target: SocketAddr,
        client: SocketAddr,
        connection: ActiveConnection,
    ) -> Self {
        let own = worker.shared.discovery.own();
        let declared = own.inbound.get(&target.port()).map(|port| port.application);
        drop(own);
        let source = match worker.shared.config.listen.interception {
            Interception::Redirect => Source::Own(Source::passed_on(target.ip())),
            Interception::Tproxy => Source::InNameOf(client.ip()),
        };
        let application = worker.address(target, Some(source));
        let declared = declared.unwrap_or_default();
        let connection = Arc::new(connection);
        Self {
            worker,
            target,
            client,
            application,
            declared,
            connection,
        }
    }

    /// Envoy's name for the application's port, which people know from access logs.
    fn cluster(&self) -> String {
        format!("inbound|{}||", self.target.port())
    }

    /// Finds out who calls and what the connection carries.
    async fn begin(&self, mut stream: Stream) -> io::Result<Begun> {
        let detection = Detection::of(self.declared, self.target.port());
        let verdict = match self.wait(&mut stream, detection).await? {
            Beginning::Application(server) => {
                let peer = Peer::plain(self);
                return Ok(Begun {
                    stream,
                    carried: Carried::Opaque,
                    peer,
                    server: Some(server),
                });
            }
            Beginning::Client(verdict) => verdict,
        };
        if verdict != Verdict::Tls {
            let carried = detection.conclude(verdict);
            return Ok(Begun {
                stream,
                carried,
                peer: Peer::plain(self),
                server: None,
            });
        }
        match self.mesh_alpn(&mut stream).await? {
            None => {
                let peer = Peer::plain(self);
                Ok(Begun {
                    stream,
                    carried: Carried::Opaque,
                    peer,
                    server: None,
                })
            }
            Some(alpn) => self.begin_mesh(stream, alpn, detection).await,
        }
    }

    async fn wait(&self, stream: &mut Stream, detection: Detection) -> io::Result<Beginning> {
        beginning::wait(&self.worker, stream, &self.application, detection).await
    }

    /// What a mesh client offers; none for TLS that is the application's.
    async fn mesh_alpn(&self, stream: &mut Stream) -> io::Result<Option<Alpn>> {
        match tokio::time::timeout(HANDSHAKE, read_mesh_alpn(stream)).await {
            Ok(alpn) => alpn,
            Err(_) => {
                let counters = self.worker.shared.metrics.counters();
                counters.handshake_failures.increment();
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }

    async fn begin_mesh(
        &self,
        stream: Stream,
        alpn: Alpn,
        detection: Detection,
    ) -> io::Result<Begun> {
        let (mut stream, peer) = self.shake_hands(stream).await?;
        let mut server = None;
        let carried = match (detection, alpn) {
            (Detection::Opaque, _) => Carried::Opaque,
            (_, Alpn::Http1) => Carried::Http(Version::Http1),
            (_, Alpn::Http2) => Carried::Http(Version::Http2),
            (_, Alpn::Tcp) => match self.wait(&mut stream, detection).await? {
                Beginning::Client(verdict) => detection.conclude(verdict),
                Beginning::Application(stream) => {
                    server = Some(stream);
                    Carried::Opaque
                }
            },
        };
        Ok(Begun {
            stream,
            carried,
            peer,
            server,
        })
    }

    async fn shake_hands(&self, stream: Stream) -> io::Result<(Stream, Peer)> {
        let counters = self.worker.shared.metrics.counters();
        let issued = self.worker.shared.certificates.wait().await;
        let issued = issued.ok_or_else(|| io::Error::other("there is no certificate yet"))?;
        let acceptor = TlsAcceptor::from(issued.server_config());
        let accepted = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(accepted) => accepted,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let stream = accepted.inspect_err(|error| {
            counters.handshake_failures.increment();
            tracing::info!(client = %self.client, %error, "A peer was refused.");
        })?;
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let identity = certificate.and_then(peer_identity);
        let peer = match (certificate, identity) {
            (Some(certificate), Some(identity)) => {
                Peer::mesh(self, identity, certificate, &issued.identity)
            }
            _ => Peer::plain(self),
        };
        Ok((Stream::from(TlsStream::from(stream)), peer))
    }

    async fn carry(self, begun: Begun) {
        let Begun {
            stream,
            carried,
            peer,
            server,
        } = begun;
        match carried {
            Carried::Opaque => Box::pin(tcp::carry(&self, stream, peer, server)).await,
            Carried::Http(version) => Box::pin(self.carry_http(stream, version, peer)).await,
        }
    }

    async fn carry_http(self, stream: Stream, version: Version, peer: Peer) {
        let (client, target) = (self.client, self.target);
        let drain = self.worker.shared.drain.clone();
        // HTTP/1 clients learn from `connection: close`, so that no request is lost.
        let phase = match version {
            Version::Http1 => Phase::Closing,
            Version::Http2 => Phase::Draining,
        };
        let ends = Ends {
            drain: Some((&drain, phase)),
            header: (!peer.is_mesh()).then_some(PLAIN_HEADER),
        };
        let requests = Requests::new(self, peer, version, server_name(&stream));
        if let Err(error) = http::serve(stream, version, Arc::new(requests), ends).await {
            tracing::debug!(%client, %target, %error, "A client's connection failed.");
        }
    }
}

async fn read_mesh_alpn(stream: &mut Stream) -> io::Result<Option<Alpn>> {
    let mut bytes = BytesMut::new();
    let alpn = loop {
        if stream.read_more(&mut bytes).await? == 0 {
            break None;
        }
        match sniff::hello(&bytes) {
            Hello::More => {}
            Hello::Offers(offers) => break Alpn::of_mesh_client(&offers),
            Hello::Invalid => break None,
        }
    };
    stream.put_back(bytes);
    Ok(alpn)
}

/// The SNI the client sent.
fn server_name(stream: &Stream) -> String {
    match stream.transport() {
        Transport::Tls(tls) => match &**tls {
            TlsStream::Server(tls) => tls.get_ref().1.server_name().unwrap_or_default().to_owned(),
            TlsStream::Client(_) => String::new(),
        },
        Transport::Plain(_) => String::new(),
    }
}
