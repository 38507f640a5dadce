//! The agent: what the kubelet, Prometheus and people ask a sidecar, apart from its traffic.
//!
//! | port | who asks | module |
//! |---|---|---|
//! | 15020 | kubelet (rewritten probes), Prometheus (merged metrics), hooks (drain, quit) | [`status`] |
//! | 15021 | kubelet: is the proxy ready | [`health`] |
//! | 15090 | Prometheus: the proxy's own metrics | [`metrics`] |
//! | 15000 on loopback | people: configuration, certificates, statistics | [`admin`] |
//!
//! It runs on its own thread, so that a scrape never delays a request.

mod admin;
pub mod command;
mod health;
mod metrics;
pub mod probe;
mod prober;
mod scrape;
mod server;
mod status;
mod unverified;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};

pub use self::probe::Probes;
pub use self::scrape::Targets;

/// What the agent shows of the proxy and asks of it.
pub trait Proxy: Send + Sync + 'static {
    /// What still keeps the proxy from being ready; empty when it is.
    fn pending(&self) -> Vec<String>;
    /// Appends the proxy's metrics in Prometheus' text format.
    fn write_metrics(&self, text: &mut String);
    /// Begins the gentle phase of a drain.
    fn drain(&self);
    /// Ends the process once it has drained.
    fn quit(&self);
    /// The mesh certificate in use, without its key: identity, serial and validity.
    fn certificates(&self) -> serde_json::Value;
    /// Everything learnt by discovery, as it is in force.
    fn discovered(&self) -> serde_json::Value;
    /// The effective configuration.
    fn configuration(&self) -> serde_json::Value;
}

/// What the agent is told at the start.
pub struct Context {
    /// The pod's own address: where probes reach the application.
    pub pod_address: IpAddr,
    /// Ports to listen on.
    pub ports: Ports,
    /// Probes that the injector rewrote.
    pub probes: Probes,
    /// The application's own metrics.
    pub targets: Targets,
    /// The proxy.
    pub proxy: Arc<dyn Proxy>,
}

/// The agent's ports; 0 lets the kernel choose (tests).
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Status, probes and merged metrics (15020).
    pub status: u16,
    /// Readiness (15021).
    pub health: u16,
    /// The proxy's metrics (15090).
    pub metrics: u16,
    /// Admin on loopback (15000).
    pub admin: u16,
}

/// Where the agent listens, with the ports that the kernel chose.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Status, probes and merged metrics.
    pub status: SocketAddr,
    /// Readiness.
    pub health: SocketAddr,
    /// The proxy's metrics.
    pub metrics: SocketAddr,
    /// Admin.
    pub admin: SocketAddr,
}

/// The agent with its sockets open: whoever holds one knows that the ports are free.
pub struct Agent {
    context: Context,
    status: TcpListener,
    health: TcpListener,
    metrics: TcpListener,
    admin: TcpListener,
}

impl Agent {
    /// Opens the agent's ports.
    ///
    /// # Errors
    /// When a port is taken; the message names it.
    pub fn bind(context: Context) -> io::Result<Self> {
        let ports = context.ports;
        Ok(Self {
            status: listen_everywhere(ports.status)?,
            health: listen_everywhere(ports.health)?,
            metrics: listen_everywhere(ports.metrics)?,
            admin: listen((Ipv4Addr::LOCALHOST, ports.admin).into())?,
            context,
        })
    }

    /// Where the agent listens.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            status: self.status.local_addr()?,
            health: self.health.local_addr()?,
            metrics: self.metrics.local_addr()?,
            admin: self.admin.local_addr()?,
        })
    }

    /// Serves all ports until the process ends.
    pub async fn run(self) {
        let context = Arc::new(self.context);
        tokio::join!(
            status::serve(self.status, Arc::clone(&context)),
            health::serve(self.health, Arc::clone(&context)),
            metrics::serve(self.metrics, Arc::clone(&context)),
            admin::serve(self.admin, context),
        );
    }
}

/// Listens on both families with one socket, or on IPv4 alone where the pod has no IPv6.
fn listen_everywhere(port: u16) -> io::Result<TcpListener> {
    listen((Ipv6Addr::UNSPECIFIED, port).into())
        .or_else(|_| listen((Ipv4Addr::UNSPECIFIED, port).into()))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let open = || {
        let socket = if address.is_ipv6() {
            TcpSocket::new_v6()?
        } else {
            TcpSocket::new_v4()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(128)
    };
    open().map_err(|error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("Listening on {address} for the agent: {error}"),
        )
    })
}
