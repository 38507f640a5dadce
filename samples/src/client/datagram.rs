//! `client udp`: one datagram to a server that sends it back.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use tokio::net::{UdpSocket, lookup_host};

#[derive(Args)]
pub(crate) struct Options {
    /// `HOST:PORT`.
    address: String,
    /// What to send.
    #[arg(long, default_value = "hello")]
    send: String,
    /// Seconds to wait for the answer.
    #[arg(long, value_parser = super::seconds, default_value = "5")]
    timeout: Duration,
}

pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let address = lookup_host(&options.address)
        .await
        .with_context(|| format!("cannot resolve {}", options.address))?
        .next()
        .with_context(|| format!("{} has no address", options.address))?;
    match exchange(address, options.send.as_bytes(), options.timeout).await {
        Ok(answer) => {
            let good = answer == options.send.as_bytes();
            super::print(&json!({"answer": String::from_utf8_lossy(&answer)}), good)
        }
        Err(error) => super::print(&json!({"error": super::chain(&error)}), false),
    }
}

/// Sends a datagram and waits for one from the same address.
pub(super) async fn exchange(
    address: SocketAddr,
    datagram: &[u8],
    limit: Duration,
) -> anyhow::Result<Vec<u8>> {
    let local: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(address).await?;
    socket.send(datagram).await?;
    let mut answer = vec![0; 65_535];
    let length = tokio::time::timeout(limit, socket.recv(&mut answer))
        .await
        .with_context(|| format!("no answer from {address} within {limit:?}"))??;
    answer.truncate(length);
    Ok(answer)
}
