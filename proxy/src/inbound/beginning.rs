//! Who speaks first. A client that is silent for a moment may wait for the application to speak,
//! as in SMTP or MySQL; so the application is called meanwhile, and whoever speaks first tells
//! what the connection carries.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use crate::detect::{Detection, first_bytes};
use crate::net::Stream;
use crate::shared::Worker;
use crate::sniff::Verdict;
use crate::tls::Alpn;
use crate::upstream::Endpoint;

/// A client that has not spoken by then may be waiting; most have, and cost no connection.
const PATIENCE: Duration = Duration::from_millis(50);
/// A client that has begun to speak must have said what it speaks within this time, unless
/// `protocolDetectionTimeout` is set.
const TRICKLE: Duration = Duration::from_secs(5);
/// The first byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 22;

/// Who spoke first.
pub(super) enum Beginning {
    /// The client, and what its first bytes say.
    Client(Verdict),
    /// The application, over this connection: by its first byte, or by ending it.
    Application(Stream),
}

/// Who made the first move.
enum First {
    Client,
    Application(Stream),
    Nobody,
}

/// Waits for the first bytes of either side. A client that is silent for longer than an explicit
/// `protocolDetectionTimeout` is taken for TCP.
pub(super) async fn wait(
    worker: &Worker,
    client: &mut Stream,
    application: &Arc<Endpoint>,
    detection: Detection,
) -> io::Result<Beginning> {
    let mut bytes = BytesMut::new();
    let first = match tokio::time::timeout(PATIENCE, client.read_more(&mut bytes)).await {
        Ok(read) => {
            read?;
            First::Client
        }
        // In HTTP the client speaks first: there is nobody else to wait for.
        Err(_) if detection == Detection::Http => {
            client.read_more(&mut bytes).await?;
            First::Client
        }
        Err(_) => Box::pin(race(worker, client, &mut bytes, application)).await?,
    };
    let beginning = match first {
        First::Client => {
            let port = application.address.port();
            Beginning::Client(rest(worker, client, &mut bytes, detection, port).await?)
        }
        First::Application(server) => Beginning::Application(server),
        First::Nobody => Beginning::Client(Verdict::Opaque),
    };
    client.put_back(bytes);
    Ok(beginning)
}

async fn race(
    worker: &Worker,
    client: &mut Stream,
    bytes: &mut BytesMut,
    application: &Arc<Endpoint>,
) -> io::Result<First> {
    // A client of an application that cannot be called may still speak: it gets its answer then.
    let server = worker.connect(application, Alpn::Tcp).await.ok();
    let server_moves = async {
        match &server {
            // A byte, the end or a failure: each is for the client to hear.
            Some(server) => drop(server.socket().peek(&mut [0]).await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        read = client.read_more(bytes) => read.map(|_| First::Client),
        () = server_moves => Ok(server.map_or(First::Nobody, First::Application)),
        () = silence(worker) => Ok(First::Nobody),
    }
}

/// Lasts as long as a client may be silent.
async fn silence(worker: &Worker) {
    match explicit_limit(worker) {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// What the client's first bytes say; the rest of them may take only so long.
async fn rest(
    worker: &Worker,
    client: &mut Stream,
    bytes: &mut BytesMut,
    detection: Detection,
    port: u16,
) -> io::Result<Verdict> {
    let may_be_mesh = bytes.first() == Some(&TLS_HANDSHAKE);
    if detection == Detection::Opaque && !may_be_mesh {
        return Ok(Verdict::Opaque);
    }
    let limit = explicit_limit(worker).unwrap_or(TRICKLE);
    match tokio::time::timeout(limit, first_bytes(client, bytes)).await {
        Ok(verdict) => verdict,
        Err(_) => {
            let counters = worker.shared.metrics.counters();
            counters.detection_timeouts.increment(port);
            Ok(Verdict::Opaque)
        }
    }
}

fn explicit_limit(worker: &Worker) -> Option<Duration> {
    worker.shared.discovery.own().mesh.detection_timeout
}
