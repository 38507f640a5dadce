//! A server for tests that says who answered: HTTP/1.1, HTTP/2, gRPC and WebSocket on each HTTP
//! port, plain or over TLS, and TCP and UDP that send back what they get.

mod http;
mod transport;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::server;

pub(crate) use self::http::POD;
#[cfg(test)]
pub(crate) use self::http::router as http_router;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Port for HTTP/1.1, HTTP/2, gRPC and WebSocket; may be given many times.
    #[arg(long)]
    http: Vec<u16>,
    /// As `--http`, over TLS with a certificate that nobody vouches for; may be given many times.
    #[arg(long)]
    https: Vec<u16>,
    /// Port that sends back every byte; may be given many times.
    #[arg(long)]
    tcp: Vec<u16>,
    /// Port that speaks first: a line with the pod's name, then as `--tcp`; may be given many times.
    #[arg(long)]
    banner: Vec<u16>,
    /// Port that sends back every datagram; may be given many times.
    #[arg(long)]
    udp: Vec<u16>,
    /// The only address to listen on, such as 127.0.0.1 or ::1; unless given, every address.
    #[arg(long)]
    bind: Option<IpAddr>,
    /// End at once on SIGTERM, whatever is open.
    #[arg(long)]
    exit_on_term: bool,
    /// Name to answer with, unless it is the pod's.
    #[arg(long)]
    name: Option<String>,
}

pub(crate) async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    let name = options.name.unwrap_or_else(server::pod_name);
    let mut servers = JoinSet::new();
    for port in options.http {
        let listener = server::listen(options.bind, port).await?;
        servers.spawn(server::serve(
            listener,
            http::router(name.clone()),
            stop.clone(),
        ));
    }
    for port in options.https {
        let listener = server::listen(options.bind, port).await?;
        servers.spawn(server::serve_tls(
            listener,
            http::router(name.clone()),
            stop.clone(),
        ));
    }
    for port in options.tcp {
        let listener = server::listen(options.bind, port).await?;
        servers.spawn(transport::serve_tcp(listener, None, stop.clone()));
    }
    for port in options.banner {
        let listener = server::listen(options.bind, port).await?;
        servers.spawn(transport::serve_tcp(
            listener,
            Some(name.clone()),
            stop.clone(),
        ));
    }
    for port in options.udp {
        let socket = transport::bind_udp(options.bind, port).await?;
        servers.spawn(transport::serve_udp(socket, stop.clone()));
    }
    anyhow::ensure!(
        !servers.is_empty(),
        "no port is given; use --http, --https, --tcp, --banner or --udp"
    );
    let at_once = async {
        if options.exit_on_term {
            stop.cancelled().await
        } else {
            std::future::pending().await
        }
    };
    tokio::select! {
        () = at_once => Ok(()),
        result = all(servers) => result,
    }
}

async fn all(mut servers: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(served) = servers.join_next().await {
        served??;
    }
    Ok(())
}
