//! `client tcp`, `client websocket` and `client watch`: conversations with a server that sends back
//! what it gets, once or for a while.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::Uri;
use clap::Args;
use futures::{SinkExt as _, StreamExt as _};
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::connection::connect;

#[derive(Args)]
pub(crate) struct Options<T: Args> {
    #[command(flatten)]
    target: T,
    /// What to send.
    #[arg(long, default_value = "hello")]
    send: String,
    /// Seconds to wait for the answer.
    #[arg(long, value_parser = super::seconds, default_value = "5")]
    timeout: Duration,
}

#[derive(Args)]
pub(crate) struct TcpTarget {
    /// `HOST:PORT`.
    address: String,
    /// The server speaks first: read a line before sending.
    #[arg(long)]
    banner: bool,
}

#[derive(Args)]
pub(crate) struct WebSocketTarget {
    /// Where to open a WebSocket, such as ws://echo:8080/websocket.
    url: Uri,
}

/// Where a conversation is held.
pub(crate) trait Target {
    async fn open(&self) -> anyhow::Result<Conversation>;
}

impl Target for TcpTarget {
    async fn open(&self) -> anyhow::Result<Conversation> {
        let mut stream = BufReader::new(connect(&self.address).await?);
        let banner = if self.banner {
            Some(line(&mut stream).await?)
        } else {
            None
        };
        Ok(Conversation {
            channel: Channel::Tcp(stream),
            banner,
        })
    }
}

impl Target for WebSocketTarget {
    async fn open(&self) -> anyhow::Result<Conversation> {
        anyhow::ensure!(
            self.url.scheme_str() == Some("ws"),
            "{} does not begin with ws://",
            self.url
        );
        let host = self
            .url
            .host()
            .with_context(|| format!("{} has no host", self.url))?;
        let address = format!("{host}:{}", self.url.port_u16().unwrap_or(80));
        let stream = connect(&address).await?;
        let (socket, response) = tokio_tungstenite::client_async(self.url.clone(), stream).await?;
        let pod = response.headers().get(crate::echo::POD);
        let banner = pod.and_then(|pod| pod.to_str().ok()).map(str::to_owned);
        Ok(Conversation {
            channel: Channel::WebSocket(Box::new(socket)),
            banner,
        })
    }
}

/// An open conversation, and how the server introduced itself.
pub(crate) struct Conversation {
    channel: Channel,
    banner: Option<String>,
}

enum Channel {
    Tcp(BufReader<TcpStream>),
    WebSocket(Box<WebSocketStream<TcpStream>>),
}

impl Conversation {
    /// Sends a text and reads the answer.
    async fn exchange(&mut self, text: &str) -> anyhow::Result<String> {
        match &mut self.channel {
            Channel::Tcp(stream) => {
                stream.write_all(format!("{text}\n").as_bytes()).await?;
                line(stream).await
            }
            Channel::WebSocket(socket) => {
                socket.send(Message::text(text)).await?;
                let answer = socket
                    .next()
                    .await
                    .context("the server closed the WebSocket")??;
                Ok(answer.into_text()?.to_string())
            }
        }
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await?;
    anyhow::ensure!(read > 0, "the server closed the connection");
    Ok(line.trim_end().to_owned())
}

/// Holds one short conversation: good if what was sent comes back.
pub(super) async fn once<T: Target + Args>(options: Options<T>) -> anyhow::Result<ExitCode> {
    let talk = async {
        let mut conversation = options.target.open().await?;
        let answer = conversation.exchange(&options.send).await?;
        anyhow::Ok((conversation.banner, answer))
    };
    let timeout = options.timeout;
    match tokio::time::timeout(timeout, talk).await {
        Ok(Ok((banner, answer))) => {
            let good = answer == options.send;
            super::print(&json!({"banner": banner, "answer": answer}), good)
        }
        Ok(Err(error)) => super::print(&json!({"error": super::chain(&error)}), false),
        Err(_) => super::print(
            &json!({"error": format!("no answer within {timeout:?}")}),
            false,
        ),
    }
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
pub(crate) struct WatchOptions {
    /// Hold a TCP connection to `HOST:PORT`.
    #[arg(long, group = "target")]
    tcp: Option<String>,
    /// The TCP server speaks first: read a line before sending.
    #[arg(long, requires = "tcp")]
    banner: bool,
    /// Hold a WebSocket to this URL.
    #[arg(long, group = "target")]
    websocket: Option<Uri>,
    /// Seconds to hold it.
    #[arg(long, value_parser = super::seconds, default_value = "30")]
    duration: Duration,
    /// Seconds between messages.
    #[arg(long, value_parser = super::seconds, default_value = "1")]
    interval: Duration,
}

/// What became of a conversation that was held for a while.
#[derive(Debug, Default, Serialize)]
pub(super) struct Held {
    /// How often what was sent came back.
    pub(super) exchanges: u64,
    /// Each break with its time in seconds from the start.
    pub(super) breaks: Vec<(f64, String)>,
    /// How each server introduced itself, in order.
    pub(super) banners: Vec<String>,
}

/// Holds a conversation until the time is over or `stop`, and begins it anew when it breaks.
pub(super) async fn watch(
    options: WatchOptions,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let (duration, interval) = (options.duration, options.interval);
    let held = match (options.tcp, options.websocket) {
        (Some(address), _) => {
            hold(
                &TcpTarget {
                    address,
                    banner: options.banner,
                },
                duration,
                interval,
                &stop,
            )
            .await
        }
        (None, Some(url)) => hold(&WebSocketTarget { url }, duration, interval, &stop).await,
        (None, None) => anyhow::bail!("neither --tcp nor --websocket is given"),
    };
    let good = held.breaks.is_empty() && held.exchanges > 0;
    super::print(&held, good)
}

pub(super) async fn hold(
    target: &impl Target,
    duration: Duration,
    interval: Duration,
    stop: &CancellationToken,
) -> Held {
    let mut held = Held::default();
    let start = Instant::now();
    let over = async {
        tokio::select! {
            () = stop.cancelled() => (),
            () = tokio::time::sleep(duration) => (),
        }
    };
    let hold = async {
        loop {
            let reason = talk(target, interval, &mut held).await;
            held.breaks
                .push((start.elapsed().as_secs_f64(), super::chain(&reason)));
            tokio::time::sleep(interval).await;
        }
    };
    tokio::select! {
        () = over => held,
        never = hold => never,
    }
}

/// Talks until the conversation breaks; why it did.
async fn talk(target: &impl Target, interval: Duration, held: &mut Held) -> anyhow::Error {
    const LIMIT: Duration = Duration::from_secs(10);
    let mut conversation = match target.open().await {
        Ok(conversation) => conversation,
        Err(error) => return error,
    };
    held.banners.extend(conversation.banner.take());
    loop {
        let text = format!("message {}", held.exchanges);
        match tokio::time::timeout(LIMIT, conversation.exchange(&text)).await {
            Ok(Ok(answer)) if answer == text => held.exchanges += 1,
            Ok(Ok(answer)) => return anyhow::anyhow!("sent {text:?} and got {answer:?}"),
            Ok(Err(error)) => return error,
            Err(_) => return anyhow::anyhow!("no answer within {LIMIT:?}"),
        }
        tokio::time::sleep(interval).await;
    }
}
