//! A TCP connection to the application.

use std::time::SystemTime;

use super::Accepted;
use super::peer::Peer;
use crate::access_log::{AccessLog, Line};
use crate::metrics::{Flag, Flags};
use crate::net::{Relayed, Stream};
use crate::tcp::Record;
use crate::tls::Alpn;

/// Carries a connection to its end.
pub(super) async fn carry(accepted: &Accepted, client: Stream, peer: Peer, server: Option<Stream>) {
    let record = Record::begin(line(accepted, &client));
    // It came; how long it lasts is between its two ends, and does not hold the application.
    drop(accepted.connection.request());
    let carried = async {
        let server = match server {
            Some(server) => server,
            None => match accepted
                .worker
                .connect(&accepted.application, Alpn::Tcp)
                .await
            {
                Ok(server) => server,
                Err(error) => {
                    tracing::debug!(target = %accepted.target, %error, "The application cannot be called.");
                    return Flag::UpstreamConnectionFailure.into();
                }
            },
        };
        match record.carry(client, server).await {
            Relayed::Finished => Flags::NONE,
            Relayed::FirstFailed(_) => Flag::DownstreamConnectionTermination.into(),
            Relayed::SecondFailed(_) => Flag::UpstreamConnectionTermination.into(),
        }
    };
    // Who the peer is may be learnt while bytes flow already.
    let attached = async { record.attach(peer.telemetry().await.open()) };
    let (flags, ()) = tokio::join!(carried, attached);
    record.end(flags);
}

fn line(accepted: &Accepted, client: &Stream) -> Option<(AccessLog, Line)> {
    let shared = &accepted.worker.shared;
    shared.access_log.is_on(&shared.discovery.own()).then(|| {
        let line = Line {
            start: Some(SystemTime::now()),
            upstream_host: Some(accepted.target),
            upstream_cluster: accepted.cluster(),
            downstream_local: Some(accepted.target),
            downstream_remote: Some(accepted.client),
            server_name: super::server_name(client),
            ..Line::default()
        };
        (shared.access_log.clone(), line)
    })
}
