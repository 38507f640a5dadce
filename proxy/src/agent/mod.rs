//! The agent: what the kubelet, Prometheus and people ask a sidecar, apart from its traffic.
//!
//! | port | who asks | module |
//! |---|---|---|
//! | 15020 | kubelet (rewritten probes), Prometheus (merged metrics), hooks (drain, quit) | `status` |
//! | 15021 | kubelet: is the proxy ready | `health` |
//! | 15090 | Prometheus: the proxy's own metrics | `metrics` |
//! | 15000 on loopback | people: configuration, certificates, statistics | `admin` |
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
mod view;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdTcpListener};
use std::pin::Pin;
use std::sync::Arc;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use crate::config::AgentPorts;
use crate::drain::Callers;

pub use self::probe::{ProbeError, Probes};
pub use self::scrape::{Targets, TargetsError};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// What the agent shows of the proxy and asks of it.
pub trait Proxy: Send + Sync + 'static {
    /// What still keeps the proxy from being ready; empty when it is.
    fn pending(&self) -> Vec<String>;
    /// Appends the proxy's metrics in Prometheus' text format.
    fn write_metrics(&self, text: &mut String);
    /// Begins the gentle phase of a drain.
    fn drain(&self);
    /// Waits until callers have left the application, as far as they do.
    fn callers_leave(&self) -> Pin<Box<dyn Future<Output = Callers> + Send>>;
    /// Ends the process once it has drained.
    fn quit(&self);
    /// The mesh certificate in use, without its key: identity, serial and validity.
    fn certificates(&self) -> serde_json::Value;
    /// Everything learnt by discovery, as it is in force.
    fn discovered(&self) -> serde_json::Value;
    /// The effective configuration.
    fn configuration(&self) -> serde_json::Value;
}

/// What the agent works with.
pub struct Context {
    /// The pod's own address: where probes reach the application.
    pub pod_address: IpAddr,
    /// Probes that the injector rewrote.
    pub probes: Probes,
    /// The application's own metrics.
    pub targets: Targets,
    /// The proxy.
    pub proxy: Arc<dyn Proxy>,
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
    status: StdTcpListener,
    health: StdTcpListener,
    metrics: StdTcpListener,
    admin: StdTcpListener,
}

impl Agent {
    /// Opens the agent's ports; 0 lets the kernel choose one.
    ///
    /// # Errors
    /// When a port is taken; the message names it.
    pub fn bind(ports: AgentPorts) -> io::Result<Self> {
        Ok(Self {
            status: listen_everywhere(ports.status)?,
            health: listen_everywhere(ports.health)?,
            metrics: listen_everywhere(ports.metrics)?,
            admin: listen((Ipv4Addr::LOCALHOST, ports.admin).into())?,
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
    ///
    /// # Errors
    /// When the sockets cannot be watched by the runtime.
    pub async fn run(self, context: Context) -> io::Result<()> {
        let context = Arc::new(context);
        tokio::join!(
            status::serve(TcpListener::from_std(self.status)?, Arc::clone(&context)),
            health::serve(TcpListener::from_std(self.health)?, Arc::clone(&context)),
            metrics::serve(TcpListener::from_std(self.metrics)?, Arc::clone(&context)),
            admin::serve(TcpListener::from_std(self.admin)?, context),
        );
        Ok(())
    }
}

/// Listens on both families with one socket, or on IPv4 alone where the pod has no IPv6.
fn listen_everywhere(port: u16) -> io::Result<StdTcpListener> {
    listen((Ipv6Addr::UNSPECIFIED, port).into())
        .or_else(|_| listen((Ipv4Addr::UNSPECIFIED, port).into()))
}

fn listen(address: SocketAddr) -> io::Result<StdTcpListener> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    open().map_err(|error: io::Error| {
        let message = format!("listening on {address} for the agent: {error}");
        io::Error::new(error.kind(), message)
    })
}
