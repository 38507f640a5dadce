//! Serves an application over HTTP/1.1 and HTTP/2 until the process is told to end.

mod encrypted;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::encrypted::Encrypted;

/// How long open requests may finish after the process was told to end.
const GRACE: Duration = Duration::from_secs(1);

/// Both ends of the connection a request came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// Who connected.
    pub(crate) peer: SocketAddr,
    /// Where they connected to.
    pub(crate) local: SocketAddr,
}

impl Connected<IncomingStream<'_, Immediate>> for Ends {
    fn connect_info(stream: IncomingStream<'_, Immediate>) -> Self {
        *stream.remote_addr()
    }
}

impl Connected<IncomingStream<'_, Encrypted>> for Ends {
    fn connect_info(stream: IncomingStream<'_, Encrypted>) -> Self {
        *stream.remote_addr()
    }
}

/// Accepts connections that send small answers at once.
struct Immediate(TcpListener);

impl Listener for Immediate {
    type Io = TcpStream;
    type Addr = Ends;

    async fn accept(&mut self) -> (TcpStream, Ends) {
        loop {
            let (connection, peer) = Listener::accept(&mut self.0).await;
            let local = connection
                .set_nodelay(true)
                .and_then(|()| connection.local_addr());
            match local {
                Ok(local) => return (connection, Ends { peer, local }),
                Err(error) => tracing::debug!(%error, "A connection was gone at once."),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Ends> {
        self.0.local_addr().map(|local| Ends { peer: local, local })
    }
}

/// A token that is cancelled by SIGTERM or SIGINT.
pub(crate) fn stop_on_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        told.cancel();
    });
    Ok(stop)
}

/// Where to listen: one address, or every address of both families where there are two.
pub(crate) async fn listen(bind: Option<IpAddr>, port: u16) -> anyhow::Result<TcpListener> {
    let listener = match bind {
        Some(address) => TcpListener::bind((address, port)).await,
        None => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
        },
    };
    listener.with_context(|| format!("cannot listen on TCP port {port}"))
}

/// Serves an application until `stop`, and then for as long as open requests need, at most a second.
pub(crate) async fn serve(
    listener: TcpListener,
    application: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "Serving HTTP.");
    serve_on(Immediate(listener), application, stop).await
}

/// As [`serve`], over TLS with a certificate that nobody vouches for.
pub(crate) async fn serve_tls(
    listener: TcpListener,
    application: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "Serving HTTPS.");
    let listener = Encrypted::new(Immediate(listener))?;
    serve_on(listener, application, stop).await
}

async fn serve_on<L>(
    listener: L,
    application: Router,
    stop: CancellationToken,
) -> anyhow::Result<()>
where
    L: Listener<Addr = Ends>,
    Ends: for<'a> Connected<IncomingStream<'a, L>>,
{
    let service = application.into_make_service_with_connect_info::<Ends>();
    let serving = axum::serve(listener, service)
        .with_graceful_shutdown(stop.clone().cancelled_owned())
        .into_future();
    let deadline = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving => served.context("cannot serve HTTP"),
        () = deadline => Ok(()),
    }
}

/// The name of this pod, or of this machine.
pub(crate) fn pod_name() -> String {
    let from_environment = ["POD_NAME", "HOSTNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    from_environment
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}
