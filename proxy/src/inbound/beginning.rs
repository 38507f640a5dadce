//! Who speaks first. A client that is silent for a moment may wait for the application to speak,
//! as in SMTP or MySQL; so the application is called meanwhile, and whoever speaks first tells
//! what the connection carries.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use crate::detect::first_bytes;
use crate::net::Stream;
use crate::shared::Worker;
use crate::sniff::{self, Verdict};
use crate::tls::Alpn;
use crate::upstream::Endpoint;

/// A client that has not spoken by then may be waiting; most have, and cost no connection.
const PATIENCE: Duration = Duration::from_millis(50);

/// Who spoke first.
pub(super) enum Beginning {
    /// The client, and what its first bytes say.
    Client(Verdict),
    /// The application, over this connection.
    Application(Stream),
}

/// Waits for the first bytes of either side. A client that is silent for longer than an explicit
/// `protocolDetectionTimeout` is taken for TCP.
pub(super) async fn wait(
    worker: &Worker,
    client: &mut Stream,
    application: &Arc<Endpoint>,
) -> io::Result<Beginning> {
    let mut bytes = BytesMut::new();
    let beginning = match tokio::time::timeout(PATIENCE, client.read_more(&mut bytes)).await {
        Ok(read) => {
            read?;
            Beginning::Client(rest(worker, client, &mut bytes).await?)
        }
        Err(_) => Box::pin(race(worker, client, &mut bytes, application)).await?,
    };
    client.put_back(bytes);
    Ok(beginning)
}

async fn race(
    worker: &Worker,
    client: &mut Stream,
    bytes: &mut BytesMut,
    application: &Arc<Endpoint>,
) -> io::Result<Beginning> {
    // A client of an application that cannot be called may still speak: it gets its answer then.
    let server = worker.connect(application, Alpn::Tcp).await.ok();
    let server_speaks = async {
        match &server {
            Some(server) if speaks(server).await => {}
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        read = client.read_more(bytes) => { read?; }
        () = server_speaks => {
            if let Some(server) = server {
                return Ok(Beginning::Application(server));
            }
        }
        () = limit(worker) => return Ok(Beginning::Client(Verdict::Opaque)),
    }
    rest(worker, client, bytes).await.map(Beginning::Client)
}

/// Waits for the application's first byte; false when it closes without any.
async fn speaks(server: &Stream) -> bool {
    matches!(server.socket().peek(&mut [0]).await, Ok(1..))
}

/// The rest of what is needed to decide, once the client has begun.
async fn rest(worker: &Worker, client: &mut Stream, bytes: &mut BytesMut) -> io::Result<Verdict> {
    let verdict = sniff::protocol(bytes);
    if verdict != Verdict::More || bytes.is_empty() {
        return Ok(verdict);
    }
    tokio::select! {
        verdict = first_bytes(client, bytes) => verdict,
        () = limit(worker) => Ok(Verdict::Opaque),
    }
}

async fn limit(worker: &Worker) {
    let limit = worker.shared.discovery.own().mesh.detection_timeout;
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
