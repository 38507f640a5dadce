//! The life of a connection from the application: where it wanted to go, what it carries, who that
//! is for, and there.

mod outside;
mod requests;
mod route;
mod tcp;
mod telemetry;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;

pub use self::outside::OutsideHosts;
use self::requests::Requests;
use self::route::Routes;
use crate::detect::{Carried, Detection, first_bytes};
use crate::drain::Direction;
use crate::http::{self, Ends};
use crate::listen;
use crate::net::Stream;
use crate::shared::Worker;
use crate::sniff::Verdict;

/// A client that says nothing for this long is taken for one whose server speaks first.
const DETECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Carries one connection to its end.
pub async fn serve(worker: Arc<Worker>, stream: TcpStream, client: SocketAddr) {
    let connection = worker.shared.drain.enter(Direction::Outbound);
    let Some(target) = listen::destination(&worker.shared, &stream, client) else {
        return;
    };
    let mut stream = Stream::from(stream);
    let routes = Routes::new(Arc::clone(&worker), target, client.ip());
    let route = Box::pin(routes.by_address()).await;
    let detection = Detection::of(route.application(), target.port());
    let carried = match Box::pin(detect(&worker, &mut stream, detection, target)).await {
        Ok(carried) => carried,
        Err(error) => return tracing::debug!(%client, %target, %error, "A client went away."),
    };
    match carried {
        Carried::Http(version) => {
            let requests = Requests::new(worker, routes, version, client, connection);
            if let Err(error) =
                http::serve(stream, version, Arc::new(requests), Ends::default()).await
            {
                tracing::debug!(%client, %target, %error, "A client's connection failed.");
            }
        }
        Carried::Opaque => Box::pin(tcp::carry(&worker, stream, &routes, route, client)).await,
    }
}

/// Finds out what a connection carries; silence is TCP.
async fn detect(
    worker: &Worker,
    stream: &mut Stream,
    detection: Detection,
    target: SocketAddr,
) -> io::Result<Carried> {
    let mut bytes = BytesMut::new();
    let verdict = match detection {
        Detection::Opaque => return Ok(Carried::Opaque),
        Detection::Http => first_bytes(stream, &mut bytes).await?,
        Detection::Unknown => {
            let explicit = worker.shared.discovery.own().mesh.detection_timeout;
            let patience = explicit.unwrap_or(DETECTION_TIMEOUT);
            match tokio::time::timeout(patience, first_bytes(stream, &mut bytes)).await {
                Ok(verdict) => verdict?,
                Err(_) => {
                    report_silence(worker, target);
                    Verdict::Opaque
                }
            }
        }
    };
    stream.put_back(bytes);
    Ok(detection.conclude(verdict))
}

fn report_silence(worker: &Worker, target: SocketAddr) {
    if worker
        .shared
        .metrics
        .counters()
        .detection_timeouts
        .increment(target.port())
    {
        tracing::warn!(
            %target,
            "A client did not speak in time and was taken for TCP; name the Service's port tcp, or \
             set its appProtocol, to avoid the wait."
        );
    }
}
