//! Serves pages over plain HTTP/1.1, one to a connection. Nobody is waited for for long, neither to ask
//! nor to take the answer: the room behind a door is for those who come next.

use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::time::timeout;
use tracing::debug;

use super::door::{Caller, Door, Held};

/// How long a client may take for all of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves pages until the process ends, also while it is stopping.
pub async fn serve_pages(door: Door, pages: Router) {
    loop {
        let (stream, address) = door.next().await;
        let caller = Caller(address.ip().to_canonical());
        let pages = pages.clone().layer(Extension(caller));
        tokio::spawn(async move {
            match timeout(PATIENCE, converse(stream, pages)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%address, %error, "A client of our pages went early."),
                Err(_) => debug!(%address, "A client of our pages took too long and is cut off."),
            }
        });
    }
}

async fn converse(stream: Held, pages: Router) -> hyper::Result<()> {
    http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages))
        .await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::metrics::Metrics;
    use crate::serve::door::{Port, bind};

    async fn visit() -> TcpStream {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::new(listener, Port::HEALTH, Arc::new(Metrics::new()));
        let who =
            |Extension(Caller(address)): Extension<Caller>| async move { address.to_string() };
        tokio::spawn(serve_pages(door, Router::new().route("/", get(who))));
        TcpStream::connect(address).await.unwrap()
    }

    #[tokio::test]
    async fn pages_know_who_asks() {
        let mut client = visit().await;
        let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_or_half_a_request_is_cut_off() {
        for said in ["", "GET / HT"] {
            let mut client = visit().await;
            client.write_all(said.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // Ends when the server closes; how it says so does not matter.
            let _ = client.read_to_end(&mut answer).await;
            assert!(!answer.starts_with(b"HTTP/1.1 200"));
        }
    }
}
