//! A client for tests: it sends requests of every protocol, prints what came back as JSON, and ends
//! with exit code 1 when anything failed.

mod connection;
mod datagram;
mod dns;
mod get;
mod http;
mod kube_watch;
mod report;
mod stream;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends one HTTP request and prints the body of the answer.
    Get(get::Options),
    /// Sends HTTP/1.1, HTTP/2 or gRPC requests and counts what comes back.
    Http(http::Options),
    /// Connects, reads a banner if asked to, sends a line and reads it back.
    Tcp(stream::Options<stream::TcpTarget>),
    /// Sends a datagram and reads it back.
    Udp(datagram::Options),
    /// Asks a DNS server for the addresses of a name.
    Dns(dns::Options),
    /// Opens a WebSocket, sends a message and reads it back.
    Websocket(stream::Options<stream::WebSocketTarget>),
    /// Holds a TCP connection or a WebSocket and reports when it breaks.
    Watch(stream::WatchOptions),
    /// Reads from the Kubernetes API with the pod's token and holds a watch.
    KubeWatch(kube_watch::Options),
}

pub(crate) async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    match options.command {
        Command::Get(options) => get::run(options).await,
        Command::Http(options) => http::run(options, stop).await,
        Command::Tcp(options) => stream::once(options).await,
        Command::Udp(options) => datagram::run(options).await,
        Command::Dns(options) => dns::run(options).await,
        Command::Websocket(options) => stream::once(options).await,
        Command::Watch(options) => stream::watch(options, stop).await,
        Command::KubeWatch(options) => kube_watch::run(options).await,
    }
}

/// Prints a result as one line of JSON; exit code 1 unless it is good.
fn print(result: &impl Serialize, good: bool) -> anyhow::Result<ExitCode> {
    let line = serde_json::to_string(result)?;
    writeln!(std::io::stdout(), "{line}")?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Reads a number of seconds, such as `0.5`, from the command line.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .trim_end_matches('s')
        .parse()
        .map_err(|_| "not a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// An error with its causes in one line.
fn chain(error: &anyhow::Error) -> String {
    format!("{error:#}")
}
